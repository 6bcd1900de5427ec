"""Changing a request that waits (the original, 5.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from boruta.domain.types import ReqInfo, ReqState
from tests.conformance.lab import ANY, Lab, Party, refused


def hours(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


@pytest.fixture
def waiting(alice: Party) -> int:
    """A request that waits."""
    return alice.requests.new_request({"arch": "arm"}, 8, valid_after=hours(1), deadline=hours(9))


def test_priority_and_times_change_and_nothing_else(alice: Party, waiting: int) -> None:
    start, end = hours(2), hours(3)
    before = alice.requests.get_request_info(waiting)
    alice.requests.update_request(
        ReqInfo(
            waiting, priority=2, valid_after=start, deadline=end, note="other", caps=before.caps
        )
    )
    after = alice.requests.get_request_info(waiting)
    assert (after.priority, after.valid_after, after.deadline) == (2, start, end)
    assert (after.note, after.caps, after.state) == (before.note, before.caps, ReqState.WAIT)


def test_nothing_said_leaves_what_is(alice: Party, waiting: int) -> None:
    before = alice.requests.get_request_info(waiting)
    alice.requests.update_request(ReqInfo(waiting))
    after = alice.requests.get_request_info(waiting)
    assert (after.priority, after.valid_after, after.deadline) == (
        before.priority, before.valid_after, before.deadline,
    )  # fmt: skip


@pytest.mark.parametrize("priority", [17, -1, 255])
def test_a_priority_out_of_bounds_is_refused(alice: Party, waiting: int, priority: int) -> None:
    with refused("priority_out_of_bounds"):
        alice.requests.update_request(ReqInfo(waiting, priority=priority))
    assert alice.requests.get_request_info(waiting).priority == 8


def test_a_deadline_in_the_past_is_refused(alice: Party, waiting: int) -> None:
    with refused("deadline_past"):
        alice.requests.update_request(ReqInfo(waiting, deadline=hours(-1)))


def test_valid_after_behind_the_deadline_is_refused(alice: Party, waiting: int) -> None:
    with refused("time_range_illegal"):
        alice.requests.update_request(ReqInfo(waiting, valid_after=hours(10)))
    with refused("time_range_illegal"):
        alice.requests.update_request(ReqInfo(waiting, valid_after=hours(5), deadline=hours(4)))


def test_valid_after_that_has_passed_has_it_served_at_once(
    lab: Lab, alice: Party, waiting: int
) -> None:
    lab.board("board-1", arch="arm")
    alice.requests.update_request(ReqInfo(waiting, valid_after=hours(-1)))
    alice.requests.acquire_worker(waiting, timeout=5)


def test_a_deadline_that_comes_nearer_counts(lab: Lab, alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.update_request(
        ReqInfo(req_id, deadline=datetime.now(UTC) + timedelta(seconds=0.3))
    )
    lab.wait_request(req_id, ReqState.TIMEOUT)


def test_what_runs_cannot_be_updated(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    with refused("action_refused", "IN PROGRESS"):
        alice.requests.update_request(ReqInfo(req_id, priority=1))
    alice.requests.close_request(req_id)
    with refused("action_refused", "DONE"):
        alice.requests.update_request(ReqInfo(req_id, priority=1))


def test_an_unknown_request_is_not_found(alice: Party) -> None:
    with refused("not_found"):
        alice.requests.update_request(ReqInfo(4711, priority=1))
    with refused("not_found"):
        alice.requests.update_request(ReqInfo(4711))
