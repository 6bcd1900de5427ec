"""Messages of an earlier job, doubled or late, and rows that somebody else has moved."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.messages import (
    Assign,
    Assigned,
    Gone,
    Release,
    TellEnd,
    Update,
    WorkerGone,
    WorkerReach,
)
from actors.request import RequestActor
from boruta.domain.changes import RequestChanged
from boruta.domain.commands import KeptJob, Lease
from boruta.domain.errors import InternalLogicError
from boruta.domain.rows import JobRow, RequestRow, Write
from boruta.domain.types import ReqID, ReqInfo, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import ALICE, LAB, SimFarm


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def two_jobs(farm: SimFarm) -> tuple[FakeDryad, JobRow, JobRow]:
    """The job that a board has done, and the one that it does."""
    dryad = farm.board("b1")
    jobs = []
    for before in (None, 1):
        if before is not None:
            farm.close(before)
        job = farm.store.job(farm.new())
        assert job is not None
        jobs.append(job)
    return dryad, jobs[0], jobs[1]


def test_news_of_an_earlier_job_takes_no_board_from_the_one_that_holds_it(farm: SimFarm) -> None:
    _, old, new = two_jobs(farm)
    holder = new.request_id
    for message in (
        Release(old.request_id, old.board_epoch, "closed", ""),
        Release(holder, old.board_epoch, "closed", ""),
        Release(old.request_id, new.board_epoch, "closed", ""),
        Gone(old.request_id, old.board_epoch),
        TellEnd(old),
    ):
        farm.system.directory.tell_worker("b1", message)
    farm.system.directory.tell_request(holder, WorkerGone(old.board_epoch, "board_lost", "old"))
    farm.system.directory.tell_request(holder, WorkerReach(old.board_epoch, False))
    farm.advance(25)
    info = farm.info(holder)
    assert (info.state, info.reason) == (ReqState.INPROGRESS, "")
    assert farm.worker("b1").request == holder
    assert len(farm.access.opened) == 1


def test_being_told_of_its_board_twice_changes_nothing(farm: SimFarm) -> None:
    _, _, job = two_jobs(farm)
    access = farm.call(farm.front.requests(ALICE).acquire_worker(job.request_id))
    row, seen = farm.store.request(job.request_id), len(farm.changes)
    assert row is not None
    farm.system.directory.tell_request(job.request_id, Assigned(row, job))
    farm.sim.run_until_idle()
    assert len(farm.changes) == seen
    assert farm.call(farm.front.requests(ALICE).acquire_worker(job.request_id)) == access


def test_a_board_whose_row_was_moved_by_another_is_read_anew(farm: SimFarm) -> None:
    farm.board("b1")
    row = farm.store.worker("b1")
    assert row is not None
    assert farm.store.commit((Write(row._replace(rev=row.rev + 1, reason="x"), row.rev),)) is None
    with pytest.raises(InternalLogicError, match="meanwhile"):
        farm.set_state("b1", WorkerState.MAINTENANCE)
    farm.set_state("b1", WorkerState.MAINTENANCE)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE


def test_a_request_that_was_closed_by_another_is_closed_once_and_lets_its_board_go(
    farm: SimFarm,
) -> None:
    _, _, job = two_jobs(farm)
    row = farm.store.request(job.request_id)
    assert isinstance(row, RequestRow)
    over = row._replace(rev=row.rev + 1, state=ReqState.DONE, ended=farm.now, reason_code="closed")
    assert farm.store.commit((Write(over, row.rev),)) is None
    farm.advance(15)  # a sweep finds it
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.access.opened == {}


def test_another_address_during_a_job_leads_the_next_one_there(farm: SimFarm) -> None:
    dryad, _, job = two_jobs(farm)
    (endpoint,) = farm.access.opened
    farm.lose(dryad)
    dryad.reconnect()
    dryad.ssh_address = "127.0.0.1:7999"
    farm.register(dryad)
    assert farm.access.opened == {endpoint: "127.0.0.1:7022"}
    farm.close(job.request_id)
    farm.new()
    farm.advance(10)
    assert list(farm.access.opened.values()) == ["127.0.0.1:7999"]


def test_an_end_that_is_told_late_bears_its_own_number(farm: SimFarm) -> None:
    dryad, _, job = two_jobs(farm)
    mine = farm.front.requests(ALICE)
    farm.call(mine.acquire_worker(job.request_id))
    farm.call(mine.prolong_access(job.request_id))
    farm.system.directory.tell_worker("b1", TellEnd(job))  # the first end, once more
    farm.sim.run_until_idle()
    told = [one for one in dryad.sent(Lease) if isinstance(one, Lease) and one.id == job.request_id]
    assert [one.end_rev for one in told] == [1, 2, 3, 1]  # an agent takes the newer alone


def test_a_job_of_another_request_is_not_kept(farm: SimFarm) -> None:
    dryad, _, job = two_jobs(farm)
    farm.lose(dryad)
    dryad.reconnect()
    said = dryad.registration()
    wrong = KeptJob(job.request_id + 7, job.board_epoch, 100.0, 1)
    answer = farm.call(farm.front.superviser(LAB).register(replace(said, job=wrong), dryad))
    assert answer.job is None
    farm.sim.run_until_idle()
    assert farm.info(job.request_id).reason_code == "board_lost"


def test_what_a_request_asks_for_is_decided_from_the_row_as_it_is_now(farm: SimFarm) -> None:
    req_id = farm.new()
    row = farm.store.request(req_id)
    assert row is not None
    moved = row._replace(rev=row.rev + 1, priority=3, note="moved")
    assert farm.store.commit((Write(moved, row.rev),)) is None
    later = row.deadline + timedelta(days=1)
    farm.call(farm.front.requests(ALICE).update_request(ReqInfo(req_id, deadline=later)))
    now = farm.store.request(req_id)
    assert now == moved._replace(rev=moved.rev + 1, deadline=later)


def test_a_board_that_was_claimed_for_a_request_that_is_gone_is_given_back_at_once(
    farm: SimFarm,
) -> None:
    farm.board("b1")
    req_id = farm.new({"never": "there"})
    row = farm.store.request(req_id)
    assert row is not None
    del farm.system.directory.requests[req_id]
    farm.system.directory.tell_worker("b1", Assign(row))
    farm.sim.run_until_idle()
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.access.reserved == set()


@pytest.mark.parametrize("order", range(20))
def test_a_board_that_comes_while_its_request_is_started_anew_stays_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, order: int
) -> None:
    caplog.set_level(logging.CRITICAL)
    farm = SimFarm(order)
    farm.board("b1")
    req_id = farm.new({"never": "there"})
    row = farm.store.request(req_id)
    assert row is not None

    def broken(self: RequestActor, *_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(RequestActor, "_worker_reach", broken)
    farm.system.directory.tell_worker("b1", Assign(row))
    farm.system.directory.tell_request(req_id, WorkerReach(1, False))
    farm.sim.run_until_idle()
    farm.advance(25)
    assert farm.info(req_id).state is ReqState.INPROGRESS
    assert farm.worker("b1").request == req_id


def test_an_update_that_meets_the_claim_leaves_nobody_waiting_for_the_board() -> None:
    farm = SimFarm()
    req_id = farm.new()
    access = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    directory, update = farm.system.directory, Update(ReqInfo(id=req_id, priority=3), ALICE)
    tell = directory.tell_request

    def after_an_update(req_id: ReqID, message: Any, sender: Any = None) -> bool:
        if isinstance(message, Assigned):
            tell(req_id, update)  # it stood in the inbox before the news of the claim
        return tell(req_id, message, sender)

    directory.tell_request = after_an_update  # type: ignore[method-assign]
    farm.board("b1")
    assert access.get(timeout=1).username
    told = [one.kind for one in farm.changes if isinstance(one, RequestChanged)]
    assert told == ["created", "assigned", "acquired"]
