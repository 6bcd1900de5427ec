"""Clocks: dates are anchored at the start and follow a step only after it has held."""

from __future__ import annotations

import logging
import runpy
import time
from datetime import UTC, datetime, timedelta

import pytest

from actors.runtime import AnchoredClock, monotonic
from actors.runtime import clocks as clocks_module

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clocks:
    """A monotonic clock and a system clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.step = timedelta()
        self.anchored = AnchoredClock(lambda: self.seconds, self.wall)

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds - 1000.0) + self.step

    def passed(self, seconds: float) -> datetime:
        """The date after so many more seconds, asked for each second."""
        for _ in range(int(seconds)):
            self.seconds += 1
            self.anchored.utcnow()
        return self.anchored.utcnow()


def test_it_starts_at_the_system_date_and_goes_with_the_monotonic_clock() -> None:
    clocks = Clocks()
    assert clocks.anchored.utcnow() == NOON
    assert clocks.passed(90) == NOON + timedelta(seconds=90)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_is_logged_at_once_and_adopted_after_a_minute(
    hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = Clocks()
    clocks.step = timedelta(hours=hours)
    with caplog.at_level(logging.WARNING, "boruta.runtime"):
        assert clocks.passed(1) == NOON + timedelta(seconds=1)
        assert "clock_step step_s=" in caplog.text
        assert clocks.passed(59) == NOON + timedelta(seconds=60)
        assert clocks.passed(2) == NOON + timedelta(hours=hours, seconds=62)
    assert "clock_step_adopted" in caplog.text


def test_a_step_that_is_taken_back_is_never_adopted(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.step = timedelta(hours=1)
    clocks.passed(50)
    clocks.step = timedelta()
    assert clocks.passed(100) == NOON + timedelta(seconds=150)
    assert "clock_step_gone" in caplog.text
    assert "clock_step_adopted" not in caplog.text


def test_a_second_step_starts_the_minute_anew() -> None:
    clocks = Clocks()
    clocks.step = timedelta(hours=1)
    clocks.passed(50)
    clocks.step = timedelta(hours=2)
    assert clocks.passed(50) == NOON + timedelta(seconds=100)
    assert clocks.passed(20) == NOON + timedelta(hours=2, seconds=120)


def test_small_corrections_are_not_steps(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.step = timedelta(milliseconds=400)
    assert clocks.passed(100) == NOON + timedelta(seconds=100)
    assert caplog.text == ""


def test_the_monotonic_clock_counts_the_machines_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {time.CLOCK_BOOTTIME: 5000.0}
    with monkeypatch.context() as slept:
        slept.setattr(time, "clock_gettime", lambda which: clock.get(which, 0.0))
        assert runpy.run_path(clocks_module.__file__)["monotonic"]() == 5000.0
    assert monotonic() <= monotonic()
