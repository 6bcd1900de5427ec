"""How a farm is used, from its lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.statistics import Spread, farm_stats, spread
from boruta.domain.types import ReqInfo, ReqState, WorkerInfo, WorkerState

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = 3600.0


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def job(created: float, started: float, ended: float | None, **more: object) -> ReqInfo:
    state = ReqState.INPROGRESS if ended is None else ReqState.DONE
    return ReqInfo(
        1,
        8,
        state=state,
        created=ago(created),
        valid_after=ago(created),
        started=ago(started),
        ended=None if ended is None else ago(ended),
        **more,  # type: ignore[arg-type]
    )


def waits(prio: int, created: float, valid_in: float = 0.0) -> ReqInfo:
    return ReqInfo(2, prio, created=ago(created), valid_after=ago(created - valid_in))


def test_boards_and_queue_are_counted_as_they_are() -> None:
    boards = [
        WorkerInfo("a", WorkerState.RUN, online=True),
        WorkerInfo("b", WorkerState.IDLE, online=True),
        WorkerInfo("c", WorkerState.IDLE),
    ]
    found = farm_stats([waits(8, 60), waits(2, 10), waits(8, 5)], boards, NOW, HOUR)
    assert found.boards == {"RUNNING": 1, "IDLE": 2}
    assert found.offline == 1
    assert found.waiting == {2: 1, 8: 2}
    assert found.longest_wait_s == 60


def test_the_time_before_a_request_is_valid_is_no_wait() -> None:
    early = ReqInfo(
        1, 8, state=ReqState.INPROGRESS, created=ago(900), valid_after=ago(100), started=ago(40)
    )
    assert farm_stats([early], [], NOW, HOUR).waits == Spread(1, 60, 60)
    assert farm_stats([waits(8, 900, valid_in=1000)], [], NOW, HOUR).longest_wait_s == 0


def test_holds_turn_over_and_use_are_those_of_the_window() -> None:
    boards = [WorkerInfo("a", WorkerState.RUN, online=True)]
    jobs = [job(5000, 4500, 1800), job(1900, 1800, 900), job(1000, 900, None)]
    found = farm_stats(jobs, boards, NOW, HOUR)
    assert found.holds == Spread(2, 2700, 2700)
    assert found.waits == Spread(2, 100, 100)
    assert found.jobs_per_hour == 2
    assert found.held_share == 1.0
    assert found.outcomes == {"DONE": 2}
    assert farm_stats(jobs, boards, NOW, 1000).outcomes == {"DONE": 1}


def test_an_empty_farm_has_figures_too() -> None:
    found = farm_stats([], [], NOW, HOUR)
    assert (found.waits, found.longest_wait_s, found.held_share) == (Spread(), None, 0.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_figures_of_a_spread_were_really_seen_and_do_not_fall(values: list[float]) -> None:
    found = spread(values)
    assert found.p50_s is not None
    assert found.p95_s is not None
    assert min(values) - 0.001 <= found.p50_s <= found.p95_s <= max(values) + 0.001
    assert any(abs(found.p95_s - value) <= 0.001 for value in values)
