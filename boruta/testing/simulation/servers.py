"""The simulated server: the real engine and the real edge, which die and come back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from actors.directory import Rules
from actors.front import EngineFront
from boruta.domain.errors import Busy
from boruta.domain.ports import Endpoint
from boruta.testing.simulation.engine import EngineDispatcher, SimSystem
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.network import Network
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.promises import Promises
from boruta.testing.simulation.router import SimServer
from boruta.testing.simulation.stores import SimStore, Watch
from boruta.testing.simulation.world import World

_BACK_OFF_S = 65.0
_NOTICED_S = 2.0  # the server looks twice a second, and takes a gap of over a second for one
_NOTICES_S = 2.0  # at most, until a server knows that its store is ill
START = datetime(2030, 1, 1, tzinfo=UTC)


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
        ill: nothing is written to its disk.
        known_at_start: the boards that its store knew then.
        lost_at_start: those of them that were lost then.
    """

    process: Process

    def __init__(
        self,
        world: World,
        network: Network,
        weather: Weather,
        rules: Rules,
        watch: Watch,
        promises: Promises,
    ) -> None:
        self.world, self.network, self.weather, self.rules = world, network, weather, rules
        self._watch, self._promises = watch, promises
        self.store = SimStore(world, watch, self._refuses)
        self.ill = False
        self._well_at = 0.0
        self.wall_off = 0.0
        self.lives = 0
        self.up_since = self.stood_until = self.started_at = 0.0
        self.known_at_start: frozenset[str] = frozenset()
        self.lost_at_start: frozenset[str] = frozenset()
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
        if self.ill:  # it cannot read its store, and is started again and again until it can
            self.world.later(1.0, self.start)
            return
        self.lives += 1
        process = self.process = Process(self.world, f"server.{self.lives}", single=True)
        self.dispatcher = EngineDispatcher(self.world, process, self.wall, self.weather)
        self.access = SimAccess(self.weather, self._ports, process.loop.time)
        self.store.process = process
        self.system = SimSystem(
            self.dispatcher,
            self.store,
            self.access,
            self._make_key,
            self.world.random.random,
            self.rules,
            f"life{self.lives}",
        )
        self.front = EngineFront(self.system)
        self.server = SimServer(self.front, self.network, process, self._promises)
        self.system.start()
        self.server.start()
        self.up_since = self.stood_until = self.started_at = self.world.now
        boards = self.store.workers()
        self.known_at_start = frozenset(row.uuid for row in boards)
        self.lost_at_start = frozenset(row.uuid for row in boards if row.reason_code == "lost")

    def kill(self) -> None:
        """kill -9."""
        process = self.process
        if process.dead:
            return
        process.kill()
        self.network.process_changed(process)
        self.access.close_all()
        self.store = self.store.left()
        self._watch.rolled_back()

    def lose_store(self) -> None:
        """The disk is gone; the next life starts from nothing."""
        self.stores += 1
        self.store = SimStore(self.world, self._watch, self._refuses)

    # --- its store
    def fall_ill(self) -> bool:
        """Nothing is written to the disk any more, which is noticed soon; False: nor was it."""
        if self.ill or not self.runs:
            return False
        self.ill, store, process = True, self.store, self.process
        store.stops_writing()

        def noticed() -> None:
            if store.ill:
                store.fall_ill()

        later = _NOTICES_S * self.world.random.random()
        process.loop.call_later(later, noticed)
        return True

    def get_well(self) -> None:
        """It is written to again."""
        if not self.ill:
            return
        self.ill, self._well_at = False, self.world.now
        store = self.store
        store.writes_again()
        if store.process is not None and not store.process.dead:
            store.process.loop.call_soon(store.get_well)

    @property
    def well_since(self) -> float:
        """Since when it runs, and writes what it decides."""
        return self.world.now if self.ill else max(self.up_since, self._well_at)

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
