"""Stand-ins for an agent's surroundings: sessions without SSH, a clock that moves when told."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from boruta.domain.commands import EndSession, Lease, Prepare, PutInMaintenance
from boruta.domain.errors import SessionAlive
from boruta.domain.types import Check, Epoch
from dryad.agent import Agent
from dryad.hardware.simulated import SimulatedHardware
from dryad.lease import Memory, Remembered
from dryad.sessions.room import Room

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHolder"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnother"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost"


class FakeAlarm:
    def __init__(self, fn: Callable[[], None]) -> None:
        self.fn: Callable[[], None] | None = fn

    def cancel(self) -> None:
        self.fn = None


class FakeClock:
    """Seconds since boot; `advance` runs what is due, in order."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._due: list[tuple[float, int, FakeAlarm]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, fn: Callable[[], None]) -> FakeAlarm:
        alarm = FakeAlarm(fn)
        heapq.heappush(self._due, (when, next(self._order), alarm))
        return alarm

    async def sleep(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not over.done():
                over.set_result(None)

        self.call_at(self._now + seconds, wake)
        await over

    async def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            when, _, alarm = heapq.heappop(self._due)
            self._now = max(self._now, when)
            if alarm.fn is not None:
                alarm.fn()
            await settle()
        self._now = until
        await settle()


async def settle() -> None:
    """Lets everything that can run without time or I/O run."""
    for _ in range(30):
        await asyncio.sleep(0)


class FakeSessions:
    """Says what is open; `stubborn` counts how many tries to end it fail."""

    username = "boruta-user"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.open_key: str | None = None
        self.stubborn = 0
        self.ends = 0
        self.hold: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.active = False
        self._on_login: Callable[[], None] | None = None

    @property
    def host_keys(self) -> tuple[str, ...]:
        return (HOST_KEY,)

    async def start(self) -> str:
        self.log.append("start")
        return "127.0.0.1:7022"

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        self.log.append(f"let_in {epoch}")
        self.open_key, self._on_login = key, on_login

    def log_in(self) -> None:
        assert self._on_login is not None
        self.active = True
        self._on_login()

    async def end(self) -> None:
        self.ends += 1
        self.log.append("end")
        self.open_key = None
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.stubborn > 0:
            self.stubborn -= 1
            raise SessionAlive("process 4711 (sleep) is alive")
        self.active = False

    async def stop(self) -> None:
        self.log.append("stop")
        self.open_key = None


class Forgetful:
    """Keeps it for the life of the process only."""

    def __init__(self) -> None:
        self.last = Remembered()

    def load(self) -> Remembered:
        """What was saved last."""
        return self.last

    async def save(self, what: Remembered) -> None:
        """Keeps it."""
        self.last = what


@dataclass
class Board:
    """An agent with everything about it."""

    memory: Memory = field(default_factory=Forgetful)
    clock: FakeClock = field(default_factory=FakeClock)
    boot: str = "boot-1"
    sessions: FakeSessions = field(default_factory=FakeSessions)
    hardware: SimulatedHardware = field(default_factory=SimulatedHardware)
    faults: list[str] = field(default_factory=list)
    news: int = 0
    checks: tuple[Check, ...] = (Check("disk", True, "1 GiB free"),)
    room: Room | None = None

    def __post_init__(self) -> None:
        async def check() -> tuple[Check, ...]:
            return self.checks

        self.agent = Agent(
            sessions=self.sessions,
            hardware=self.hardware,
            check=check,
            memory=self.memory,
            clock=self.clock,
            boot=self.boot,
            room=self.room,
        )
        self.agent.listen(on_fault=self.faults.append, on_news=self._count)

    def _count(self) -> None:
        self.news += 1

    @property
    def is_open(self) -> bool:
        return self.sessions.open_key is not None

    async def prepared(self, server: int = 1, board: int = 1, key: str = KEY) -> Board:
        """Started, and prepared under this epoch."""
        await self.agent.start()
        await self.agent.handle(prepare(server, board, key))
        return self

    async def lent(self, seconds: float = 600.0) -> Board:
        """Prepared under 1.1 and lent to request 7."""
        await self.prepared()
        await self.agent.handle(lease(remaining_s=seconds))
        return self


def prepare(server: int = 1, board: int = 1, key: str = KEY, default: float = 60.0) -> Prepare:
    return Prepare(Epoch(server, board), key, default)


def lease(
    server: int = 1, board: int = 1, id: int = 7, remaining_s: float = 600.0, rev: int = 1
) -> Lease:
    return Lease(Epoch(server, board), id, remaining_s, rev)


def maintain(server: int = 1, board: int = 1, msg: str = "under repair") -> PutInMaintenance:
    return PutInMaintenance(Epoch(server, board), msg)


def end(server: int = 1, board: int = 1, reason: str = "closed") -> EndSession:
    return EndSession(Epoch(server, board), reason)
