"""For tests of code that is built on Boruta: fakes behind the engine's own ports."""

from __future__ import annotations

from boruta.testing.access import FakeAccess
from boruta.testing.clock import ManualClock
from boruta.testing.dryad import FakeDryad, Manner

__all__ = ["FakeAccess", "FakeDryad", "Manner", "ManualClock"]
