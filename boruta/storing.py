"""From the words of a configuration to a store that this server, and no other, may write."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boruta.domain.errors import ShuttingDown
from boruta.domain.ports import Clock, Store
from boruta.store.memory import MemoryStore
from boruta.version import SOFTWARE

if TYPE_CHECKING:
    from boruta.peers import Peer
    from boruta.store.backend import ServerIdentity
    from boruta.store.database import SqlBackend
    from boruta.store.leader import Leadership, Seen

_RELEASE_S: Final = 1.0
_DEPOSED_S: Final = 0.2  # nothing of it will be written


@dataclass(frozen=True, slots=True)
class Stored:
    """An open store; `lead` where several servers may share its database."""

    store: Store
    lead: Leadership | None = None

    @property
    def leads(self) -> bool:
        """Whether no other server can act on this store now."""
        return self.lead is None or self.lead.holds

    def close(self, within_s: float) -> None:
        """Writes what waits, closes, and lets the next one lead at once. May block."""
        self.store.close(_DEPOSED_S if self.store.deposed else within_s)
        if self.lead is not None:
            self.lead.release(_RELEASE_S)


@dataclass(frozen=True, slots=True)
class Opening:
    """What is needed to open a store.

    Attributes:
        database: `memory:`, `sqlite:` (also if empty) or `postgresql://...`.
        data: the data directory, whose lock is held.
        address: where this server is reached.
        local_key: the public key of the data directory: it tells this server from others.
        clock: the time.
        loop: whoever waits for something to be written is told on it.
    """

    database: str
    data: Path
    address: str
    local_key: str
    clock: Clock
    loop: asyncio.AbstractEventLoop

    async def open(self, seen: Seen | None = None) -> Stored:
        """Opens it beside the loop; where another server leads, waits until it does not.

        One that is cancelled leaves nothing open.

        Args:
            seen: called on the loop, again and again, while another server leads: its address, and
                whom it admits.

        Raises:
            BorutaError: it cannot be used; the text says why.
        """
        if self.database == "memory:":
            return Stored(MemoryStore())
        give_up = threading.Event()
        # Not of the loop's own threads: this one may wait for days, and nobody waits for it.
        done: asyncio.Future[Stored] = self.loop.create_future()

        def run() -> None:
            try:
                found = self._open(give_up, seen)
            except BaseException as error:
                _settle(self.loop, done, error=error)
                return
            if not _settle(self.loop, done, found):
                found.close(0.0)

        threading.Thread(target=run, name="boruta-open", daemon=True).start()
        try:
            return await done
        finally:
            give_up.set()

    def _open(self, give_up: threading.Event, seen: Seen | None) -> Stored:
        from boruta.store.opening import open_backend

        backend = open_backend(
            self.database or "sqlite:", self.data, self._identity(), self.clock.utcnow
        )
        try:
            return self._led(backend, give_up, seen)
        except BaseException:
            backend.close()
            raise

    def _led(self, backend: SqlBackend, give_up: threading.Event, seen: Seen | None) -> Stored:
        from boruta.store.durable import DurableStore
        from boruta.store.postgres import PostgresBackend

        post, utcnow = self.loop.call_soon_threadsafe, self.clock.utcnow
        if not isinstance(backend, PostgresBackend):
            return Stored(DurableStore(backend, post, utcnow))
        from boruta.store.leader import Leadership

        def told(leader: str, peers: Sequence[Peer]) -> None:
            if seen is not None:
                post(seen, leader, peers)

        lead = Leadership(backend, self._identity(), self.clock.now)
        if not lead.wait(give_up, told):
            raise ShuttingDown("stopped while another server led")
        store = DurableStore(backend, post, utcnow, leader_epoch=lead.epoch)
        lead.keep(post, store.depose)
        return Stored(store, lead)

    def _identity(self) -> ServerIdentity:
        from boruta.store.backend import ServerIdentity

        mark = hashlib.sha256(self.local_key.encode()).hexdigest()[:8]
        return ServerIdentity(f"{platform.node()}-{mark}", self.address, SOFTWARE)


def _settle(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[Stored],
    found: Stored | None = None,
    error: BaseException | None = None,
) -> bool:
    """Hands it over on the loop; whether anybody took it. From another thread."""
    taken, told = False, threading.Event()

    def hand_over() -> None:
        nonlocal taken
        if not done.done():
            taken = True
            if error is not None:
                done.set_exception(error)
            elif found is not None:
                done.set_result(found)
        told.set()

    try:
        loop.call_soon_threadsafe(hand_over)
    except RuntimeError:  # the loop is closed
        return False
    while not told.wait(0.5):
        if loop.is_closed():
            break
    return taken
