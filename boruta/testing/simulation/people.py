"""Users who want boards, hold them, forget them and come back; and an admin for the boards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from boruta.domain.errors import BorutaError
from boruta.domain.types import (
    AccessInfo,
    Caller,
    ReqID,
    ReqInfo,
    Role,
    UserInfo,
    WorkerState,
)
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.lines import SERVER, Machine
from boruta.testing.simulation.network import Network
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.servers import ServerHost, public_of
from transport.client import Link
from transport.remote_requests import RemoteRequests, RemoteWorkers

_PATIENCE_S = 60.0  # for a call that should be answered at once


@dataclass(slots=True)
class Visit:
    """What somebody wants of the farm.

    Durations in seconds. `caps` and `groups` of the board; `hold_s` how long he needs it.

    Attributes:
        request: its id, once the server has told it.
    """

    caps: dict[str, str] = field(default_factory=dict)
    priority: int = 8
    hold_s: float = 600.0
    job_timeout_s: float = 3600.0
    groups: tuple[str, ...] = ()
    after_s: float = 0.0
    deadline_s: float = 86_400.0
    bound: bool = False
    leaves: bool = False  # without closing: the job's time ends it
    token: str = field(default="", repr=False)
    request: ReqID | None = field(default=None, init=False)


@dataclass(slots=True)
class Told:
    """What people report to whoever watches the simulation."""

    accepted: Callable[[Machine, ReqID], None]
    refused: Callable[[Exception], None]
    entered: Callable[[Board, str], None]
    shut_out: Callable[[Board, str], None]
    closed: Callable[[ReqID], None]


class User(Machine):
    """A client's machine."""

    def __init__(
        self,
        network: Network,
        weather: Weather,
        number: int,
        server: ServerHost,
        boards: dict[str, Board],
        told: Told,
    ) -> None:
        name = f"user-{number}"
        super().__init__(network, name, Caller(name, Role.USER), f"10.0.2.{number % 250 + 1}")
        self.weather = weather
        self.server = server
        self.boards = boards  # by ssh address
        self.told = told
        self.draw = self.world.random.random
        self.visits = 0
        self.leaving = False

    def start(self) -> None:
        """Starts the client."""
        process = self.boot()
        process.loop.create_task(self._open(process))

    async def _open(self, process: Process) -> None:
        self.connection = self.link(
            [SERVER], None, role="user", software="simulated client", insecure=True
        )
        self.requests = RemoteRequests(self.connection)
        while True:
            try:
                await self.connection.open()
                return
            except BorutaError:
                await asyncio.sleep(1.0)

    def visit(self, wanted: Visit) -> None:
        """Begins a visit, if the client runs."""
        if self.runs and self.process is not None:
            self.visits += 1
            wanted.token = f"{self.name}-{self.lives}-{self.visits}"
            self.process.loop.create_task(self._visit(wanted))

    async def _visit(self, wanted: Visit) -> None:
        now = self.server.wall()  # a client's clock is the farm's
        try:
            async with asyncio.timeout(_PATIENCE_S):
                req_id = await self.requests.new_request(
                    wanted.caps,
                    wanted.priority,
                    UserInfo("", wanted.groups),
                    now + timedelta(seconds=wanted.after_s) if wanted.after_s else None,
                    now + timedelta(seconds=wanted.deadline_s),
                    job_timeout=wanted.job_timeout_s,
                    token=wanted.token,
                    bound=wanted.bound,
                )
        except (BorutaError, TimeoutError) as error:
            self.told.refused(error)
            return
        wanted.request = req_id
        self.told.accepted(self, req_id)
        try:
            await self._use(wanted, req_id)
        except (BorutaError, TimeoutError) as error:
            self.told.refused(error)
            await self._call(self.requests.close_request(req_id))

    async def _use(self, wanted: Visit, req_id: ReqID) -> None:
        if self.weather.strikes("storms"):
            await self._storm(req_id)
        if self.weather.strikes("client_killed"):
            self.world.later(200.0 * self.draw(), self.die)
        if self.weather.strikes("client_hung"):
            self.world.later(100.0 * self.draw(), self.hang)
        if self.weather.strikes("storms"):
            loop = asyncio.get_running_loop()
            loop.call_later(300.0 * self.draw(), lambda: loop.create_task(self._storm(req_id)))
        async with asyncio.timeout(wanted.deadline_s + _PATIENCE_S):
            access = await self.requests.acquire_worker(req_id)
        self.enter(access)
        left = wanted.hold_s
        while left > 0 and not self.leaving:
            pause = min(left, wanted.job_timeout_s * 0.8)
            self._look_in(access, pause * self.draw())
            await asyncio.sleep(pause)
            left -= wanted.job_timeout_s * 0.8
            if self.weather.strikes("storms"):
                await self._storm(req_id)
            if left > 0:
                async with asyncio.timeout(_PATIENCE_S):
                    await self.requests.prolong_access(req_id, token=f"{req_id}-{left:.0f}")
            self.enter(access)
        if wanted.leaves:
            await asyncio.sleep(wanted.job_timeout_s * 1.1)
        else:
            stores = self.server.stores
            async with asyncio.timeout(_PATIENCE_S):
                await self.requests.close_request(req_id)
            if stores == self.server.stores:
                self.told.closed(req_id)
        # The door must be shut behind a holder who tries again.
        self.enter(access)
        await asyncio.sleep(20.0 * self.draw())
        self.enter(access)

    def _look_in(self, access: AccessInfo, after_s: float) -> None:
        process = self.process

        def look() -> None:
            if self.process is process and self.runs:
                self.enter(access)

        self.world.later(after_s, look)

    def enter(self, access: AccessInfo) -> bool:
        """Tries to log in to the board, through the server's tunnel."""
        if not self.server.runs or not (self.cable.up and self.cable.down):
            return False
        for endpoint, target in self.server.access.opened.items():
            if endpoint.port == access.port:
                board = self.boards[target]
                key = public_of(access.key)
                if not (board.runs and board.cable.up and board.cable.down):
                    return False
                if board.login(key):
                    self.told.entered(board, access.key)
                    return True
                self.told.shut_out(board, access.key)
        return False

    async def _storm(self, req_id: ReqID) -> None:
        """Many things at once, in any order; most of them are refused."""
        calls: list[Coroutine[Any, Any, Any]] = []
        for _ in range(2 + int(6 * self.draw())):
            kind = self.draw()
            if kind < 0.2:
                calls.append(self.requests.close_request(req_id))
            elif kind < 0.5:
                calls.append(self.requests.prolong_access(req_id))
            elif kind < 0.8:
                info = ReqInfo(id=req_id, priority=1 + int(16 * self.draw()))
                calls.append(self.requests.update_request(info))
            else:
                calls.append(self.requests.acquire_worker(req_id, 0.01))
        await asyncio.gather(*(self._call(call) for call in calls))

    async def _call(self, call: Coroutine[Any, Any, Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await call
        except (BorutaError, TimeoutError) as error:
            self.told.refused(error)

    # --- what befalls it
    def die(self) -> None:
        """The client vanishes; its user starts another one later."""
        if self.process is not None and not self.process.dead:
            self.kill()
            self.world.later(5.0 + 60.0 * self.draw(), self.start)

    def hang(self) -> None:
        """The client stands still for a while."""
        self.freeze()
        self.world.later(40.0 * self.draw(), self.resume)


class Admin(Machine):
    """Enables boards, repairs failed ones, and sometimes has ideas."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, "admin", Caller("admin", Role.ADMIN), "10.0.3.1")
        self.draw = self.world.random.random

    def start(self) -> None:
        """Starts the client."""
        process = self.boot()
        self.link_: Link = self.link(
            [SERVER], None, role="user", software="simulated admin", insecure=True
        )
        self.workers = RemoteWorkers(self.link_)
        self.requests = RemoteRequests(self.link_)
        process.loop.create_task(self._call(self.link_.open()))

    def does(self, call: Coroutine[Any, Any, Any]) -> None:
        """Has it done; what is refused is refused."""
        assert self.process is not None
        self.process.loop.create_task(self._call(call))

    async def _call(self, call: Coroutine[Any, Any, Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await call
        except (BorutaError, TimeoutError):
            pass

    async def enable(self, uuid: str, repair: bool) -> None:
        """Puts a board to work; `repair`: one that is FAILED."""
        if repair:
            await self.workers.set_state(uuid, WorkerState.MAINTENANCE, reason="repair")
            await asyncio.sleep(2.0)
        await self.workers.set_state(uuid, WorkerState.IDLE)
