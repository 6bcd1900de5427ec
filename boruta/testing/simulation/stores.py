"""The store of a simulated server: it answers from memory, and its disk comes after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from boruta.domain.errors import StoreUnavailable
from boruta.domain.rows import Conflict, JobRow, Transaction
from boruta.store.memory import MemoryStore
from boruta.testing.late_store import LateStore
from boruta.testing.simulation.process import Process

if TYPE_CHECKING:
    from boruta.testing.simulation.world import World

_CLAIM_ROWS: Final = 3  # request, worker and job
_WRITES_S: Final = (0.0002, 0.03)  # one group of commits
_STALLS: Final = 0.003  # the chance that it takes a second or more
_STALLS_S: Final = (1.0, 4.0)


class Watch(Protocol):
    """Who looks at what the server decides."""

    def before(self, transaction: Transaction) -> None:
        """A transaction was accepted; the store still has the old rows."""
        ...

    def after(self, transaction: Transaction) -> None:
        """It is applied."""
        ...

    def rolled_back(self) -> None:
        """The server died, and with it what it had decided and not written."""
        ...


class SimStore(LateStore):
    """The store as one life of the server has it.

    What is accepted is written in groups and in order, each after a while; the server hears of it
    in a step of its own. A life that is over has written what it has written.

    Args:
        world: the clock.
        watch: is told of each transaction.
        refuses: whether a claim is refused: as if another server had the board's job already.
        disk: what earlier lives left.
    """

    def __init__(
        self, world: World, watch: Watch, refuses: Callable[[], bool],
        disk: MemoryStore | None = None,
    ) -> None:  # fmt: skip
        super().__init__(disk)
        self.world, self.watch, self.refuses = world, watch, refuses
        self.process: Process | None = None  # the server's
        self.ill = False  # nothing is written, whether that was noticed or not
        self.unwell_at = 0.0
        self._group: int | None = None  # so many transactions are being written
        self._written_at = 0.0  # when they will be
        self._fuse = 0
        self._blast: Callable[[], None] = lambda: None

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way."""
        if self.process is None or self.process.dead:
            raise StoreUnavailable("this life of the server is over")
        conflict = self.check(transaction)
        if conflict is not None:
            return conflict
        if len(transaction) == _CLAIM_ROWS and self.refuses():
            return Conflict(JobRow, 0, None)
        self.watch.before(transaction)
        self._apply(transaction)
        self.position += 1
        self._log.append(transaction)
        self.watch.after(transaction)
        self._write_on()
        if self._fuse:
            self._fuse -= 1
            if not self._fuse:
                left = self._written_at - self.world.now
                self.world.later(max(0.0, left) * self.world.random.random(), self._blast)
        return None

    def dies_amid(self, commits: int, blast: Callable[[], None]) -> None:
        """Calls `blast` after so many commits: the last of them is not written yet."""
        self._fuse, self._blast = commits, blast

    # --- writing
    def _write_on(self) -> None:
        process, world = self.process, self.world
        if self._group is not None or self.ill or not self._log or process is None:
            return
        draw = world.random.random
        least, most = _STALLS_S if draw() < _STALLS else _WRITES_S
        self._group = len(self._log)
        self._written_at = world.now + least + (most - least) * draw() ** 2
        world.add(self._written_at, process, self)

    off = False

    def fire(self) -> None:
        """The group is on the disk, unless that has failed."""
        group, self._group = self._group, None
        process = self.process
        if self.ill or group is None or process is None:
            return
        self.put(group)
        process.call(self)
        self._write_on()

    def run(self) -> None:
        """The server hears of it."""
        self.tell()

    # --- its health
    @property
    def unwritten(self) -> tuple[Transaction, ...]:
        """What was accepted and is not on the disk."""
        return tuple(self._log)

    def fall_ill(self, reason: str = "the disk is full") -> None:
        """The server notices that nothing is written."""
        self.unwell_at = self.world.now
        super().fall_ill(reason)

    def stops_writing(self) -> None:
        """The disk does not take anything; the server notices later, by `fall_ill`."""
        self.ill = True

    def writes_again(self) -> None:
        """It takes what waits."""
        self.ill = False
        self._write_on()

    def left(self) -> SimStore:
        """What the next life finds: a group that was under way may have come through."""
        if self._group is not None and not self.ill and self.world.random.random() < 0.5:
            self.put(self._group)
        return SimStore(self.world, self.watch, self.refuses, self.disk)
