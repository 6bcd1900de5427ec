"""Changes for a host's own actors and callables: one thread, a bounded queue for each."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from boruta.domain import defaults
from boruta.domain.changes import Change, Gap
from boruta.domain.ports import Subscription

if TYPE_CHECKING:
    from boruta.loops import LoopThread

log = logging.getLogger("boruta.delivery")


class Lane:
    """The queue of one subscriber. When it is full, what comes is lost and told as a Gap."""

    def __init__(self, delivery: Delivery, deliver: Callable[[Change], None], most: int) -> None:
        self._delivery = delivery
        self._deliver = deliver
        self._most = most
        self._lock = threading.Lock()
        self._queue: deque[Change] = deque()
        self._gap: Gap | None = None
        self.closed = False

    def put(self, change: Change) -> None:
        """Queues a change; never blocks for long."""
        with self._lock:
            if self.closed:
                return
            if len(self._queue) >= self._most:
                self._gap = Gap(change.seq, change.at)
                return
            gap, self._gap = self._gap, None
            queued = (change,) if gap is None else (gap, change)
            self._queue.extend(queued)
        for _ in queued:
            self._delivery.wake(self)

    def deliver_one(self) -> None:
        """Delivers one change; a Gap too if what was lost would have been the next."""
        with self._lock:
            change = self._queue.popleft() if self._queue else None
        if change is not None:
            self._give(change)
        with self._lock:
            gap = None if self._queue else self._gap
            if gap is not None:
                self._gap = None
        if gap is not None:
            self._give(gap)

    def _give(self, change: Change) -> None:
        if self.closed:
            return
        try:
            self._deliver(change)
        except BaseException:  # a SystemExit too must not stop the others' deliveries
            if _is_dead(self._deliver):
                log.info("subscriber_gone: its actor has stopped")
                self.close()
            else:
                log.exception("subscriber_failed change=%s", type(change).__name__)

    def close(self) -> None:
        """Delivers no more."""
        with self._lock:
            self.closed = True
            self._queue.clear()
            self._gap = None


def _is_dead(deliver: Callable[[Change], None]) -> bool:
    owner = getattr(deliver, "__self__", None)
    alive = getattr(owner, "is_alive", None)
    return callable(alive) and not alive()


class Delivery:
    """A thread that hands changes to any number of subscribers, one change of each in turn."""

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
        """One change more is queued there."""
        self._awake.append(lane)
        self._signal.release()

    def _run(self) -> None:
        while True:
            self._signal.acquire()
            if self._closed:
                return
            self._awake.popleft().deliver_one()

    def close(self) -> None:
        """Ends the thread; what is queued is dropped."""
        self._closed = True
        self._signal.release()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)


class Subscribed:
    """A subscription; `close` ends it."""

    def __init__(self, thread: LoopThread, inner: Subscription, lane: Lane) -> None:
        self._thread = thread
        self._inner = inner
        self._lane = lane

    def close(self) -> None:
        """Delivers no more; idempotent."""
        self._lane.close()
        self._thread.tell(self._inner.close)
