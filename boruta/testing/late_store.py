"""A store with a disk of its own, in memory: written when a test says so, lost by its crash."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable

from boruta.domain.errors import StoreUnavailable
from boruta.domain.rows import Conflict, Transaction
from boruta.store.memory import MemoryStore


class LateStore(MemoryStore):
    """Answers at once and writes behind, as the real ones do.

    Args:
        disk: what an earlier life left; empty if there was none.
        on_commit: called after each accepted transaction, to have it written some time.
    """

    survives = True

    def __init__(
        self, disk: MemoryStore | None = None, on_commit: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.disk = MemoryStore() if disk is None else disk
        self._adopt(self.disk)
        self.position = self.written = 0
        self._on_disk = 0
        self.unwell: StoreUnavailable | None = None
        self.full = False
        self.on_commit = on_commit
        self._log: deque[Transaction] = deque()
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._told: list[Callable[[], None]] = []

    def _adopt(self, other: MemoryStore) -> None:
        """Becomes the same image; rows are never changed in place, so they may be shared."""
        for name, value in vars(other).items():
            if name != "_tables":
                setattr(self, name, copy.copy(value))
        self._tables = {
            kind: next(mine for name, mine in vars(self).items() if vars(other).get(name) is theirs)
            for kind, theirs in other._tables.items()
        }

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """As MemoryStore's; what it accepts is written later."""
        conflict = super().commit(transaction)
        if conflict is None:
            self.position += 1
            self._log.append(transaction)
            self.on_commit()
        return conflict

    def write(self, most: int | None = None) -> None:
        """Writes what was accepted first, up to `most` transactions; tells who waits for it."""
        if self.unwell is None:
            self.put(most)
            self.tell()

    def put(self, most: int | None = None) -> None:
        """Puts what was accepted first on the disk; nobody hears of it before `tell`."""
        for _ in range(len(self._log) if most is None else min(most, len(self._log))):
            if self.disk.commit(self._log.popleft()) is not None:
                raise AssertionError("what memory accepted, the disk refuses")
            self._on_disk += 1
        self.disk._last_id, self.disk._last_seq = self._last_id, self._last_seq

    def tell(self) -> None:
        """Tells whoever waits for what is on the disk."""
        self.written = self._on_disk
        while self._waiting and self._waiting[0][0] <= self.written:
            self._waiting.popleft()[1]()

    def when_written(self, position: int, then: Callable[[], None]) -> None:
        """Calls `then` when `write` has come that far."""
        if position <= self.written:
            then()
            return
        at = len(self._waiting)
        while at and self._waiting[at - 1][0] > position:
            at -= 1
        self._waiting.insert(at, (position, then))

    def on_health(self, told: Callable[[], None]) -> None:
        """Whom `fall_ill` and `get_well` tell."""
        self._told.append(told)

    def fall_ill(self, reason: str = "the disk is full") -> None:
        """Nothing is written from now on."""
        self.unwell = StoreUnavailable(reason, retry_after_s=1.0)
        self._tell()

    def get_well(self) -> None:
        """It writes again, when told to."""
        self.unwell = None
        self._tell()

    def _tell(self) -> None:
        for told in self._told:
            told()

    def crash(self) -> LateStore:
        """What the next life of the server finds: what was written, and nothing else."""
        return LateStore(self.disk, self.on_commit)
