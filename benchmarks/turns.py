"""How long an event loop is held by one turn, in processor time of its thread."""

from __future__ import annotations

import asyncio
import time


class Turns:
    """Looks once a turn while it is entered; `longest_s` is what the longest turn took.

    It keeps the loop spinning, so that nothing else should be measured meanwhile. Processor time is
    what the loop is held for on a machine that does nothing else.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._over = False

    def __enter__(self) -> Turns:
        self._last = time.thread_time()
        self._loop.call_soon(self._turn)
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        if not self._over:
            self._loop.call_soon(self._turn)
