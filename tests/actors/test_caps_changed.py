"""A board that comes back with other capabilities is looked at by a person first (SAFETY, C8)."""

from __future__ import annotations

import pytest

from actors.directory import Rules
from boruta.domain.errors import InfraError
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import SimFarm

S = WorkerState


def in_state(farm: SimFarm, state: WorkerState) -> FakeDryad:
    """A board that is in this state; held by a request if that is RUN."""
    dryad = farm.board("b1", enable=False, arch="armv7l")  # `initial` does that
    if state is S.RUN:
        farm.new()
    elif state is S.MAINTENANCE:
        farm.set_state("b1", S.MAINTENANCE)
    elif state in (S.FAIL, S.PREPARE):
        dryad.manners["prepare"] = Manner(fail=InfraError("no card"), silent=state is S.PREPARE)
        farm.set_state("b1", S.MAINTENANCE)
        farm.set_state("b1", S.IDLE)
        farm.advance(300 if state is S.FAIL else 5)
        dryad.manners.clear()
    assert farm.worker("b1").state is state
    return dryad


@pytest.mark.parametrize("state", [S.IDLE, S.RUN, S.MAINTENANCE, S.PREPARE, S.FAIL])
@pytest.mark.parametrize("restarted", [False, True])
def test_it_goes_to_maintenance_whatever_the_lab_has_set(
    state: WorkerState, restarted: bool
) -> None:
    farm = SimFarm(rules=Rules(initial=S.IDLE, auto_recover=True))
    dryad = in_state(farm, state)
    farm.lose(dryad)
    dryad.caps = Capabilities({**dryad.caps, "arch": "armv7l, x86_64, riscv64"})
    farm.come_back(dryad, restarted=restarted)
    farm.advance(120)
    worker = farm.worker("b1")
    assert (worker.state, worker.reason) == (S.MAINTENANCE, "its capabilities changed")
    trapped = farm.new({"arch": "riscv64"})
    farm.advance(120)
    assert farm.state(trapped) is ReqState.WAIT
    assert farm.access.opened == {}
