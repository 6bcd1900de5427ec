"""What a user may do, and what he is told when he may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain import policy, texts
from boruta.domain.errors import (
    ActionRefused,
    BadRequest,
    BadTime,
    BorutaError,
    DeadlinePast,
    NotPermitted,
    PriorityOutOfBounds,
    TimeRangeIllegal,
    TooLarge,
)
from boruta.domain.request import Limits
from boruta.domain.rows import RequestRow
from boruta.domain.types import Caller, Capabilities, ReqState, Role

NOW = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN = Caller("ann", Role.USER, ("lab", "rack"))
BOB = Caller("bob", Role.USER)
ROOT = Caller("root", Role.ADMIN, ("lab",))
BOARD = Caller("board-1", Role.WORKER)
ROW = RequestRow(
    17, 3, ReqState.WAIT, 8, 5, Capabilities(), NOW - HOUR, NOW + 2 * HOUR, 60.0, NOW, "ann"
)


# --- who
def test_admins_alone_do_what_is_an_admins() -> None:
    policy.check_admin(ROOT)
    for caller in (ANN, BOARD):
        with pytest.raises(NotPermitted, match="only an admin"):
            policy.check_admin(caller)


def test_a_request_is_its_owners_and_the_admins() -> None:
    policy.check_may_hold(ANN, "ann")
    policy.check_may_hold(ROOT, "ann")
    for caller in (BOB, BOARD, Caller("ann", Role.WORKER)):
        with pytest.raises(NotPermitted, match="belongs to 'ann'"):
            policy.check_may_hold(caller, "ann")


def test_a_worker_is_spoken_for_by_its_own_key() -> None:
    policy.check_owns_worker(BOARD, "board-1")
    policy.check_owns_worker(ROOT, "board-1")
    policy.check_worker(BOARD)
    with pytest.raises(NotPermitted, match="belongs to the key 'board-1'"):
        policy.check_owns_worker(Caller("board-2", Role.WORKER), "board-1")
    with pytest.raises(NotPermitted, match="--role worker"):
        policy.check_owns_worker(Caller("board-1", Role.USER), "board-1")
    with pytest.raises(NotPermitted):
        policy.check_worker(ANN)


# --- groups
def test_groups_of_a_request_lie_within_those_of_the_key() -> None:
    assert policy.check_groups(ANN, ["rack"]) == ("rack",)
    assert policy.check_groups(BOB, ["x", "a", "x"]) == ("a", "x")
    assert policy.check_groups(ROOT, ["anything"]) == ("anything",)
    with pytest.raises(NotPermitted, match=r"groups: x: .*allowed: lab, rack"):
        policy.check_groups(ANN, ["lab", "x"])


def test_who_names_no_group_gets_those_of_his_key_and_not_all() -> None:
    assert policy.check_groups(ANN, ()) == ("lab", "rack")
    assert policy.check_groups(BOB, ()) == ()
    assert policy.check_groups(ROOT, ()) == ()


def test_group_names_are_sorted_and_keep_their_doubles() -> None:
    assert policy.check_group_names(["b", "a", "b"]) == ("a", "b", "b")
    for wrong in ("lab", [""], [5], ["a\x1b[31m"], ["a\nb"]):
        with pytest.raises(BadRequest, match="groups"):
            policy.check_group_names(wrong)  # type: ignore[arg-type]
    with pytest.raises(TooLarge, match="65 names"):
        policy.check_group_names(["a"] * 65)
    with pytest.raises(TooLarge, match="129 bytes"):
        policy.check_group_names(["a" * 129])


# --- priority and times
def test_priorities_are_1_to_16() -> None:
    policy.check_priority(1)
    policy.check_priority(16)
    for wrong in (0, 17, -1, True, 1.0, "1", None):
        with pytest.raises(PriorityOutOfBounds, match="1, the most important, to 16"):
            policy.check_priority(wrong)  # type: ignore[arg-type]


def test_a_request_is_valid_from_now_for_a_calendar_month() -> None:
    assert policy.check_times(NOW, None, None) == (NOW, datetime(2030, 3, 3, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((2030, 1, 15), (2030, 2, 15)),
        ((2030, 1, 31), (2030, 3, 3)),
        ((2032, 1, 31), (2032, 3, 2)),
        ((2030, 1, 29), (2030, 3, 1)),
        ((2030, 3, 31), (2030, 5, 1)),
        ((2030, 12, 31), (2031, 1, 31)),
        ((2030, 12, 1), (2031, 1, 1)),
    ],
)
def test_a_calendar_month_runs_on_where_the_next_one_is_too_short(
    start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    assert policy.months_later(datetime(*start, tzinfo=UTC), 1) == datetime(*end, tzinfo=UTC)


def test_a_start_that_lies_beyond_the_month_has_a_month_of_its_own() -> None:
    late = datetime(2030, 6, 1, tzinfo=UTC)
    assert policy.check_times(NOW, late, None) == (late, datetime(2030, 7, 1, tzinfo=UTC))


def test_times_given_are_kept_in_utc_even_a_start_in_the_past() -> None:
    east = timezone(timedelta(hours=2))
    start, end = policy.check_times(
        NOW, datetime(2001, 1, 1, tzinfo=east), datetime(2031, 1, 1, tzinfo=east)
    )
    assert start.isoformat() == "2000-12-31T22:00:00+00:00"
    assert end.isoformat() == "2030-12-31T22:00:00+00:00"


def test_a_deadline_that_is_now_is_not_past_and_may_be_the_start() -> None:
    assert policy.check_times(NOW, NOW, NOW) == (NOW, NOW)


def test_the_first_wrong_time_is_the_one_that_is_told() -> None:
    with pytest.raises(
        DeadlinePast, match=r"2030-01-31T11:59:59Z has passed \(it is 2030-01-31T12"
    ):
        policy.check_times(NOW, NOW + HOUR, NOW - timedelta(microseconds=1))
    with pytest.raises(TimeRangeIllegal, match="valid_after <= deadline"):
        policy.check_times(NOW, NOW + 2 * HOUR, NOW + HOUR)


def test_times_without_a_zone_or_out_of_range_are_refused() -> None:
    with pytest.raises(BadTime, match=r"valid_after: .* has no zone"):
        policy.check_times(NOW, datetime(2030, 5, 1), None)  # noqa: DTZ001
    west = timezone(timedelta(hours=-10))
    with pytest.raises(BadTime, match=r"deadline: .* out of range"):
        policy.check_times(NOW, None, datetime(9999, 12, 31, 23, 59, 59, tzinfo=west))
    with pytest.raises(BadTime, match="out of range"):
        policy.utc("valid_after", datetime.min.replace(tzinfo=timezone(HOUR)))
    with pytest.raises(BadTime, match="beyond the year 9999"):
        policy.check_times(NOW, datetime(9999, 12, 30, tzinfo=UTC), None)
    with pytest.raises(BadTime):
        policy.check_times(NOW, "2030-01-01", None)  # type: ignore[arg-type]


def test_a_job_takes_what_the_lab_has_set_or_what_is_asked_within_limits() -> None:
    limits = Limits(job_timeout_s=600, max_job_timeout_s=1200)
    assert policy.check_job_timeout(None, limits) == 600
    assert policy.check_job_timeout(1200, limits) == 1200
    assert policy.check_job_timeout(0.5, limits) == 0.5
    assert policy.check_job_timeout(None, Limits(600, 300)) == 300
    with pytest.raises(BadTime, match="at most 1200 s"):
        policy.check_job_timeout(1200.1, limits)
    for wrong in (0, -1, float("nan"), float("inf"), True, "60"):
        with pytest.raises(BadTime, match="seconds above 0"):
            policy.check_job_timeout(wrong, limits)  # type: ignore[arg-type]


# --- updates
def test_an_update_changes_what_is_given_and_leaves_the_rest() -> None:
    assert policy.check_update(ROW, NOW, 3, None, None) == ROW._replace(priority=3)
    assert policy.check_update(ROW, NOW, 0, NOW, None) == ROW._replace(valid_after=NOW)
    later = NOW + 9 * HOUR
    assert policy.check_update(ROW, NOW, 0, None, later) == ROW._replace(deadline=later)


def test_an_update_that_changes_nothing_is_none() -> None:
    assert policy.check_update(ROW, NOW, 0, None, None) is None
    assert policy.check_update(ROW, NOW, 8, ROW.valid_after, ROW.deadline) is None


@pytest.mark.parametrize("state", [state for state in ReqState if state is not ReqState.WAIT])
def test_only_a_waiting_request_is_updated_even_if_nothing_would_change(state: ReqState) -> None:
    for priority in (0, 5):
        with pytest.raises(ActionRefused) as caught:
            policy.check_update(ROW._replace(state=state), NOW, priority, None, None)
        assert str(caught.value) == (
            f"request 17 is {state.value}: only a WAITING request can be updated"
        )


def test_an_update_is_checked_like_a_new_request() -> None:
    with pytest.raises(PriorityOutOfBounds):
        policy.check_update(ROW, NOW, 17, None, NOW - HOUR)
    with pytest.raises(DeadlinePast):
        policy.check_update(ROW, NOW, 0, None, NOW - HOUR)
    with pytest.raises(TimeRangeIllegal):
        policy.check_update(ROW, NOW, 0, NOW + 3 * HOUR, None)
    with pytest.raises(BadTime):
        policy.check_update(ROW, NOW, 0, datetime(2030, 5, 1), None)  # noqa: DTZ001


def test_a_deadline_cannot_be_moved_before_the_start() -> None:
    row = ROW._replace(valid_after=NOW + HOUR)
    with pytest.raises(TimeRangeIllegal):
        policy.check_update(row, NOW, 0, None, NOW + HOUR / 2)


# --- texts
def test_notes_and_tokens_have_limits() -> None:
    policy.check_text("n" * 1024, "t" * 64)
    policy.check_text("two\nlines\tand \u017c\U0001f680", None)
    with pytest.raises(TooLarge, match="note: has 1025 bytes"):
        policy.check_text("n" * 1025, None)
    with pytest.raises(TooLarge, match="reason: has 1026 bytes"):
        policy.check_text("\u017c" * 513, None, what="reason")
    with pytest.raises(TooLarge, match="token: has 65 bytes"):
        policy.check_text("", "t" * 65)
    with pytest.raises(BadRequest, match="token: is empty"):
        policy.check_text("", "")


@pytest.mark.parametrize(
    "char", ["\x00", "\x1b", "\x7f", "\x9b", "\r", "\u202e", "\u2028", "\ud800"]
)
def test_text_that_would_play_with_a_terminal_is_refused_or_cleaned(char: str) -> None:
    with pytest.raises(BadRequest, match=r"note: the character U\+[0-9A-F]{4} at place 3"):
        policy.check_text(f"ab{char}c", None)
    with pytest.raises(BadRequest, match="token"):
        policy.check_text("", f"ab{char}c")
    assert texts.clean_text(f"ab{char}c\n") == "ab\ufffdc\n"


def test_a_token_is_one_line() -> None:
    with pytest.raises(BadRequest):
        policy.check_text("", "a\nb")


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40), limit=st.integers(0, 40))
def test_a_cleaned_text_can_be_kept(text: str, limit: int) -> None:
    cleaned = texts.clean_text(text, limit)
    policy.check_text(cleaned, None)
    assert len(cleaned.encode()) <= limit


@pytest.mark.parametrize(
    "call",
    [
        lambda: policy.check_priority(10**400),
        lambda: policy.check_group_names("x" * 10_000_000),
        lambda: policy.check_job_timeout("9" * 10_000, Limits()),  # type: ignore[arg-type]
        lambda: policy.check_text("x" * 10_000_000, None),
        lambda: policy.check_text(b"x" * 10_000, None),  # type: ignore[arg-type]
    ],
)
def test_no_error_repeats_a_flood(call: Callable[[], object]) -> None:
    with pytest.raises(BorutaError) as caught:
        call()
    assert len(str(caught.value)) <= 200
