"""Nothing goes out that a crash could take back; a store that is ill stops no one's job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.commands import EndSession, Lease, Prepare
from boruta.domain.errors import StoreUnavailable
from boruta.domain.types import ReqState, WorkerState
from boruta.testing.dryad import FakeDryad
from boruta.testing.late_store import LateStore
from tests.actors.farm import ADMIN, ALICE, LAB, SimFarm


class Late(SimFarm):
    """A farm over a store that is written when a test says so."""

    def __init__(self, store: LateStore | None = None) -> None:
        self.late = LateStore() if store is None else store
        super().__init__(store=self.late)

    def write(self) -> None:
        """Everything that was accepted, and what comes of it."""
        while self.late.written < self.late.position:
            self.late.write()
            self.sim.run_until_idle()

    def writing(self) -> None:
        """Each commit is written in a later turn."""
        self.late.on_commit = lambda: self.sim.call_soon(self.late.write)
        self.write()

    def sent(self, uuid: str, kind: type[Any]) -> list[Any]:
        """Commands of a kind that an agent got."""
        return self.dryads[uuid].sent(kind)


def lent() -> tuple[Late, int]:
    """A farm with one board that is lent."""
    farm = Late()
    farm.writing()
    farm.board("b1")
    req_id = farm.new()
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.late.on_commit = lambda: None
    return farm, req_id


def test_a_request_is_answered_after_it_is_written() -> None:
    farm = Late()
    made = farm.start_call(farm.front.requests(ALICE).new_request({}, 8))
    assert not made.done
    farm.write()
    assert made.get(timeout=1) == 1


def test_a_token_sent_again_is_answered_no_earlier_than_the_first() -> None:
    farm = Late()
    calls = [
        farm.start_call(farm.front.requests(ALICE).new_request({}, 8, token="t")) for _ in range(2)
    ]
    assert not any(call.done for call in calls)
    farm.write()
    assert [call.get(timeout=1) for call in calls] == [1, 1]


def test_access_and_lease_wait_for_the_claim() -> None:
    farm = Late()
    farm.writing()
    farm.board("b1")
    farm.late.on_commit = lambda: None
    made = farm.start_call(farm.front.requests(ALICE).new_request({}, 8))
    farm.late.write(1)  # the request, not the claim
    farm.sim.run_until_idle()
    access = farm.start_call(farm.front.requests(ALICE).acquire_worker(made.get(timeout=1)))
    assert farm.sent("b1", Lease) == []
    assert not access.done
    farm.write()
    assert farm.sent("b1", Lease)
    assert access.get(timeout=1).username


def test_an_order_with_a_new_epoch_waits_until_the_epoch_is_written() -> None:
    farm, req_id = lent()
    prepared = len(farm.sent("b1", Prepare))
    closing = farm.start_call(farm.front.requests(ALICE).close_request(req_id))
    assert len(farm.sent("b1", Prepare)) == prepared
    assert not farm.access.opened, "the holder's way is cut at once"
    assert not closing.done
    farm.write()
    assert len(farm.sent("b1", Prepare)) == prepared + 1


def test_a_later_end_is_told_to_the_agent_after_it_is_written() -> None:
    farm, req_id = lent()
    before = farm.sent("b1", Lease)
    calls = [
        farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id)),
        farm.start_call(farm.front.requests(ALICE).prolong_access(req_id)),
    ]
    assert farm.sent("b1", Lease) == before
    farm.late.write(1)
    farm.sim.run_until_idle()
    assert [one.end_rev for one in farm.sent("b1", Lease)] == [1, 2], "the prolonged may be lost"
    farm.write()
    assert [one.end_rev for one in farm.sent("b1", Lease)] == [1, 2, 3]
    assert all(call.done for call in calls)


def test_a_registration_is_answered_after_it_is_written() -> None:
    farm = Late()
    dryad = FakeDryad(farm.sim, {"UUID": "b1"})
    told = farm.start_call(farm.front.superviser(LAB).register(dryad.registration(), dryad))
    assert not told.done
    farm.write()
    assert told.get(timeout=1).first


@pytest.mark.parametrize("written", range(8))
def test_a_crash_keeps_a_beginning_of_what_was_decided_and_the_farm_goes_on(written: int) -> None:
    farm = Late()
    farm.writing()
    farm.board("b1")
    farm.late.on_commit = lambda: None
    farm.start_call(farm.front.requests(ALICE).new_request({}, 8, token="t"))
    farm.late.write(written)
    farm.sim.run_until_idle()
    farm.system.stop()
    again = Late(farm.late.crash())
    again.writing()
    again.sim.advance(3.0)
    was, dryad = farm.dryads["b1"], FakeDryad(again.sim, {"UUID": "b1"})
    dryad.epoch, dryad.lease, dryad.key = was.epoch, was.lease, was.key
    again.register(dryad)
    req_id = again.new(token="t")
    again.sim.advance(10.0)
    assert again.state(req_id) is ReqState.INPROGRESS
    again.close(req_id)
    again.sim.advance(10.0)
    assert again.worker("b1").state is WorkerState.IDLE


def test_no_way_opens_to_a_board_whose_release_was_lost_by_a_crash() -> None:
    farm, req_id = lent()
    farm.start_call(farm.front.requests(ALICE).close_request(req_id))
    farm.late.write(1)  # the request's end, not the board's release
    farm.sim.run_until_idle()
    farm.system.stop()
    again = Late(farm.late.crash())
    again.writing()
    assert again.state(req_id) is ReqState.DONE
    assert again.worker("b1").state is WorkerState.PREPARE
    assert [what for what, _ in again.access.log] == ["close"]


def test_what_is_shown_is_written_unless_the_store_is_ill() -> None:
    farm, req_id = lent()
    requests, workers = farm.front.requests(ALICE), farm.front.workers(ADMIN)
    news = list[Change]()
    farm.front.feed(ADMIN).subscribe(news.append, kinds=("ended", "state", "groups"))
    closed = farm.start_call(requests.close_request(req_id))
    farm.sim.run_until_idle()
    assert farm.late.written < farm.late.position

    def reads() -> list[Any]:
        asked = [
            requests.get_request_info(req_id), requests.list_requests(),
            workers.get_worker_info("b1"), workers.list_workers(),
        ]  # fmt: skip
        return [farm.start_call(one) for one in asked]

    first = reads()
    farm.sim.run_until_idle()
    assert not any(call.done for call in first)
    assert news == []
    farm.write()
    assert first[0].get(timeout=1).state is ReqState.DONE
    assert [one.id for one in first[1].get(timeout=1)[0]] == [req_id]
    assert first[2].get(timeout=1).state is WorkerState.PREPARE
    assert len(first[3].get(timeout=1)[0]) == 1
    assert closed.done
    assert [change.kind for change in news][:2] == ["ended", "state"]
    assert [change.seq for change in news] == sorted(change.seq for change in news)

    farm.start_call(workers.set_groups("b1", ["lab"]))
    farm.sim.run_until_idle()
    heard, second = len(news), reads()
    farm.sim.run_until_idle()
    assert [call.done for call in second] == [True, False, False, False]
    farm.late.fall_ill()
    farm.sim.run_until_idle()
    assert second[2].get(timeout=1).groups == ("lab",)
    assert all(call.done for call in second)
    assert len(news) > heard, "what goes on while it is ill is told as it is"
    offline = list[Change]()
    farm.front.feed(ADMIN).subscribe(offline.append, kinds=("offline",))
    farm.lose(farm.dryads["b1"])
    farm.sim.run_until_idle()
    assert len(offline) == 1


def test_an_ill_store_lends_nothing_and_prolongs_nothing() -> None:
    farm, req_id = lent()
    farm.late.fall_ill()
    api = farm.front.requests(ALICE)
    refused: list[Callable[[], Any]] = [
        lambda: api.new_request({}, 8),
        lambda: api.prolong_access(req_id),
        lambda: farm.front.workers(ADMIN).set_groups("b1", ["lab"]),
    ]
    for call in refused:
        with pytest.raises(StoreUnavailable, match="disk is full") as caught:
            farm.call(call())
        assert caught.value.details["retry_after_s"] == 1.0
    assert farm.late.position == farm.late.written
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_access_to_a_job_that_is_written_is_given_by_an_ill_store_too() -> None:
    farm, req_id = lent()
    farm.writing()
    farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    farm.late.fall_ill()
    assert farm.call(farm.front.requests(ALICE).acquire_worker(req_id)).username


def test_who_waits_for_a_store_that_falls_ill_is_told() -> None:
    farm = Late()
    made = farm.start_call(farm.front.requests(ALICE).new_request({}, 8, token="t"))
    farm.late.fall_ill()
    farm.sim.run_until_idle()
    with pytest.raises(StoreUnavailable):
        made.get(timeout=1)
    farm.late.get_well()
    farm.writing()
    assert farm.new(token="t") == 1, "it was made, and is found by its token"


def test_a_close_acts_at_once_while_the_store_is_ill_and_is_written_when_it_is_well() -> None:
    farm, req_id = lent()
    farm.late.fall_ill()
    with pytest.raises(StoreUnavailable):
        farm.close(req_id)
    assert farm.state(req_id) is ReqState.DONE
    assert not farm.access.opened
    assert isinstance(farm.dryads["b1"].commands[-1], EndSession)
    farm.late.get_well()
    farm.writing()
    farm.sim.advance(10.0)
    assert farm.worker("b1").state is WorkerState.IDLE
    disk = farm.late.disk.request(req_id)
    assert disk is not None
    assert disk.state is ReqState.DONE


def test_a_job_ends_by_its_time_while_the_store_is_ill() -> None:
    farm, req_id = lent()
    farm.late.fall_ill()
    farm.sim.advance(100_000.0)
    assert farm.state(req_id).ended
    assert not farm.access.opened


def test_a_board_out_of_reach_is_not_lost_while_its_return_could_not_be_written() -> None:
    farm, req_id = lent()
    farm.late.fall_ill()
    farm.lose(farm.dryads["b1"])
    farm.sim.advance(600.0)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.late.get_well()
    farm.writing()
    farm.sim.advance(600.0)
    assert farm.state(req_id) is ReqState.FAILED


def test_boards_that_come_again_and_again_leave_an_ill_store_nothing_to_write() -> None:
    farm, req_id = lent()
    held = farm.dryads["b1"]
    farm.late.fall_ill()
    farm.lose(held)
    for dryad in (held, FakeDryad(farm.sim, {"UUID": "b2"})) * 3:
        with pytest.raises(StoreUnavailable, match="disk is full"):
            farm.register(dryad)
    assert farm.late.position == farm.late.written
    assert "b2" not in farm.system.directory.workers
    # A job that nobody can do any more ends at once, as others do.
    held.reconnect(restarted=True)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            farm.register(held)
    assert farm.state(req_id) is ReqState.FAILED
    ends = farm.late.position - farm.late.written
    assert ends == 2, "what the board became, and the end of its request"


def test_an_agent_has_the_whole_grace_once_it_can_register_again() -> None:
    farm, req_id = lent()
    farm.late.fall_ill()
    farm.lose(farm.dryads["b1"])
    farm.sim.advance(defaults.WORKER_GRACE_S - 1.0)
    farm.late.get_well()
    farm.writing()
    farm.sim.advance(defaults.WORKER_GRACE_S - 1.0)
    farm.register(farm.dryads["b1"])
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_matching_goes_on_when_the_store_is_well_again() -> None:
    farm = Late()
    farm.writing()
    farm.board("b1")
    first = farm.new()
    second = farm.new()
    farm.late.fall_ill()
    with pytest.raises(StoreUnavailable):
        farm.close(first)
    farm.sim.advance(30.0)
    assert farm.state(second) is ReqState.WAIT
    farm.late.get_well()
    farm.writing()
    farm.sim.advance(10.0)
    assert farm.state(second) is ReqState.INPROGRESS


def test_ended_requests_of_an_earlier_life_count_among_those_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "ENDED_KEPT", 3)
    farm = Late()
    farm.writing()
    for req_id in [farm.new() for _ in range(4)]:
        farm.close(req_id)
    farm.write()
    farm.system.stop()
    again = Late(farm.late.crash())
    again.writing()
    again.close(again.new())
    again.write()
    assert [row.id for row in again.late.disk.requests()] == [3, 4, 5]
