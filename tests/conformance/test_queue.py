"""Who gets a board, and when (the original, 5.6; DESIGN: waiting always says why)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from boruta.domain.types import ReqInfo, ReqState, UserInfo, WorkerState
from tests.conformance.lab import ANY, Lab, Party, refused


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def order_of_service(lab: Lab, party: Party, ids: list[int]) -> list[int]:
    """Serves all with one board, each closed as soon as it runs; in which order."""
    served: list[int] = []

    def one_runs() -> bool:
        for req_id in ids:
            if party.requests.get_request_info(req_id).state is ReqState.INPROGRESS:
                served.append(req_id)
                party.requests.close_request(req_id)
                return True
        return False

    for _ in ids:
        lab.wait(one_runs, f"one of {ids} runs; so far {served}")
    return served


def test_a_fitting_request_gets_the_board_at_once(lab: Lab, alice: Party) -> None:
    lab.board("board-1", arch="arm")
    req_id = alice.requests.new_request({"arch": "arm"}, 8)
    access = alice.requests.acquire_worker(req_id, timeout=5)
    info = alice.requests.get_request_info(req_id)
    assert info.state is ReqState.INPROGRESS
    assert info.job is not None
    assert info.job.worker_uuid == "board-1"
    assert info.queue is None
    assert access.username == "boruta-user"
    worker = alice.workers.get_worker_info("board-1")
    assert (worker.state, worker.request) == (WorkerState.RUN, req_id)


def test_requests_are_served_by_priority_then_by_age(lab: Lab, alice: Party) -> None:
    made = {name: alice.requests.new_request(ANY, prio) for name, prio in
            [("low", 16), ("mid", 8), ("high", 1), ("mid2", 8), ("high2", 1)]}  # fmt: skip
    lab.board("board-1")
    order = order_of_service(lab, alice, list(made.values()))
    assert order == [made[name] for name in ("high", "high2", "mid", "mid2", "low")]


def test_what_cannot_be_served_blocks_nobody(lab: Lab, alice: Party) -> None:
    stuck = alice.requests.new_request({"arch": "sparc"}, 1)
    lab.board("board-1", arch="arm")
    served = alice.requests.new_request({"arch": "arm"}, 16)
    alice.requests.acquire_worker(served, timeout=5)
    assert alice.requests.get_request_info(stuck).state is ReqState.WAIT


def test_a_changed_priority_goes_to_the_end_of_its_line(lab: Lab, alice: Party) -> None:
    first = alice.requests.new_request(ANY, 8)
    second = alice.requests.new_request(ANY, 4)
    alice.requests.update_request(ReqInfo(first, priority=4))
    third = alice.requests.new_request(ANY, 4)
    lab.board("board-1")
    assert order_of_service(lab, alice, [first, second, third]) == [second, first, third]


def test_the_same_priority_again_keeps_the_place(lab: Lab, alice: Party) -> None:
    first = alice.requests.new_request(ANY, 8)
    second = alice.requests.new_request(ANY, 8)
    alice.requests.update_request(ReqInfo(first, priority=8))
    lab.board("board-1")
    assert order_of_service(lab, alice, [first, second]) == [first, second]


def test_a_request_is_not_served_before_it_is_valid(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    start = soon(0.4)
    later = alice.requests.new_request(ANY, 1, valid_after=start)
    now = alice.requests.new_request(ANY, 16)
    alice.requests.acquire_worker(now, timeout=5)
    alice.requests.close_request(now)
    alice.requests.acquire_worker(later, timeout=5)
    info = alice.requests.get_request_info(later)
    assert info.started is not None
    assert info.started >= start


def test_the_board_with_least_to_offer_is_taken(lab: Lab, alice: Party) -> None:
    lab.board("board-1", arch="arm", hdmi="1", uart="9600")
    lab.board("board-2", arch="arm")
    lab.board("board-3", arch="arm", groups=("lab",))
    req_id = alice.requests.new_request({"arch": "arm"}, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    job = alice.requests.get_request_info(req_id).job
    assert job is not None
    assert job.worker_uuid == "board-2"


def test_a_request_can_name_its_board(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    lab.board("board-2")
    req_id = alice.requests.new_request({"UUID": "board-2"}, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    assert alice.workers.get_worker_info("board-2").request == req_id


def test_groups_of_a_request_are_those_that_may_serve_it(lab: Lab, alice: Party) -> None:
    lab.board("board-1", groups=("night",))
    lab.board("board-2", groups=("lab", "day"), extra="1")
    req_id = alice.requests.new_request(ANY, 8, UserInfo(groups=("day",)))
    alice.requests.acquire_worker(req_id, timeout=5)
    assert alice.workers.get_worker_info("board-2").request == req_id


def test_a_deadline_that_passes_while_waiting_is_a_timeout(lab: Lab, alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8, deadline=soon(0.3))
    with refused("worker_not_assigned") as caught:
        alice.requests.acquire_worker(req_id, timeout=5)
    assert caught[0].details["state"] == "TIMEOUT"
    info = alice.requests.get_request_info(req_id)
    assert (info.state, info.reason_code) == (ReqState.TIMEOUT, "deadline")
    assert info.ended is not None
    lab.board("board-1")
    assert alice.workers.get_worker_info("board-1").request is None


def test_a_deadline_counts_no_more_once_the_board_is_there(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    end = soon(0.5)
    req_id = alice.requests.new_request(ANY, 8, deadline=end)
    alice.requests.acquire_worker(req_id, timeout=5)
    other = alice.requests.new_request(ANY, 8, deadline=soon(0.8))
    lab.wait_request(other, ReqState.TIMEOUT)
    assert alice.requests.get_request_info(req_id).state is ReqState.INPROGRESS


def test_waiting_says_why_and_where(lab: Lab, alice: Party) -> None:
    lab.board("board-1", arch="arm")
    holder = alice.requests.new_request({"arch": "arm"}, 8)
    alice.requests.acquire_worker(holder, timeout=5)
    second = alice.requests.new_request({"arch": "arm"}, 8)
    third = alice.requests.new_request({"arch": "arm"}, 8)
    queue = alice.requests.get_request_info(second).queue
    assert queue is not None
    assert queue.position == 1
    assert queue.why
    assert queue.why_code
    behind = alice.requests.get_request_info(third).queue
    assert behind is not None
    assert behind.position == 2
    stuck = alice.requests.new_request({"arch": "sparc"}, 8)
    why = alice.requests.get_request_info(stuck).queue
    assert why is not None
    assert "arch" in why.why
    assert why.why_code != queue.why_code


def test_an_offline_board_is_never_given_and_keeps_its_state(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    lab.cut("board-1")
    lab.wait(lambda: not alice.workers.get_worker_info("board-1").online, "it is offline")
    req_id = alice.requests.new_request(ANY, 8)
    with refused("timed_out"):
        alice.requests.acquire_worker(req_id, timeout=0.3)
    assert alice.workers.get_worker_info("board-1").state is WorkerState.IDLE
    assert replace(alice.requests.get_request_info(req_id), queue=None).state is ReqState.WAIT
