"""A server that stood still, by SIGSTOP or with its machine asleep (SAFETY, A7)."""

from __future__ import annotations

from datetime import timedelta

from boruta.domain.types import ReqState
from tests.actors.farm import ALICE, SimFarm


def test_a_lease_that_is_due_at_the_moment_of_awaking_begins_anew() -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(bound=True, deadline=farm.now + timedelta(days=2))
    farm.advance(0.1)
    farm.front.session_lost(ALICE)
    farm.advance(14.95)
    farm.sim._now += 85  # stopped; the lease was due before the tick that notices it
    farm.advance(14)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(2)
    assert farm.info(req_id).reason_code == "client_lost"


def test_a_lost_board_s_grace_that_is_due_at_the_moment_of_awaking_begins_anew() -> None:
    farm = SimFarm()
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.advance(0.1)
    farm.lose(dryad)
    farm.advance(59.95)
    farm.sim._now += 85
    farm.advance(59)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(2)
    assert farm.info(req_id).reason_code == "board_lost"


def test_a_job_that_was_over_while_the_server_slept_ends_when_it_awakes() -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=600.0)
    farm.advance(10)
    farm.sim._now += 3600  # the machine's sleep is time too, for a job
    farm.advance(1)
    assert farm.info(req_id).reason_code == "time_up"
    assert farm.worker("b1").online
