"""Steps of the server's wall clock, which durations do not follow (SAFETY, A8)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from boruta.domain.types import ReqState
from tests.actors.farm import ALICE, SimFarm


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_of_the_wall_clock_moves_no_job_s_end(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=3600.0)
    farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    before = farm.sim.utcnow
    monkeypatch.setattr(farm.sim, "utcnow", lambda: before() + timedelta(hours=hours))
    farm.advance(3590)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(11)
    assert farm.state(req_id) is ReqState.DONE
    farm.end()
