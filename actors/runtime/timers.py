"""Things to do later, on one dispatcher."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import pykka

DUE_AT_ONCE = 256  # timers a turn: a herd of them must not hold the loop


class TimerHandle:
    """One thing to do later.

    Attributes:
        done: it was done or cancelled.
    """

    __slots__ = ("_action", "_ref", "done")

    def __init__(self, action: Any, ref: pykka.ActorRef[Any] | None = None) -> None:
        self._action = action  # a function, or the message for `ref`
        self._ref = ref
        self.done = False

    def cancel(self) -> None:
        """It will not be done; any thread."""
        self.done = True
        self._action = self._ref = None

    def take(self) -> tuple[Any, pykka.ActorRef[Any] | None]:
        """What is to do now; afterwards nothing is."""
        action, ref = self._action, self._ref
        self.cancel()
        return action, ref


class Timers:
    """Due times in order; equal ones in the order in which they were set.

    Args:
        alarm: told when there is a new earliest time.
    """

    def __init__(self, alarm: Callable[[], None]) -> None:
        self._heap: list[tuple[float, int, TimerHandle]] = []
        self._count = 0
        self._alarm = alarm
        self._sweep_at = 1024

    def __len__(self) -> int:
        """How many are set."""
        return sum(not handle.done for _, _, handle in self._heap)

    def add(self, at: float, handle: TimerHandle) -> None:
        """Sets a timer."""
        heap = self._heap
        self._count += 1
        heapq.heappush(heap, (at, self._count, handle))
        if len(heap) > self._sweep_at:
            self._sweep()
        if heap[0][2] is handle:
            self._alarm()

    def _sweep(self) -> None:
        """Forgets cancelled ones: most timers are, long before they are due."""
        heap = self._heap
        heap[:] = [entry for entry in heap if not entry[2].done]
        heapq.heapify(heap)
        self._sweep_at = max(1024, 2 * len(heap))

    def next(self) -> float | None:
        """The earliest time."""
        heap = self._heap
        while heap and heap[0][2].done:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> TimerHandle | None:
        """Takes one whose time has come."""
        at = self.next()
        if at is None or at > now:
            return None
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Cancels all."""
        for _, _, handle in self._heap:
            handle.cancel()
        self._heap.clear()
