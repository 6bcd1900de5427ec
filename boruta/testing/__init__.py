"""For tests of code that is built on Boruta: fakes behind the engine's own ports, and a whole farm
in virtual time."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from boruta.testing.access import FakeAccess
from boruta.testing.clock import ManualClock
from boruta.testing.dryad import FakeDryad, Manner

if TYPE_CHECKING:
    from boruta.testing.simulation import Faults, Load, Simulation, Violation, Visit

__all__ = [
    "FakeAccess",
    "FakeDryad",
    "Faults",
    "Load",
    "Manner",
    "ManualClock",
    "Simulation",
    "Violation",
    "Visit",
]

_SIMULATION = frozenset(("Faults", "Load", "Simulation", "Violation", "Visit"))


def __getattr__(name: str) -> Any:
    # A fake alone needs neither the protocol nor the agent.
    if name in _SIMULATION:
        return getattr(importlib.import_module("boruta.testing.simulation"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
