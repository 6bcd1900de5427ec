"""Where time comes from: durations, and dates that no step of the system clock moves at once."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger("boruta.runtime")

STEP_S = 1.0  # less is slewed by NTP, which the monotonic clock follows too
ADOPT_AFTER_S = 60.0  # a wrong time from a bad NTP answer is usually corrected sooner
LOOK_EVERY_S = 1.0  # how often the system clock is compared, at most

stopwatch = time.perf_counter
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


# Seconds since the machine started, those of its sleep included (CLOCK_BOOTTIME).
monotonic: Callable[[], float] = functools.partial(time.clock_gettime, _BOOTTIME)


def system_utc() -> datetime:
    """The system's date."""
    return datetime.now(UTC)


class AnchoredClock:
    """UTC that is read once and then advanced by the monotonic clock.

    A step of the system clock is logged when it is seen, and adopted after it has held for
    `ADOPT_AFTER_S`. It is looked for when the time is asked for, so an idle clock costs nothing.

    Args:
        monotonic: seconds, never going back.
        wall: the system's date, which may jump.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = monotonic,
        wall: Callable[[], datetime] = system_utc,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._anchor = wall()
        self._since = self._looked = monotonic()
        self._step: float | None = None  # seconds by which the system clock differs
        self._seen = 0.0

    def utcnow(self) -> datetime:
        """The date, aware, UTC."""
        now = self._monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._look(now)
        return self._at(now)

    def _at(self, now: float) -> datetime:
        return self._anchor + timedelta(seconds=now - self._since)

    def _look(self, now: float) -> None:
        self._looked = now
        off = (self._wall() - self._at(now)).total_seconds()
        if abs(off) < STEP_S:
            if self._step is not None:
                log.warning("clock_step_gone step_s=%+.1f", self._step)
                self._step = None
        elif self._step is None or abs(off - self._step) >= STEP_S:
            log.warning("clock_step step_s=%+.1f adopted_after_s=%.0f", off, ADOPT_AFTER_S)
            self._step, self._seen = off, now
        elif now - self._seen >= ADOPT_AFTER_S:
            log.warning("clock_step_adopted step_s=%+.1f", off)
            self._anchor, self._since = self._at(now) + timedelta(seconds=off), now
            self._step = None
