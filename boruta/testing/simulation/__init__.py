"""A farm in virtual time: real engine, real protocol, real agents; simulated everything else.

`python -m boruta.testing.simulation --help` runs one from the command line.
"""

from __future__ import annotations

from boruta.testing.simulation.farm import Load, Simulation, Summary
from boruta.testing.simulation.faults import Faults
from boruta.testing.simulation.invariants import Violation
from boruta.testing.simulation.people import Visit

__all__ = ["Faults", "Load", "Simulation", "Summary", "Violation", "Visit"]
