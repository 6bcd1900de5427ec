"""How long an event loop is held by one turn, as a timer of a millisecond sees it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_EVERY_S: Final = 0.001


class Turns:
    """A timer that rings every millisecond while it is entered; `longest_s` is what it was late."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Turns:
        self._again()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look()

    def _again(self) -> None:
        self._due = time.perf_counter() + _EVERY_S
        self._timer = self._loop.call_later(_EVERY_S, self._rang)

    def _rang(self) -> None:
        self._look()
        self._again()

    def _look(self) -> None:
        self.longest_s = max(self.longest_s, time.perf_counter() - self._due)
