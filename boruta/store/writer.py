"""The one thread that writes: takes all that is queued, commits it, and tells the loop."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from boruta.domain.errors import NotLeader, StoreUnavailable, Unavailable
from boruta.store.backend import Backend, Entry

log = logging.getLogger("boruta.store")

BATCH_MOST: Final = 1000  # transactions
RETRY_S: Final = (0.1, 5.0)  # between two tries of a batch; doubling
SLOW_S: Final = 5.0  # a database that has not answered for so long counts as unwell
PRUNE_EVERY_S: Final = 60.0
PRUNE_SLICE: Final = 500  # events a transaction, some ms: whoever commits meanwhile waits for one
EVENTS_KEPT: Final = 1_000_000  # about 250 MB
EVENTS_KEPT_S: Final = 90 * 24 * 3600.0

Post = Callable[[Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How the writer goes about it; durations in seconds."""

    batch_most: int = BATCH_MOST
    retry_s: tuple[float, float] = RETRY_S
    slow_s: float = SLOW_S
    prune_every_s: float = PRUNE_EVERY_S
    prune_slice: int = PRUNE_SLICE
    events_kept: int = EVENTS_KEPT
    events_kept_s: float = EVENTS_KEPT_S


class Writer:
    """Writes entries in their order, as few transactions as it can: never one that waits for more.

    Args:
        backend: the database; this thread's alone from `start` on.
        leader_epoch: as `backend.lead` gave it.
        post: runs a function on the loop, from any thread.
        on_durable: gets, on the loop, the position up to which all is on the disk.
        on_health: gets, on the loop, the reason why nothing is written now, or None. After a
            NotLeader nothing is written any more.
        utcnow: the time, aware UTC.
        pace: bounds and durations.
    """

    def __init__(
        self,
        backend: Backend,
        leader_epoch: int,
        post: Post,
        on_durable: Callable[[int], None],
        on_health: Callable[[Unavailable | None], None],
        utcnow: Callable[[], datetime],
        pace: Pace,
    ) -> None:
        self._backend, self._leader_epoch = backend, leader_epoch
        self._post, self._on_durable, self._on_health = post, on_durable, on_health
        self._utcnow, self._pace = utcnow, pace
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._give_up = threading.Event()
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._ill: Unavailable | None = None
        self._ill_since = 0.0
        self._busy_since: float | None = None
        self._prune_at = time.monotonic() + pace.prune_every_s
        self._thread = threading.Thread(target=self._run, name="boruta-store", daemon=True)
        self._watch = threading.Thread(target=self._look, name="boruta-store-watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()
        self._watch.start()

    def put(self, entry: Entry) -> None:
        """Queues the next entry; never waits."""
        self._queue.put(entry)

    def stop(self, within_s: float) -> bool:
        """Writes what is queued, then ends; whether all was written within the time."""
        self._queue.put(None)
        self._thread.join(within_s)
        done = not self._thread.is_alive()
        self._give_up.set()
        if not done:
            self._backend.interrupt()
            self._thread.join(within_s)
        self._over.set()
        self._watch.join(within_s)
        if not self._thread.is_alive():
            self._backend.close()
        return done and self._ill is None

    # --- the thread
    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                if batch:
                    if not self._write(batch):
                        return
                    self._tell(functools.partial(self._on_durable, batch[-1].position))
                self._prune()
        except Exception:
            log.exception("store_writer_failed")
            self._fell_ill(StoreUnavailable("the store's writer failed; restart the server"))

    def _take(self) -> list[Entry] | None:
        """All that is queued, at least one; nothing when it is time to prune; None at the end."""
        try:
            first = self._queue.get(timeout=max(0.0, self._prune_at - time.monotonic()))
        except queue.Empty:
            return []
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._pace.batch_most:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)  # the end comes last of all
                break
            batch.append(following)
        return batch

    def _write(self, batch: Sequence[Entry]) -> bool:
        """Tries until it is written; False if that will never be."""
        first = batch[0].position
        delay, longest = self._pace.retry_s
        tried = False
        while True:
            self._busy_since = time.monotonic()
            try:
                self._backend.apply(batch, first, self._leader_epoch)
            except NotLeader as error:
                self._busy_since = None
                self._fell_ill(error)
                return False
            except StoreUnavailable as error:
                self._fell_ill(error)
            except Exception as error:
                if not tried:  # it may fail so for hours
                    log.exception("store_batch_failed first=%d count=%d", first, len(batch))
                self._fell_ill(StoreUnavailable(f"a defect of Boruta's: {error!r}"))
            else:
                self._busy_since = None
                self._recovered()
                return True
            self._busy_since = None
            if self._give_up.wait(delay):
                return False
            tried = True
            delay = min(2 * delay, longest)

    def _prune(self) -> None:
        """One slice of the history that is too old. The next follows the next batch, or at once."""
        now = time.monotonic()
        if now < self._prune_at:
            return
        pace = self._pace
        self._prune_at = now + pace.prune_every_s
        before = self._utcnow() - timedelta(seconds=pace.events_kept_s)
        try:
            gone = self._backend.prune(
                before, pace.events_kept, pace.prune_slice, self._leader_epoch
            )
        except Unavailable as error:
            log.warning("history_not_pruned reason=%s", error)  # a batch will meet the same
        else:
            if gone == pace.prune_slice:
                self._prune_at = now

    # --- health
    def _look(self) -> None:
        """Beside the thread that writes: notices that it hangs in the database."""
        while not self._over.wait(min(1.0, self._pace.slow_s / 4)):
            since = self._busy_since
            if since is not None and time.monotonic() - since > self._pace.slow_s:
                name, slow_s = self._backend.name, self._pace.slow_s
                self._fell_ill(StoreUnavailable(f"{name}: it has not answered for {slow_s:g} s"))
                self._backend.interrupt()

    def _fell_ill(self, error: Unavailable) -> None:
        with self._guard:
            before, self._ill = self._ill, error
            if before is None:
                self._ill_since = time.monotonic()
        if before is None or before.message != error.message:
            log.error("store_not_written code=%s reason=%s", error.code, error.message)
            self._tell(lambda: self._on_health(error))

    def _recovered(self) -> None:
        with self._guard:
            before, self._ill = self._ill, None
        if before is not None:
            log.warning("store_written_again after_s=%.1f", time.monotonic() - self._ill_since)
            self._tell(lambda: self._on_health(None))

    def _tell(self, fn: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            self._post(fn)
