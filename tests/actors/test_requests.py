"""Requests over the real engine, in virtual time."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any

import pytest

from actors.messages import Due
from boruta.domain.changes import RequestChanged
from boruta.domain.commands import Lease, Prepare
from boruta.domain.errors import (
    ActionRefused,
    Busy,
    NotFoundError,
    NotPermitted,
    ProlongLimit,
    TimedOut,
    TokenConflict,
    Unreachable,
    Unservable,
    WorkerNotAssigned,
)
from boruta.domain.types import ReqInfo, ReqState, WorkerState
from boruta.domain.waiting import PREPARE_TAKES_S
from tests.actors.farm import ADMIN, ALICE, BOB, SimFarm


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def kinds(farm: SimFarm, req_id: int) -> list[str]:
    return [
        change.kind
        for change in farm.changes
        if isinstance(change, RequestChanged) and change.request.id == req_id
    ]


def test_a_request_gets_an_idle_board_and_gives_it_back_prepared_anew(farm: SimFarm) -> None:
    dryad = farm.board("b1", arch="armv7l")
    req_id = farm.new({"arch": "armv7l"})
    assert farm.state(req_id) is ReqState.INPROGRESS
    access = farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    assert access.key == "private 1"
    assert farm.access.opened
    farm.close(req_id)
    assert farm.state(req_id) is ReqState.DONE
    assert farm.access.opened == {}
    assert farm.worker("b1").state is WorkerState.IDLE
    assert len(dryad.sent(Prepare)) == 2
    assert dryad.key == "ssh-ed25519 public2"
    assert kinds(farm, req_id) == ["created", "assigned", "acquired", "ended"]


def test_requests_are_served_by_priority_then_by_order(farm: SimFarm) -> None:
    farm.board("b1")
    first = farm.new()
    late, early, urgent = farm.new(prio=8), farm.new(prio=8), farm.new(prio=1)
    served = []
    holder = first
    for _ in range(3):
        farm.close(holder)
        held = farm.worker("b1").request
        assert held is not None
        served.append(held)
        holder = held
    assert served == [urgent, late, early]


def test_one_that_cannot_be_served_blocks_nobody(farm: SimFarm) -> None:
    farm.board("b1", arch="armv7l")
    stuck = farm.new({"arch": "riscv64"}, prio=1)
    served = farm.new({"arch": "armv7l"}, prio=16)
    assert farm.state(stuck) is ReqState.WAIT
    assert farm.state(served) is ReqState.INPROGRESS


def test_acquire_waits_while_the_request_waits(farm: SimFarm) -> None:
    req_id = farm.new({"arch": "armv7l"})
    waiting = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    assert not waiting.done
    farm.board("b1", arch="armv7l")
    assert waiting.get(timeout=1).username == "boruta-user"


def test_acquire_gives_up_after_its_time(farm: SimFarm) -> None:
    req_id = farm.new()
    waiting = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id, 10))
    farm.advance(11)
    with pytest.raises(TimedOut):
        waiting.get(timeout=0)
    assert farm.state(req_id) is ReqState.WAIT


def test_acquire_of_one_that_is_cancelled_meanwhile_says_so(farm: SimFarm) -> None:
    req_id = farm.new()
    waiting = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    farm.close(req_id)
    with pytest.raises(WorkerNotAssigned) as caught:
        waiting.get(timeout=0)
    assert caught.value.details["state"] == "CANCELLED"


def test_the_first_acquire_starts_the_time_anew_and_others_change_nothing(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new(job_timeout=600)
    farm.advance(100)
    first = farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    assert first.expires == farm.now + timedelta(seconds=600)
    farm.advance(100)
    again = farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    assert again == first
    assert [one.remaining_s for one in dryad.sent(Lease) if isinstance(one, Lease)] == [600, 600]
    assert farm.info(req_id).prolongs_left == 10


def test_too_many_waiting_acquires_of_a_key_are_refused(farm: SimFarm) -> None:
    ids = [farm.new() for _ in range(2)]
    for _ in range(50):
        for req_id in ids:
            farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    with pytest.raises(Busy):
        farm.call(farm.front.requests(ALICE).acquire_worker(ids[0]))
    farm.close(ids[0])
    farm.start_call(farm.front.requests(ALICE).acquire_worker(ids[1]))


def test_a_deadline_that_passes_while_waiting_times_the_request_out(farm: SimFarm) -> None:
    req_id = farm.new(deadline=farm.now + timedelta(seconds=60))
    farm.advance(59)
    assert farm.state(req_id) is ReqState.WAIT
    farm.advance(1)
    assert farm.state(req_id) is ReqState.TIMEOUT
    assert farm.info(req_id).reason_code == "deadline"


def test_a_later_valid_after_is_waited_for_and_keeps_the_place_in_the_queue(farm: SimFarm) -> None:
    later = farm.new(valid_after=farm.now + timedelta(seconds=60))
    now = farm.new()
    farm.board("b1")
    assert farm.state(later) is ReqState.WAIT
    assert farm.state(now) is ReqState.INPROGRESS
    third = farm.new()
    farm.advance(61)
    farm.close(now)
    assert farm.state(later) is ReqState.INPROGRESS
    assert farm.state(third) is ReqState.WAIT


def test_the_job_ends_when_its_time_is_up(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new(job_timeout=100)
    farm.advance(99)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(2)
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.DONE, "time_up")
    assert farm.worker("b1").state is WorkerState.IDLE


def test_a_prolonged_job_ends_later_and_the_agent_is_told(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new(job_timeout=100)
    farm.advance(50)
    new = farm.call(farm.front.requests(ALICE).prolong_access(req_id))
    assert new.timeout == farm.now + timedelta(seconds=100)
    assert new.prolongs_left == 9
    farm.sim.run_until_idle()
    assert dryad.lease is not None
    assert (dryad.lease.remaining_s, dryad.lease.end_rev) == (100, 2)
    farm.advance(99)
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_the_same_token_prolongs_once(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new()
    api = farm.front.requests(ALICE)
    first = farm.call(api.prolong_access(req_id, token="t"))
    farm.advance(5)
    assert farm.call(api.prolong_access(req_id, token="t")) == first


def test_prolong_is_limited_and_says_what_is_left(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new(job_timeout=60)
    api = farm.front.requests(ALICE)
    for _ in range(10):
        farm.call(api.prolong_access(req_id))
    with pytest.raises(ProlongLimit, match="10 times"):
        farm.call(api.prolong_access(req_id))


def test_what_waits_cannot_be_prolonged(farm: SimFarm) -> None:
    with pytest.raises(WorkerNotAssigned):
        farm.call(farm.front.requests(ALICE).prolong_access(farm.new()))


def test_a_board_out_of_reach_cannot_be_prolonged(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.lose(dryad)
    with pytest.raises(Unreachable):
        farm.call(farm.front.requests(ALICE).prolong_access(req_id))
    assert "out of reach" in farm.info(req_id).reason


def test_closing_twice_is_refused_and_an_unknown_id_is_not_found(farm: SimFarm) -> None:
    req_id = farm.new()
    farm.close(req_id)
    with pytest.raises(ActionRefused, match="CANCELLED"):
        farm.close(req_id)
    with pytest.raises(NotFoundError):
        farm.close(4711)


def test_others_may_neither_close_nor_acquire_but_an_admin_may(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new()
    with pytest.raises(NotPermitted):
        farm.close(req_id, by=BOB)
    with pytest.raises(NotPermitted):
        farm.call(farm.front.requests(BOB).acquire_worker(req_id))
    farm.close(req_id, by=ADMIN)
    assert farm.state(req_id) is ReqState.DONE


def test_an_update_with_a_priority_moves_the_request(farm: SimFarm) -> None:
    farm.board("b1")
    holder, low, high = farm.new(), farm.new(prio=9), farm.new(prio=8)
    farm.call(farm.front.requests(ALICE).update_request(ReqInfo(low, 2)))
    farm.close(holder)
    assert farm.state(low) is ReqState.INPROGRESS
    assert farm.state(high) is ReqState.WAIT


def test_what_runs_cannot_be_updated(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new()
    with pytest.raises(ActionRefused):
        farm.call(farm.front.requests(ALICE).update_request(ReqInfo(req_id, 2)))


def test_the_same_token_makes_one_request_and_another_body_is_a_conflict(farm: SimFarm) -> None:
    first = farm.new({"a": "1"}, token="t")
    assert farm.new({"a": "1"}, token="t") == first
    with pytest.raises(TokenConflict):
        farm.new({"a": "2"}, token="t")
    assert farm.new({"a": "2"}, token="t", by=BOB) != first


def test_what_nobody_can_serve_is_refused_if_asked(farm: SimFarm) -> None:
    farm.board("b1", arch="armv7l")
    with pytest.raises(Unservable, match="arch"):
        farm.new({"arch": "riscv64"}, unservable="refuse")
    assert farm.state(farm.new({"arch": "riscv64"})) is ReqState.WAIT


def test_nothing_is_unservable_before_the_first_worker_registered(farm: SimFarm) -> None:
    assert farm.state(farm.new({"arch": "riscv64"}, unservable="refuse")) is ReqState.WAIT


def test_a_vanished_client_frees_its_board_within_its_lease(farm: SimFarm) -> None:
    farm.board("b1")
    bound = farm.new(bound=True)
    queued = farm.new(bound=True)
    free = farm.new()
    farm.front.session_lost(ALICE)
    farm.advance(14)
    assert farm.state(bound) is ReqState.INPROGRESS
    farm.advance(1.1)
    assert (farm.state(bound), farm.info(bound).reason_code) == (ReqState.DONE, "client_lost")
    assert farm.state(queued) is ReqState.CANCEL
    assert farm.state(free) is ReqState.INPROGRESS


def test_a_client_that_comes_back_in_time_keeps_its_board(farm: SimFarm) -> None:
    farm.board("b1")
    bound = farm.new(bound=True)
    farm.front.session_lost(ALICE)
    farm.advance(10)
    assert farm.front.session_opened(ALICE)
    farm.advance(60)
    assert farm.state(bound) is ReqState.INPROGRESS


def test_a_removed_key_ends_what_its_owner_holds(farm: SimFarm) -> None:
    farm.board("b1")
    held, waiting, other = farm.new(), farm.new(), farm.new(by=BOB)
    farm.front.key_removed("alice")
    farm.sim.run_until_idle()
    assert farm.state(held) is ReqState.DONE
    assert "removed the key" in farm.info(held).reason
    assert farm.state(waiting) is ReqState.CANCEL  # though not bound: else its turn would come
    assert farm.state(other) is ReqState.INPROGRESS


def test_warnings_come_ten_minutes_and_one_minute_before_the_end(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new(job_timeout=1000)
    farm.advance(401)
    assert kinds(farm, req_id).count("job_ending") == 1
    farm.advance(540)
    assert kinds(farm, req_id).count("job_ending") == 2


def test_a_timer_that_fired_before_it_was_replaced_is_not_news(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new()
    farm.system.directory.requests[req_id].tell(Due("ending_soon"))
    farm.sim.run_until_idle()
    assert "job_ending" not in kinds(farm, req_id)


def test_a_long_list_is_explained_in_several_turns_and_comes_whole(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.matcher.EXPLAIN_S", -1.0)  # each turn has time for one
    ids = [farm.new({"arch": f"kind{number % 2}"}) for number in range(5)]
    infos, _ = farm.call(farm.front.requests(ALICE).list_requests())
    assert [info.id for info in infos] == ids
    assert all(info.queue is not None and info.queue.why for info in infos)


@pytest.mark.parametrize("rivals", [0, 64])
def test_a_list_of_most_of_the_queue_says_the_same_as_one_of_a_few(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch, rivals: int
) -> None:
    monkeypatch.setattr("boruta.domain.links.RIVALS", rivals)
    farm.board("b1", arch="arm", slot="1")
    farm.board("b2", arch="arm", slot="2")
    wanted = [{"arch": "arm"}, {"slot": "1"}, {"UUID": "!=b1"}, {"UUID": "b2"}, {"arch": "other"}]
    for number in range(20):
        farm.new(wanted[number % 5], 1 + number % 3)
    farm.new(wanted[0], valid_after=farm.sim.utcnow() + timedelta(hours=1))
    farm.new({"arch": "later"}, valid_after=farm.sim.utcnow() + timedelta(hours=1))
    requests = farm.front.requests(ALICE)
    few, _ = farm.call(requests.list_requests())
    assert {one.state for one in few} == {ReqState.WAIT, ReqState.INPROGRESS}
    monkeypatch.setattr("actors.explaining.MANY", 0)
    monkeypatch.setattr("actors.explaining.PART", 1000)
    most, _ = farm.call(requests.list_requests())
    assert type(most[-1]) is not ReqInfo  # nobody has looked at it
    farm.advance(3)
    for req_id in range(3, 10):
        farm.close(req_id)
    assert most == few


def test_long_lists_give_way_to_others_and_come_whole(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = [farm.board(f"b{number}") for number in range(20)]
    ids = [farm.new({"arch": f"kind{number}"}) for number in range(20)]
    monkeypatch.setattr("actors.asking.SLICE_S", -1.0)  # each turn has time for one slice
    monkeypatch.setattr("boruta.domain.showing._A_SLICE", 2)
    monkeypatch.setattr("actors.workers_api._DESCRIBED", 2)
    turns = 0

    async def others() -> None:
        nonlocal turns
        for _ in range(100):
            turns += 1
            await farm.front.requests(ALICE)._next_turn()

    async def listed(work: Coroutine[Any, Any, Any]) -> tuple[list[Any], int]:
        before = turns
        found, _ = await work
        return found, turns - before

    farm.sim.spawn(others())
    infos, took = farm.call(listed(farm.front.requests(ALICE).list_requests()))
    assert [info.id for info in infos] == ids
    assert took >= 4
    found, took = farm.call(listed(farm.front.workers(ALICE).list_workers()))
    assert len(found) == len(boards)
    assert took >= 4


def test_an_estimate_learns_from_how_long_boards_were_held(farm: SimFarm) -> None:
    farm.board("b1")
    for _ in range(5):
        req_id = farm.new(job_timeout=3600.0)
        farm.advance(100)
        farm.close(req_id)
        farm.advance(1)
    farm.new(job_timeout=3600.0)
    farm.advance(40)
    waiting = farm.info(farm.new(job_timeout=3600.0)).queue
    assert waiting is not None
    assert waiting.estimate_s is not None
    assert abs(waiting.estimate_s - (60 + PREPARE_TAKES_S)) < 2


def test_the_server_s_facts_count_what_held_it(farm: SimFarm) -> None:
    farm.sim.watchdog.report("WorkerActor", "Assign", 0.25)
    info = farm.front.info()
    assert (info["slow_turns"], info["worst_turn_s"]) == (1, 0.25)
    assert info["worst_lag_s"] == 0.0
