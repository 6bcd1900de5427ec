"""Changes for a host's own actors and callables: one thread, a bounded queue for each."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from boruta.domain import defaults
from boruta.domain.changes import Change, Gap

log = logging.getLogger("boruta.delivery")


class Lane:
    """The queue of one subscriber. When it is full, what comes is lost and told as a Gap."""

    def __init__(self, delivery: Delivery, deliver: Callable[[Change], None], most: int) -> None:
        self._delivery = delivery
        self._deliver = deliver
        self._most = most
        self._queue: deque[Change] = deque()
        self._gap: Gap | None = None
        self.closed = False

    def put(self, change: Change) -> None:
        """Queues a change; never blocks."""
        if self.closed:
            return
        if len(self._queue) >= self._most:
            self._gap = Gap(change.seq, change.at)
            return
        if self._gap is not None:
            self._queue.append(self._gap)
            self._gap = None
        self._queue.append(change)
        self._delivery.wake(self)

    def drain(self) -> None:
        """Delivers what is queued; a subscriber that raises goes on with the next change."""
        while not self.closed:
            try:
                change = self._queue.popleft()
            except IndexError:
                if self._gap is None:
                    return
                change, self._gap = self._gap, None
            try:
                self._deliver(change)
            except Exception:
                log.exception("a subscriber failed")
                if _is_dead(self._deliver):
                    self.closed = True

    def close(self) -> None:
        """Delivers no more."""
        self.closed = True
        self._queue.clear()


def _is_dead(deliver: Callable[[Change], None]) -> bool:
    owner = getattr(deliver, "__self__", None)
    alive = getattr(owner, "is_alive", None)
    return alive is not None and not alive()


class Delivery:
    """The delivery thread of one farm."""

    def __init__(self, most: int = defaults.SUBSCRIBER_QUEUE) -> None:
        self._most = most
        self._awake: deque[Lane] = deque()
        self._signal = threading.Semaphore(0)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="boruta-delivery", daemon=True)
        self._thread.start()

    def lane(self, deliver: Callable[[Change], None]) -> Lane:
        """A queue for one subscriber."""
        return Lane(self, deliver, self._most)

    def wake(self, lane: Lane) -> None:
        """Something is queued."""
        self._awake.append(lane)
        self._signal.release()

    def _run(self) -> None:
        while True:
            self._signal.acquire()
            if self._closed:
                return
            self._awake.popleft().drain()

    def close(self) -> None:
        """Ends the thread."""
        self._closed = True
        self._signal.release()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)
