"""The image in memory that actors work on, and behind it the log of its transactions on a disk."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from boruta.domain.errors import InternalLogicError, NotLeader, StoreUnavailable, Unavailable
from boruta.domain.history import Event
from boruta.domain.rows import Conflict, JobRow, Remove, RequestRow, Row, Transaction, Write
from boruta.domain.types import ReqID, ReqState, WorkerUUID
from boruta.store.backend import Backend, Entry
from boruta.store.memory import MemoryStore
from boruta.store.writer import Pace, Post, Writer

log = logging.getLogger("boruta.store")

# Transactions that wait for the disk, about 1 kB each. Past it no request is taken any more
# (`commit` raises StoreUnavailable); what goes on, closes and ends of jobs, is bounded by what
# lives then.
OUTSTANDING_MOST: Final = 10_000
CLOSE_WITHIN_S: Final = 10.0


class DurableStore(MemoryStore):
    """A `Store` that survives: each accepted transaction is logged, in order, by a thread.

    A crash leaves exactly a beginning of the transactions that were accepted, with all that
    `when_written` has told. So whoever is about to do something that others can see (answer, tell
    an agent, open a tunnel) waits by `when_written`.

    All methods are to be called on the loop's thread.

    Attributes:
        position: of the last accepted transaction; goes on from the last life's.
        written: up to which position all is on the disk.
        unwell: why nothing is written now; it heals by itself, unless `deposed`.
        deposed: another server writes: nothing will be written any more, nothing may be told
            outside, whoever runs the engine has to stop it.
        full: so much waits that no new request is taken.
        leader_epoch: of this life; each one's is higher than all before.
        lost_keys: rows whose private key was sealed under another store.key.

    Args:
        backend: an open database, which is loaded here; takes the lead over whoever had it.
        post: runs a function on the loop, from any thread: `loop.call_soon_threadsafe`.
        utcnow: the time, aware UTC, for the history.
        most: how many transactions may wait for the disk.
        pace: how the writer goes about it.
        leader_epoch: of a lead that was taken already; None: it is taken here.

    Raises:
        StoreUnavailable: it cannot be read; the text says why.
    """

    survives = True

    def __init__(
        self,
        backend: Backend,
        post: Post,
        utcnow: Callable[[], datetime],
        *,
        most: int = OUTSTANDING_MOST,
        pace: Pace | None = None,
        leader_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.name = backend.name
        self._backend = backend
        self.leader_epoch = backend.lead() if leader_epoch is None else leader_epoch
        image = backend.load()
        # By (host, port) and (board, its epoch): the job that has or had it. Memory refuses what
        # the database's unique indexes would.
        self._tunnels: dict[tuple[str, int], ReqID] = {}
        self._epochs: dict[tuple[str, int], ReqID] = {}
        rows: list[Row] = [*image.workers, *image.requests, *image.jobs]
        for row in rows:
            self._put(row)
            if isinstance(row, JobRow):
                self._note(row)
        self._last_id, self._last_seq = image.last_id, image.last_seq
        self.position = self.written = image.position
        self.lost_keys = tuple(image.lost_keys)
        self.server_epochs = dict(image.server_epochs)
        self.unwell: StoreUnavailable | None = None
        self.deposed: NotLeader | None = None
        self.full = False
        self._most = most
        self._utcnow = utcnow
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []  # a heap
        self._calls = itertools.count()
        self._listeners: list[Callable[[], None]] = []
        self._writer = Writer(
            backend,
            self.leader_epoch,
            post,
            self._advance,
            self._told_health,
            utcnow,
            Pace() if pace is None else pace,
        )
        self._closed = False
        self._writer.start()
        if self.lost_keys:
            log.error(
                "store_keys_lost rows=%s: sealed under another store.key; put that one back",
                ",".join(self.lost_keys),
            )

    # --- transactions
    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way.

        It is on the disk when `written` has reached what `position` is afterwards.

        Args:
            transaction: what to change.
            by: who asked for it, for the history.

        Raises:
            StoreUnavailable: it has a new request, and too many transactions wait for the disk.
        """
        if self.full and _makes_request(transaction):
            raise StoreUnavailable(
                "too many changes wait for the database"
                + (f": {self.unwell.message}" if self.unwell else "")
            )
        tables = self._tables
        before = tuple(
            tables[type(c.row)].get(c.row[0]) if isinstance(c, Write) else tables[c.kind].get(c.id)
            for c in transaction
        )
        conflict = super().commit(transaction)
        if conflict is not None:
            return conflict
        for change, old in zip(transaction, before, strict=True):
            self._keep_indexes(change, old)
        self.position += 1
        self._writer.put(
            Entry(
                self.position,
                transaction,
                before,
                self._last_id,
                self._last_seq,
                self._utcnow(),
                by,
            )
        )
        if not self.full and self.position - self.written >= self._most:
            self._set_full(True)
        return None

    def check(self, transaction: Transaction) -> Conflict | None:
        """The first row that stands in the way of it; changes nothing."""
        conflict = super().check(transaction)
        if conflict is not None:
            return conflict
        for change in transaction:
            if isinstance(change, Write):
                if isinstance(change.row, JobRow) and self._takes_another(change.row):
                    conflict = self._in_the_way_of(change.row)
                    if conflict is not None:
                        return conflict
            elif change.kind is RequestRow:
                job = self._jobs.get(int(change.id))
                if job is not None and job.ended_at is None:
                    raise InternalLogicError(f"request {change.id} is removed while its job lives")
        return None

    def _takes_another(self, new: JobRow) -> bool:
        """Whether the row names a key or a port that it did not name before."""
        old = self._jobs.get(new.request_id)
        if old is None:
            return True
        return (old.board_epoch, old.tunnel_port, old.tunnel_host) != (
            new.board_epoch,
            new.tunnel_port,
            new.tunnel_host,
        )

    def _in_the_way_of(self, new: JobRow) -> Conflict | None:
        other = self._epochs.get((new.worker_uuid, new.board_epoch))
        if other is not None and other != new.request_id:
            return Conflict(JobRow, new.request_id, self._jobs.get(other))
        other = self._tunnels.get((new.tunnel_host, new.tunnel_port))
        if other is None or other == new.request_id:
            return None
        there, holder = self._jobs.get(other), self._requests.get(other)
        if there is None or there.ended_at is not None or holder is None:
            return None
        if holder.state is not ReqState.INPROGRESS:
            return None  # its tunnel was closed with it, though the session may live on (A4)
        return Conflict(JobRow, new.request_id, there)

    def _keep_indexes(self, change: Write | Remove, old: Row | None) -> None:
        if isinstance(change, Write):
            if isinstance(change.row, JobRow):
                self._note(change.row)
        elif isinstance(change.id, str):
            # A board that is set up anew counts its epochs from the start.
            gone = [key for key in self._epochs if key[0] == change.id]
            for key in gone:
                del self._epochs[key]

    def _note(self, job: JobRow) -> None:
        if job.tunnel_port:
            self._tunnels[job.tunnel_host, job.tunnel_port] = job.request_id
        self._epochs[job.worker_uuid, job.board_epoch] = job.request_id

    # --- what is on the disk
    def when_written(self, position: int, then: Callable[[], None]) -> None:
        """Calls `then` once `written` has reached `position`: at once if it has.

        In the order of positions, those of one position in the order of the calls.
        """
        if position <= self.written:
            then()
        else:
            heapq.heappush(self._waiting, (position, next(self._calls), then))

    def on_health(self, told: Callable[[], None]) -> None:
        """Calls `told` each time `unwell`, `deposed` or `full` has changed."""
        self._listeners.append(told)

    def history(
        self, request: ReqID | None, worker: WorkerUUID | None, before: int | None, limit: int
    ) -> Sequence[Event]:
        """What was written of it; reads the database, so for another thread than the loop's.

        Raises:
            StoreUnavailable: it cannot be read now.
        """
        return self._backend.history(request, worker, before, limit)

    def close(self, within_s: float = CLOSE_WITHIN_S) -> bool:
        """Writes what waits and closes; whether all was written within the time. Idempotent.

        What `when_written` still waits for is called by the loop, if it goes on.
        """
        if self._closed:
            return self.unwell is None
        self._closed = True
        done = self._writer.stop(within_s)
        if not done:
            log.error("store_closed_unwritten last=%d", self.position)
        return done

    def _advance(self, position: int) -> None:
        self.written = max(self.written, position)
        if self.full and self.position - self.written <= self._most // 2:
            self._set_full(False)
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.written:
            _, _, then = heapq.heappop(waiting)
            self._call(then)

    def _set_full(self, full: bool) -> None:
        self.full = full
        log.warning("store_full=%s waiting=%d", full, self.position - self.written)
        self._tell()

    def depose(self, why: NotLeader) -> None:
        """Another server leads, as somebody else has noticed before the writer."""
        if self.deposed is None and not self._closed:
            self._told_health(why)

    def _told_health(self, error: Unavailable | None) -> None:
        if isinstance(error, NotLeader):
            self.deposed = error
            self.unwell = StoreUnavailable(error.message)
        elif self.deposed is None:
            assert error is None or isinstance(error, StoreUnavailable)
            self.unwell = error
        self._tell()

    def _tell(self) -> None:
        for told in tuple(self._listeners):
            self._call(told)

    def _call(self, fn: Callable[[], None]) -> None:
        # One that fails must not cost the others that they hear of it.
        try:
            fn()
        except Exception:
            log.exception("store_callback_failed")


def _makes_request(transaction: Transaction) -> bool:
    return any(
        isinstance(change, Write) and not change.was and isinstance(change.row, RequestRow)
        for change in transaction
    )
