"""A clock that stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2030, 1, 1, tzinfo=UTC)


class ManualClock:
    """The port `Clock`: monotonic seconds and UTC go together, and only by `advance`.

    Args:
        start: the UTC time at the beginning.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> float:
        """Monotonic seconds."""
        return self._passed

    def utcnow(self) -> datetime:
        """Aware UTC."""
        return self._start + timedelta(seconds=self._passed)

    def advance(self, seconds: float) -> None:
        """Lets time pass.

        Raises:
            ValueError: time does not run backwards.
        """
        if seconds < 0:
            raise ValueError(f"{seconds} s: time does not run backwards")
        self._passed += seconds
