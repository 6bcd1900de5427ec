"""Waiting always says why, how long, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from boruta.domain.rows import RequestRow
from boruta.domain.types import (
    LO_PRIO,
    Capabilities,
    QueueInfo,
    ReqState,
    WorkerState,
)
from boruta.domain.waiting import HOLDERS_SHOWN, PREPARE_TAKES_S, Board, Standing, look, why

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
ROW = RequestRow(
    7,
    1,
    ReqState.WAIT,
    8,
    1,
    Capabilities(arch="arm"),
    NOW,
    NOW + timedelta(days=30),
    3600.0,
    NOW,
    "ann",
)
IDLE, RUN, FAIL = WorkerState.IDLE, WorkerState.RUN, WorkerState.FAIL


def board(uuid: str, state: WorkerState = RUN, **fields: object) -> dict[str, object]:
    return {"uuid": uuid, "state": state, **fields}


def seen(fields: dict[str, object], holders: Mapping[int, tuple[str, object]]) -> Board:
    owner, ends_at = holders.get(fields.get("request"), (None, None))  # type: ignore[call-overload]
    return look(now=NOW, owner=owner, ends_at=ends_at, **fields)  # type: ignore[arg-type]


def said(
    *fitting: dict[str, object],
    row: RequestRow = ROW,
    position: int = 1,
    holders: Mapping[int, tuple[str, object]] | None = None,
    unmet: tuple[str, ...] = (),
    judging: bool = True,
    typical_s: float | None = None,
) -> QueueInfo:
    boards = [seen(one, holders or {}) for one in fitting]
    return why(row, position, Standing(boards, unmet, judging, NOW), typical_s)


def test_before_its_time_a_request_says_when_it_comes() -> None:
    later = ROW._replace(valid_after=NOW + timedelta(minutes=5))
    found = said(board("a", IDLE), row=later, position=0)
    assert (found.why_code, found.position, found.estimate_s) == ("not_valid_yet", 1, 300)
    assert "12:05:00Z" in found.why
    tomorrow = ROW._replace(valid_after=NOW + timedelta(days=1))
    assert "2030-01-02 12:00:00Z" in said(row=tomorrow).why
    assert said(row=tomorrow).estimate_s is None


def test_before_the_first_board_nothing_is_judged() -> None:
    found = said(judging=False, unmet=("arch=arm",))
    assert found.why_code == "no_workers"
    assert "no board has registered yet" in found.why


def test_what_nobody_has_is_named_with_the_next_steps() -> None:
    found = said(unmet=("arch=arm", "volt=1..2"))
    assert (found.why_code, found.estimate_s) == ("nobody_has_it", None)
    assert found.why == (
        "no known board has arch=arm or volt=1..2; boruta workers shows what there is, "
        "boruta close 7 gives up"
    )
    assert "no known board has all of it at once" in said().why
    assert said(row=ROW._replace(caps=Capabilities())).why.startswith("no board is known")


def test_offline_is_told_apart_from_busy() -> None:
    found = said(board("a", RUN, online=False), board("b", IDLE, online=False))
    assert found.why_code == "all_offline"
    assert found.why == "all 2 fitting boards are offline (a, b); look at power and network"
    assert found.estimate_s is None
    mixed = said(board("a", RUN, request=3), board("b", IDLE, online=False))
    assert mixed.why_code == "all_busy"
    assert mixed.why.endswith("; offline: b")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (WorkerState.MAINTENANCE, "a is MAINTENANCE (new fan); an admin can bring it back"),
        (FAIL, "a is FAILED (new fan); an admin can bring it back: boruta worker enable a"),
        (WorkerState.BUSY, "a is going to MAINTENANCE (new fan); afterwards: boruta worker enable"),
    ],
)
def test_boards_out_of_service_name_the_command_that_brings_them_back(
    state: WorkerState, text: str
) -> None:
    found = said(board("a", state, reason="new fan"), board("b", FAIL, online=False))
    assert found.why_code == "all_out"
    assert text in found.why
    assert found.why.endswith("; offline: b")


def test_holders_are_shown_those_that_end_first_first() -> None:
    ends = {
        17: ("ci", NOW + timedelta(minutes=30)),
        18: ("bob", NOW + timedelta(minutes=10)),
        19: ("", None),
    }
    found = said(
        board("a", request=17), board("b", request=18), board("c", IDLE), position=2, holders=ends
    )
    assert found.holders == (
        "18 by bob on b until 12:10:00Z",
        "17 by ci on a until 12:30:00Z",
    )
    assert found.why_code == "behind_others"
    assert said(board("c", request=19), holders=ends).holders == ("19 by somebody on c",)


def test_a_long_list_of_holders_ends_with_how_many_more() -> None:
    ends: dict[int, tuple[str, object]] = dict.fromkeys(range(40), ("ci", NOW))
    found = said(*(board(f"w{n:02}", request=n) for n in range(40)), holders=ends)
    assert len(found.holders) == HOLDERS_SHOWN + 1
    assert found.holders[-1] == "and 30 more"


def test_the_estimate_counts_jobs_to_their_end_one_board_after_another() -> None:
    ends = {
        1: ("ci", NOW + timedelta(seconds=100)),
        2: ("ci", NOW + timedelta(seconds=300)),
    }
    boards = board("a", request=1), board("b", request=2)
    first, second, third = (said(*boards, position=n, holders=ends) for n in (1, 2, 3))
    assert first.estimate_s == 100 + PREPARE_TAKES_S
    assert second.estimate_s == 300 + PREPARE_TAKES_S
    assert third.estimate_s == first.estimate_s + 3600 + PREPARE_TAKES_S
    assert first.why == "all 2 fitting boards are held by others"
    assert third.why.endswith("2 requests are ahead")


def test_the_estimate_uses_measured_holds_where_there_are_any() -> None:
    ends = {1: ("ci", NOW + timedelta(seconds=3000)), 2: ("ci", NOW + timedelta(seconds=3000))}
    soon = board("a", request=1, likely_end=NOW + timedelta(seconds=60))
    late = board("b", request=2, likely_end=NOW - timedelta(seconds=1))
    first, second, third = (
        said(soon, late, position=n, holders=ends, typical_s=120.0) for n in (1, 2, 3)
    )
    assert first.estimate_s == 60 + PREPARE_TAKES_S
    assert second.estimate_s == 3000 + PREPARE_TAKES_S, "it took longer than such jobs do"
    assert third.estimate_s == 60 + PREPARE_TAKES_S + 120 + PREPARE_TAKES_S


def test_a_free_board_starts_the_first_at_once() -> None:
    found = said(board("a", IDLE))
    assert (found.why_code, found.estimate_s) == ("about_to_start", 0)
    over = said(board("a", request=1), holders={1: ("ci", NOW - timedelta(hours=1))})
    assert over.estimate_s == PREPARE_TAKES_S


def test_boards_that_are_being_prepared_are_no_holders() -> None:
    found = said(board("a", WorkerState.PREPARE))
    assert (found.why_code, found.estimate_s) == ("preparing", PREPARE_TAKES_S)
    assert found.why == "1 fitting board is being prepared"
    both = said(board("a", WorkerState.PREPARE), board("b", request=1))
    assert both.why == "1 of 2 fitting boards held by others, 1 being prepared"


def test_boards_that_an_admin_could_enable_are_named_beside_the_busy_ones() -> None:
    found = said(board("a", request=1), board("b", WorkerState.MAINTENANCE))
    assert found.why.endswith("; out of service: b (boruta worker enable b)")


def test_the_least_priority_is_told_that_it_may_wait_for_ever() -> None:
    low = ROW._replace(priority=LO_PRIO)
    assert "waits for all others" in said(board("a", request=1), row=low, position=2).why
    assert "waits for all others" not in said(board("a", request=1), position=2).why
