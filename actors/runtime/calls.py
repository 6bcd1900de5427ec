"""Plain functions that run on a dispatcher, in the order in which they were handed over."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.runtime.clocks import stopwatch

if TYPE_CHECKING:
    from actors.runtime.watchdog import Watchdog

log = logging.getLogger("boruta.runtime")


class Calls:
    """The queue of `call_soon`; it takes turns like an actor."""

    def __init__(self) -> None:
        self.queue: deque[Callable[[], object]] = deque()
        self.ready = False

    def take(self, watchdog: Watchdog, most: int, until: float) -> int:
        """Runs up to `most` functions until `until` (stopwatch); returns how many."""
        handled = 0
        while self.queue:
            call(self.queue.popleft(), watchdog)
            handled += 1
            if handled >= most or stopwatch() >= until:
                break
        self.ready = bool(self.queue)
        return handled


def call(function: Callable[[], object], watchdog: Watchdog) -> None:
    """Calls it; whatever it raises is logged and stops nothing."""
    began = stopwatch()
    try:
        function()
    except BaseException:
        log.exception("a function that a dispatcher called failed")
    took = stopwatch() - began
    if took > watchdog.limit_s:
        watchdog.report("call", getattr(function, "__qualname__", repr(function)), took)
