"""A board that is held: acquire, prolong, close, and every way in which it ends (5.2, 5.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from actors.directory import Rules
from boruta.domain.commands import Lease, Prepare
from boruta.domain.request import Limits
from boruta.domain.types import AccessInfo, ReqState, WorkerState
from tests.conformance.lab import ANY, Lab, Party, refused


def held(party: Party, **options: object) -> int:
    req_id = party.requests.new_request(ANY, 8, **options)  # type: ignore[arg-type]
    party.requests.acquire_worker(req_id, timeout=5)
    return req_id


def end_of(party: Party, req_id: int) -> object:
    job = party.requests.get_request_info(req_id).job
    assert job is not None
    return job.timeout


def test_access_has_all_that_ssh_needs(lab: Lab, alice: Party) -> None:
    board = lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8)
    access = alice.requests.acquire_worker(req_id, timeout=5)
    assert access.host
    assert lab.access.opened == {next(iter(lab.access.reserved)): board.ssh_address}
    assert access.port == next(iter(lab.access.opened)).port
    assert access.username == board.username
    assert access.host_keys == board.host_keys
    assert "PRIVATE KEY" in access.key
    assert access.key not in repr(access)
    assert access.expires == end_of(alice, req_id)


def test_acquire_waits_while_the_request_waits(lab: Lab, alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(alice.requests.acquire_worker, req_id, 10) for _ in range(3)]
        lab.board("board-1")
        found: list[AccessInfo] = [one.result(10) for one in waiting]
    assert len({access.key for access in found}) == 1
    assert len({access.port for access in found}) == 1


def test_acquire_gives_up_after_its_time_and_the_request_waits_on(alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    with refused("timed_out", str(req_id)):
        alice.requests.acquire_worker(req_id, timeout=0.2)
    assert alice.requests.get_request_info(req_id).state is ReqState.WAIT


def test_an_acquire_without_time_answers_at_once(alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    with refused("timed_out"):
        alice.requests.acquire_worker(req_id, timeout=0)


def test_closing_a_request_ends_those_who_wait_for_it(lab: Lab, alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(alice.requests.acquire_worker, req_id, 10)
        done = threading.Event()
        waiting.add_done_callback(lambda _: done.set())
        alice.requests.close_request(req_id)
        assert done.wait(10)
    with refused("worker_not_assigned") as caught:
        waiting.result()
    assert caught[0].details["state"] == "CANCELLED"


def test_the_first_acquire_starts_the_jobs_time_anew_and_later_ones_change_nothing(
    lab: Lab, alice: Party
) -> None:
    board = lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8)
    lab.wait_request(req_id, ReqState.INPROGRESS)
    before = end_of(alice, req_id)
    first = alice.requests.acquire_worker(req_id)
    after = end_of(alice, req_id)
    assert before < after  # type: ignore[operator]
    assert first.expires == after
    assert alice.requests.acquire_worker(req_id) == first
    info = alice.requests.get_request_info(req_id)
    assert info.prolongs_left == 10  # it does not count as a prolong
    lab.wait(lambda: board.lease is not None and board.lease.end_rev == 2, "the agent was told")


def test_prolong_sets_the_end_to_now_plus_the_jobs_time(lab: Lab, alice: Party) -> None:
    board = lab.board("board-1")
    req_id = held(alice, job_timeout=100.0)
    before = end_of(alice, req_id)
    done = alice.requests.prolong_access(req_id)
    assert done.timeout > before  # type: ignore[operator]
    assert done.timeout - before < timedelta(seconds=60)  # type: ignore[operator]
    assert done.prolongs_left == 9
    assert end_of(alice, req_id) == done.timeout
    assert alice.requests.get_request_info(req_id).prolongs_left == 9
    lab.wait(lambda: board.lease is not None and board.lease.end_rev == 3, "the agent was told")
    assert len(board.sent(Lease)) >= 2


def test_a_prolong_with_the_same_token_counts_once(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    first = alice.requests.prolong_access(req_id, token="p-1")
    assert alice.requests.prolong_access(req_id, token="p-1") == first
    assert alice.requests.prolong_access(req_id, token="p-2").prolongs_left == 8


def test_prolongs_are_limited_in_number(make_lab: Callable[[Rules], Lab]) -> None:
    lab = make_lab(Rules(limits=Limits(prolongs=2)))
    lab.board("board-1")
    alice = lab.user()
    req_id = held(alice)
    assert [alice.requests.prolong_access(req_id).prolongs_left for _ in range(2)] == [1, 0]
    with refused("prolong_limit", "2 times"):
        alice.requests.prolong_access(req_id)


def test_prolongs_are_limited_in_all(make_lab: Callable[[Rules], Lab]) -> None:
    lab = make_lab(Rules(limits=Limits(prolong_total_s=0.0)))
    lab.board("board-1")
    alice = lab.user()
    req_id = held(alice)
    with refused("prolong_limit", "left"):
        alice.requests.prolong_access(req_id)
        alice.requests.prolong_access(req_id)


def test_what_waits_cannot_be_prolonged(alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    with refused("worker_not_assigned") as caught:
        alice.requests.prolong_access(req_id)
    assert caught[0].details["state"] == "WAITING"


def test_a_board_out_of_reach_cannot_be_prolonged(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    lab.cut("board-1")
    lab.wait(lambda: not alice.workers.get_worker_info("board-1").online, "it is offline")
    with refused("unreachable"):
        alice.requests.prolong_access(req_id)
    info = alice.requests.get_request_info(req_id)
    assert info.state is ReqState.INPROGRESS  # the job is not lost at once
    assert "out of reach" in info.reason


def test_closing_what_runs_is_done_and_the_board_gets_a_new_key(lab: Lab, alice: Party) -> None:
    board = lab.board("board-1")
    req_id = held(alice)
    key = board.key
    alice.requests.close_request(req_id)
    info = alice.requests.get_request_info(req_id)
    assert (info.state, info.reason_code) == (ReqState.DONE, "closed")
    assert info.ended is not None
    assert info.job is not None  # who held it stays known
    lab.wait_worker("board-1", WorkerState.IDLE)
    assert len(board.sent(Prepare)) == 2
    assert board.key != key
    assert lab.access.opened == {}


def test_closing_what_waits_cancels_it(alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.close_request(req_id)
    info = alice.requests.get_request_info(req_id)
    assert (info.state, info.reason_code) == (ReqState.CANCEL, "cancelled")


def test_closing_twice_is_refused_and_says_how_it_ended(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    for req_id, state in ((held(alice), "DONE"), (None, "CANCELLED")):
        if req_id is None:
            req_id = alice.requests.new_request({"arch": "none"}, 8)
        alice.requests.close_request(req_id)
        with refused("action_refused", state) as caught:
            alice.requests.close_request(req_id)
        assert caught[0].details["state"] == state


def test_an_ended_request_can_neither_be_acquired_nor_prolonged(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    alice.requests.close_request(req_id)
    for call in (alice.requests.acquire_worker, alice.requests.prolong_access):
        with refused("worker_not_assigned") as caught:
            call(req_id)
        assert caught[0].details["state"] == "DONE"


def test_a_job_whose_time_is_up_is_done(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice, job_timeout=0.3)
    lab.wait_request(req_id, ReqState.DONE)
    assert alice.requests.get_request_info(req_id).reason_code == "time_up"
    lab.wait_worker("board-1", WorkerState.IDLE)


def test_a_board_that_reports_a_failure_fails_its_request(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    lab.report_failure("board-1", "the card is broken")
    lab.wait_request(req_id, ReqState.FAILED)
    info = alice.requests.get_request_info(req_id)
    assert info.reason_code == "board_failed"
    assert "the card is broken" in info.reason
    worker = alice.workers.get_worker_info("board-1")
    assert (worker.state, worker.reason_code) == (WorkerState.FAIL, "reported")


def test_a_board_put_in_maintenance_fails_its_request(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    lab.admin.workers.set_state("board-1", WorkerState.MAINTENANCE, reason="a new fan")
    lab.wait_request(req_id, ReqState.FAILED)
    info = alice.requests.get_request_info(req_id)
    assert info.reason_code == "maintenance"
    assert "a new fan" in info.reason
    lab.wait_worker("board-1", WorkerState.MAINTENANCE)


def test_a_board_that_drains_ends_its_job_first(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = held(alice)
    lab.admin.workers.set_state("board-1", WorkerState.MAINTENANCE, drain=True)
    assert alice.requests.get_request_info(req_id).state is ReqState.INPROGRESS
    alice.requests.close_request(req_id)
    lab.wait_worker("board-1", WorkerState.MAINTENANCE)


def test_a_board_lost_for_longer_than_the_grace_fails_its_request(
    make_lab: Callable[[Rules], Lab],
) -> None:
    lab = make_lab(Rules(grace_s=0.2))
    lab.board("board-1")
    alice = lab.user()
    req_id = held(alice)
    lab.cut("board-1")
    lab.wait_request(req_id, ReqState.FAILED)
    assert alice.requests.get_request_info(req_id).reason_code == "board_lost"
    assert alice.workers.get_worker_info("board-1").reason_code == "lost"
    lab.register("board-1")
    lab.wait_worker("board-1", WorkerState.IDLE)


def test_no_board_is_held_twice(lab: Lab, alice: Party) -> None:
    for number in range(3):
        lab.board(f"board-{number}")
    ids = [alice.requests.new_request(ANY, 8) for _ in range(9)]
    with ThreadPoolExecutor(9) as pool:

        def use(req_id: int) -> str:
            alice.requests.acquire_worker(req_id, timeout=10)
            running = [
                one.job.worker_uuid
                for one in alice.requests.list_requests()[0]
                if one.state is ReqState.INPROGRESS and one.job is not None
            ]
            assert len(running) == len(set(running))
            alice.requests.close_request(req_id)
            return alice.requests.get_request_info(req_id).state

        assert list(pool.map(use, ids)) == [ReqState.DONE] * 9
