"""The simulated server: the real engine and the real edge, which die and come back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pykka

from actors.directory import Rules
from actors.front import EngineFront
from boruta.domain.errors import Busy, StoreUnavailable
from boruta.domain.ports import Endpoint
from boruta.domain.rows import Conflict, JobRow, Transaction
from boruta.store.memory import MemoryStore
from boruta.testing.simulation.engine import EngineDispatcher, SimSystem
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.network import Network
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.router import SimServer
from boruta.testing.simulation.world import World

_BACK_OFF_S = 65.0
_NOTICED_S = 2.0  # the server looks twice a second, and takes a gap of over a second for one
_CLAIM_ROWS = 3  # request, worker and job
START = datetime(2030, 1, 1, tzinfo=UTC)
Committed = Callable[[Transaction], None]


class SimStore(MemoryStore):
    """A store that may be kept over a restart, and tells of each commit.

    `before` sees a transaction that was accepted, while the store still has the old rows. `refuses`
    says whether a claim is refused: as if another server had the board's job already.
    """

    survives = True

    def __init__(self, before: Committed, after: Committed, refuses: Callable[[], bool]) -> None:
        super().__init__()
        self.before, self.after, self.refuses = before, after, refuses

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way."""
        conflict = self.check(transaction)
        if conflict is not None:
            return conflict
        if len(transaction) == _CLAIM_ROWS and self.refuses():
            return Conflict(JobRow, 0, None)
        self.before(transaction)
        super().commit(transaction)
        self.after(transaction)
        return None


class LifeStore:
    """The store as one life of the server sees it: a dead one writes no more."""

    def __init__(self, store: SimStore, process: Process) -> None:
        self._process = process
        self._store = store
        self.survives = store.survives
        self.name, self.deposed = store.name, store.deposed
        for name in (
            "next_request", "next_seq", "request", "job", "live_job", "worker", "by_token",
            "requests", "page_of_requests", "workers",
            # It writes at once, and is never unwell.
            "when_written", "on_health", "position", "written", "unwell", "full",
        ):
            setattr(self, name, getattr(store, name))

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing."""
        if self._process.dead:
            raise StoreUnavailable("this life of the server is over")
        return self._store.commit(transaction)


class SimAccess:
    """The port `Access`: which port leads to which board, and nothing behind it."""

    def __init__(self, weather: Weather, ports: Iterator[int], now: Callable[[], float]) -> None:
        self._weather = weather
        self._now = now
        self._ports = ports
        self.reserved: set[Endpoint] = set()
        self.opened: dict[Endpoint, str] = {}
        self.refused_at = float("-inf")

    def reserve(self) -> Endpoint:
        """Takes the next port."""
        if self._weather.strikes("no_tunnel"):
            self.refused_at = self._now()
            raise Busy("no port is free")
        endpoint = Endpoint("10.0.0.1", next(self._ports))
        self.reserved.add(endpoint)
        return endpoint

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Leads to `target` from now on; one of an earlier life is reserved again."""
        self.reserved.add(endpoint)
        self.opened.setdefault(endpoint, target)

    def close(self, endpoint: Endpoint) -> None:
        """Gives the port back."""
        self.reserved.discard(endpoint)
        self.opened.pop(endpoint, None)

    def close_all(self) -> None:
        """Gives every port back."""
        self.reserved.clear()
        self.opened.clear()


class ServerHost:
    """The machine that the server runs on.

    Attributes:
        wall_off: seconds by which its wall clock is wrong.
        up_since: when the server last began to run, or went on after a standstill.
        stood_until: the same, where the standstill was long enough to be noticed.
        started_at: when its process began.
        known_at_start: the boards that its store knew then.
    """

    process: Process

    def __init__(
        self, world: World, network: Network, weather: Weather, rules: Rules,
        before: Committed, after: Committed,
    ) -> None:
        self.world, self.network, self.weather, self.rules = world, network, weather, rules
        self._before, self._after = before, after
        self.store = SimStore(before, after, self._refuses)
        self.wall_off = 0.0
        self.lives = 0
        self.up_since = self.stood_until = self.started_at = 0.0
        self.known_at_start: frozenset[str] = frozenset()
        self._keys = 0
        self._ports = itertools.cycle(range(10_000, 60_000))  # a stale one is noticed
        self.stores = 0

    def _refuses(self) -> bool:
        if not self.weather.strikes("claim_refused"):
            return False
        self.access.refused_at = self.world.now
        return True

    def _make_key(self) -> tuple[str, str]:
        self._keys += 1
        return f"private {self._keys}", public_of(f"private {self._keys}")

    def wall(self) -> datetime:
        """The machine's date."""
        return START + timedelta(seconds=self.world.now + self.wall_off)

    @property
    def runs(self) -> bool:
        """The server is there and not frozen."""
        return self.lives > 0 and self.process.runs

    @property
    def tunnels_full(self) -> bool:
        """Boards may wait because a tunnel could not be opened, or a claim was refused."""
        return self.world.now - self.access.refused_at < _BACK_OFF_S

    def start(self) -> None:
        """A new life of the server, on the store that is there; nothing if it lives."""
        if self.lives and not self.process.dead:
            return
        self.lives += 1
        process = self.process = Process(
            self.world, f"server.{self.lives}", single=True
        )
        self.dispatcher = EngineDispatcher(self.world, process, self.wall, self.weather)
        self.access = SimAccess(self.weather, self._ports, process.loop.time)
        store = LifeStore(self.store, process)
        self.system = SimSystem(
            self.dispatcher, store, self.access,  # type: ignore[arg-type]
            self._make_key, self.world.random.random, self.rules, f"life{self.lives}",
        )
        self.front = EngineFront(self.system)
        self.server = SimServer(self.front, self.network, process)
        self.system.start()
        self.server.start()
        self.up_since = self.stood_until = self.started_at = self.world.now
        self.known_at_start = frozenset(row.uuid for row in self.store.workers())

    def kill(self) -> None:
        """kill -9."""
        process = self.process
        if process.dead:
            return
        process.kill()
        for actor in tuple(self.dispatcher.registry):
            if actor.use_pykka_registry:
                pykka.ActorRegistry.unregister(actor.actor_ref)
        self.network.process_changed(process)
        self.access.close_all()

    def lose_store(self) -> None:
        """The disk is gone; the next life starts from nothing."""
        self.stores += 1
        self.store = SimStore(self._before, self._after, self._refuses)

    def freeze(self) -> None:
        """It stands still."""
        if self.runs:
            self.system.look()
            self.process.freeze()
            self.network.process_changed(self.process)

    def resume(self) -> None:
        """It goes on."""
        process = self.process
        if process.dead or not process.frozen:
            return
        gap = self.world.now - process.frozen_at
        process.resume()
        self.system.look()
        process.loop.call_soon(self.server.look, gap)
        self.network.process_changed(process)
        self.up_since = self.world.now
        if gap > _NOTICED_S:
            self.stood_until = self.world.now

    def knew(self, uuid: str) -> bool:
        """Whether a board was there before, as far as this life of the server can know."""
        return uuid in self.known_at_start or self.world.now - self.started_at > 600.0


def public_of(private: str) -> str:
    """The public key line of a private key of the simulation."""
    return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{private.split()[-1]:0>44}"
