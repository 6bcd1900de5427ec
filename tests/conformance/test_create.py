"""A new request: what is checked, in which order, and what it becomes (the original, 5.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from boruta.domain import defaults
from boruta.domain.types import ReqState, UserInfo
from tests.conformance.lab import ANY, Lab, Party, refused


def now() -> datetime:
    return datetime.now(UTC)


def hours(number: float) -> datetime:
    return now() + timedelta(hours=number)


def test_a_new_request_waits_with_everything_that_was_said(alice: Party) -> None:
    start, end = hours(1), hours(2)
    req_id = alice.requests.new_request(
        {"arch": "arm|riscv64", "ram": "512.."},
        3,
        UserInfo(groups=("lab",)),
        start,
        end,
        job_timeout=90,
        note="nightly",
    )
    info = alice.requests.get_request_info(req_id)
    assert info.id == req_id
    assert info.state is ReqState.WAIT
    assert info.priority == 3
    assert info.caps == {"arch": "arm|riscv64", "ram": "512.."}
    assert (info.owner.name, info.owner.groups) == ("alice", ("lab",))
    assert (info.valid_after, info.deadline) == (start, end)
    assert info.job_timeout_s == 90.0
    assert info.note == "nightly"
    assert info.bound is False
    assert (info.job, info.started, info.ended) == (None, None, None)
    assert info.created is not None
    assert abs(info.created - now()) < timedelta(seconds=30)


def test_ids_rise(alice: Party) -> None:
    ids = [alice.requests.new_request(ANY, 8) for _ in range(5)]
    assert ids == sorted(set(ids))


def test_what_is_left_out_has_its_default(alice: Party) -> None:
    info = alice.requests.get_request_info(alice.requests.new_request(ANY, 8))
    assert info.valid_after == info.created
    assert info.deadline is not None
    assert info.valid_after is not None
    assert 28 <= (info.deadline - info.valid_after).days <= 31
    assert info.job_timeout_s == defaults.JOB_TIMEOUT_S
    assert info.prolongs_left == defaults.PROLONGS


@pytest.mark.parametrize("priority", [0, 17, -1, 255])
def test_a_priority_out_of_bounds_is_refused(alice: Party, priority: int) -> None:
    with refused("priority_out_of_bounds"):
        alice.requests.new_request(ANY, priority)


@pytest.mark.parametrize("priority", [1, 16])
def test_the_bounds_of_priority_belong_to_it(alice: Party, priority: int) -> None:
    alice.requests.new_request(ANY, priority)


def test_a_deadline_in_the_past_is_refused(alice: Party) -> None:
    with refused("deadline_past"):
        alice.requests.new_request(ANY, 8, deadline=hours(-1))


def test_valid_after_behind_the_deadline_is_refused(alice: Party) -> None:
    with refused("time_range_illegal"):
        alice.requests.new_request(ANY, 8, valid_after=hours(2), deadline=hours(1))


def test_valid_after_may_be_the_deadline_itself(alice: Party) -> None:
    when = hours(1)
    alice.requests.new_request(ANY, 8, valid_after=when, deadline=when)


def test_valid_after_may_lie_in_the_past(alice: Party) -> None:
    start = hours(-5)
    req_id = alice.requests.new_request(ANY, 8, valid_after=start)
    assert alice.requests.get_request_info(req_id).valid_after == start


def test_a_time_without_a_zone_is_refused(alice: Party) -> None:
    naive = hours(1).replace(tzinfo=None)
    try:
        alice.requests.new_request(ANY, 8, deadline=naive)
    except Exception as error:
        assert getattr(error, "code", "") in ("bad_time", "bad_request")  # noqa: PT017
    else:
        raise AssertionError("it was not refused")


@pytest.mark.parametrize("job_timeout", [0, -1, defaults.MAX_JOB_TIMEOUT_S + 1])
def test_a_job_time_that_cannot_be_is_refused(alice: Party, job_timeout: float) -> None:
    with refused("bad_time"):
        alice.requests.new_request(ANY, 8, job_timeout=job_timeout)


@pytest.mark.parametrize("value", ["3.6..2.9", "1..x", ">=many"])
def test_caps_that_follow_no_grammar_are_refused(alice: Party, value: str) -> None:
    with refused("bad_caps"):
        alice.requests.new_request({"voltage": value}, 8)


def test_caps_over_their_limits_are_refused(alice: Party) -> None:
    with refused("too_large"):
        alice.requests.new_request({"arch": "x" * (defaults.CAP_VALUE_BYTES + 1)}, 8)
    with refused("too_large"):
        alice.requests.new_request({"k" * (defaults.CAP_KEY_BYTES + 1): "x"}, 8)
    with refused("too_large"):
        alice.requests.new_request({f"k{n}": "x" for n in range(defaults.CAPS_ENTRIES + 1)}, 8)
    alice.requests.new_request({"arch": "x" * defaults.CAP_VALUE_BYTES}, 8)


def test_ten_megabytes_in_a_value_are_refused_and_hurt_nobody(alice: Party) -> None:
    with refused("too_large"):
        alice.requests.new_request({"arch": "x" * 10_000_000}, 8)
    alice.requests.new_request(ANY, 8)


def test_a_note_over_its_limit_is_refused(alice: Party) -> None:
    with refused("too_large"):
        alice.requests.new_request(ANY, 8, note="n" * (defaults.NOTE_BYTES + 1))


def test_the_same_token_gives_the_same_request(alice: Party) -> None:
    first = alice.requests.new_request({"arch": "arm"}, 8, token="t-1")
    assert alice.requests.new_request({"arch": "arm"}, 8, token="t-1") == first
    with refused("token_conflict"):
        alice.requests.new_request({"arch": "riscv64"}, 8, token="t-1")
    assert alice.requests.list_requests()[1].total == 1


def test_a_token_is_the_users_own(lab: Lab, alice: Party) -> None:
    first = alice.requests.new_request(ANY, 8, token="t-1")
    assert lab.user("bob").requests.new_request(ANY, 8, token="t-1") != first


def test_caps_that_no_board_has_wait_unless_they_are_to_be_refused(lab: Lab, alice: Party) -> None:
    lab.board("board-1", arch="arm")
    waiting = alice.requests.new_request({"arch": "sparc"}, 8)
    assert alice.requests.get_request_info(waiting).state is ReqState.WAIT
    with refused("unservable", "arch"):
        alice.requests.new_request({"arch": "sparc"}, 8, unservable="refuse")
    alice.requests.new_request({"arch": "arm"}, 8, unservable="refuse")


def test_nothing_is_judged_before_the_first_board_registered(alice: Party) -> None:
    alice.requests.new_request({"arch": "sparc"}, 8, unservable="refuse")


def test_an_unknown_id_is_not_found(alice: Party) -> None:
    with refused("not_found"):
        alice.requests.get_request_info(4711)
    with refused("not_found"):
        alice.requests.close_request(4711)
    with refused("not_found"):
        alice.requests.acquire_worker(4711)
    with refused("not_found"):
        alice.requests.prolong_access(4711)
