"""The agent's clock: seconds that go on while the machine sleeps, and timers on them."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

# The loop's own timers stand still while the machine sleeps: look again at least this often.
LOOK_AGAIN_S: Final = 5.0
_STA_UNSYNC: Final = 0x0040  # of adjtimex(2)
_STA_NANO: Final = 0x2000


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """It does not come any more."""
        ...


class Clock(Protocol):
    """Time as the agent sees it. Seconds since boot, suspended time included."""

    def now(self) -> float:
        """CLOCK_BOOTTIME in seconds."""
        ...

    def call_at(self, when: float, fn: Callable[[], None]) -> Alarm:
        """Calls `fn` once `now()` has reached `when`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Comes back after `seconds`."""
        ...


class _BootAlarm:
    def __init__(self, clock: BootClock, when: float, fn: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._fn = fn
        self._handle: asyncio.TimerHandle | None = None
        self._look()

    def _look(self) -> None:
        left = self._when - self._clock.now()
        if left <= 0 and self._handle is not None:
            self._fn()
            return
        # The first look always goes through the loop: `fn` never runs inside call_at.
        wait = min(max(left, 0.0), LOOK_AGAIN_S)
        self._handle = asyncio.get_running_loop().call_later(wait, self._look)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class BootClock:
    """The real clock, with timers on the running loop."""

    def now(self) -> float:
        """CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def call_at(self, when: float, fn: Callable[[], None]) -> Alarm:
        """Calls `fn` on the loop once `when` has come."""
        return _BootAlarm(self, when, fn)

    async def sleep(self, seconds: float) -> None:
        """Comes back after `seconds` of the loop's time."""
        await asyncio.sleep(seconds)


def boot_id() -> str:
    """What names this boot of the machine; CLOCK_BOOTTIME means nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


class _Timex(ctypes.Structure):
    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


def wall_clock_error() -> float | None:
    """How far the date is off, in seconds, as the kernel was told by NTP; None: nobody told it."""
    found = _Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(found))
    if state < 0 or found.status & _STA_UNSYNC:
        return None
    return float(found.offset * (1e-9 if found.status & _STA_NANO else 1e-6))


def utc_now() -> datetime:
    """The date, which may be wrong: for people, and never to time a job by."""
    return datetime.now(UTC)
