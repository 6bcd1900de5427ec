"""`dryad simulate`: several agents with simulated boards in one process, for a local server."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.commands import Registered
from boruta.domain.errors import BorutaError, InfraError
from boruta.domain.types import UUID_CAP, WorkerState
from dryad import local, slots
from dryad.board.sessions import put_tools
from dryad.connection import SOFTWARE
from dryad.hardware.port import Hardware
from dryad.hardware.simulated import SimulatedHardware
from dryad.hardware.simulated_target import SimulatedTarget
from dryad.letting import embedded_sessions
from dryad.local import LocalServer
from dryad.logs import event
from dryad.place import kept_uuid
from dryad.running import RunningAgent
from dryad.slots import Slot

if TYPE_CHECKING:
    from transport.client import Link

_log = logging.getLogger("dryad.simulate")

STARTS_AT_ONCE: Final = 16
TARGETS_MOST: Final = 100  # each has a pseudo terminal, of which a machine has some thousands
ADMIN_WITHIN_S: Final = 30.0
USERNAME: Final = "boruta-user"


def default_caps() -> dict[str, str]:
    """What a simulated board can do if nobody says."""
    return {"arch": platform.machine() or "unknown", "device_type": "simulated"}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be simulated.

    Args:
        count: how many boards.
        data: the server's DATA.
        caps: of each board beside its UUID; empty means `default_caps`.
        groups: the workers' groups; empty leaves what is.
        ssh_host: where sessions listen.
        stm: each board has the simulated STM of a MuxPi, on a pseudo terminal.
    """

    count: int
    data: Path
    caps: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[str] = ()
    ssh_host: str = "127.0.0.1"
    stm: bool = False


class Admin:
    """Enables our own boards: who can read DATA is an admin."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def enable(self, uuid: str, groups: Sequence[str]) -> None:
        """Gives the worker its groups, if any, and sets it IDLE.

        Raises:
            BorutaError: the server refused, or is out of reach.
        """
        from transport.remote_requests import RemoteWorkers

        workers = RemoteWorkers(await self._opened())
        async with asyncio.timeout(ADMIN_WITHIN_S):
            if groups:
                await workers.set_groups(uuid, groups)
            await workers.set_state(uuid, WorkerState.IDLE)

    async def regroup(self, uuid: str, groups: Sequence[str]) -> None:
        """Gives the worker its groups.

        Raises:
            BorutaError: the server refused, or is out of reach.
        """
        from transport.remote_requests import RemoteWorkers

        async with asyncio.timeout(ADMIN_WITHIN_S):
            await RemoteWorkers(await self._opened()).set_groups(uuid, groups)

    async def _opened(self) -> Link:
        from transport.client import Link

        async with self._opening:
            if self._link is None:
                server = self._server
                link = Link(
                    [server.address],
                    None if server.insecure else server.keys,
                    role="user",
                    software=SOFTWARE,
                    insecure=server.insecure,
                )
                try:
                    await link.open(ADMIN_WITHIN_S)
                except BaseException:
                    await link.close()
                    raise
                self._link = link
            return self._link

    async def move(self, server: LocalServer) -> None:
        """The server is another one, or somewhere else, from now on."""
        self._server = server
        await self.close()

    async def close(self) -> None:
        """Leaves the server; idempotent."""
        async with self._opening:
            link, self._link = self._link, None
            if link is not None:
                await link.close()


class SimulatedBoard:
    """One board: its slot, its agent, and whether it is known and enabled.

    Args:
        slot: where it keeps its things.
        order: what it is like.
        admin: who enables it.
        announce: called once, when it is registered.
    """

    def __init__(
        self, slot: Slot, order: Order, admin: Admin, announce: Callable[[str], None]
    ) -> None:
        self.slot = slot
        self._order = order
        self._admin = admin
        self._announce = announce
        self._caps = {UUID_CAP: kept_uuid(slot.path), **(order.caps or default_caps())}
        self._agent: RunningAgent | None = None
        self._announced = False
        self._regrouped = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, server: LocalServer) -> None:
        """Starts its agent.

        Raises:
            BorutaError: it cannot start; the text says why.
        """
        host = self._order.ssh_host
        hardware = self._hardware()
        self._agent = await RunningAgent.start(
            data=self.slot.path,
            caps=self._caps,
            sessions=embedded_sessions(
                data=self.slot.path,
                tools=slots.tools(self._order.data),
                address=f"[{host}]:0" if ":" in host else f"{host}:0",
                username=USERNAME,
                hardware=hardware,
            ),
            hardware=hardware,
            servers=[server.address],
            keys=None if server.insecure else server.keys,
            insecure=server.insecure,
            on_registered=self._on_registered,
        )

    def _hardware(self) -> Hardware:
        if not self._order.stm:
            target = SimulatedTarget() if self._order.count <= TARGETS_MOST else None
            return SimulatedHardware(self.slot.name, target=target)
        from dryad.hardware.muxpi import MuxPi
        from dryad.hardware.stm import Stm
        from dryad.hardware.stm_simulator import StmSimulator

        board = StmSimulator()
        try:
            path = board.open()
        except OSError as error:
            raise InfraError(f"{self.slot.name}: no pseudo terminal: {error.strerror}") from None
        return MuxPi(Stm(path), on_close=board.close)

    async def move(self, server: LocalServer) -> None:
        """The server is another one, or somewhere else, from now on."""
        if self._agent is not None:
            keys = None if server.insecure else server.keys
            await self._agent.connection.move([server.address], keys, insecure=server.insecure)

    async def close(self) -> None:
        """Ends its session and its agent, and gives the slot back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._agent is not None:
            await self._agent.close()
        self.slot.release()

    def _on_registered(self, answer: Registered) -> None:
        task = asyncio.create_task(self._welcome(answer), name=f"dryad {self.slot.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _welcome(self, answer: Registered) -> None:
        uuid, groups = answer.worker.worker_uuid, self._order.groups
        try:
            # Changed capabilities lead to MAINTENANCE; these are ours to change.
            if answer.first or not self.slot.is_enabled(self._caps):
                await self._admin.enable(uuid, groups)
                self.slot.set_enabled(self._caps)
            elif groups and not self._regrouped:
                await self._admin.regroup(uuid, groups)
            self._regrouped = True
        except (BorutaError, OSError, TimeoutError) as error:
            event(_log, logging.WARNING, "not_enabled", worker=uuid, error=str(error) or "time-out")
        if not self._announced and self._agent is not None:
            self._announced = True
            self._announce(f"{uuid} {self.slot.name} {self._agent.ssh_address}")


async def simulate(order: Order, stop: asyncio.Event, announce: Callable[[str], None]) -> None:
    """Runs the boards until `stop` is set.

    Args:
        order: what is to be simulated.
        stop: ends it.
        announce: takes one line for each board, beginning with its UUID, once it is registered.

    Raises:
        BorutaError: it cannot start; the text says why.
    """
    server = await _or_stopped(local.wait_for(order.data), stop)
    if server is None:
        return
    admin = Admin(server)
    boards = [
        SimulatedBoard(slot, order, admin, announce) for slot in slots.take(order.data, order.count)
    ]
    put_tools(slots.tools(order.data))
    at_once = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start(board: SimulatedBoard, server: LocalServer) -> None:
        async with at_once:
            if not stop.is_set():
                await board.start(server)

    try:
        async with asyncio.TaskGroup() as group:
            for board in boards:
                group.create_task(start(board, server))
        while True:
            moved = await _or_stopped(local.next_one(order.data, server), stop)
            if moved is None:
                return
            server = moved
            event(_log, logging.WARNING, "server_moved", url=server.address.url)
            await admin.move(server)
            await asyncio.gather(*(board.move(server) for board in boards))
    except* BorutaError as errors:
        raise _first(errors) from None
    finally:
        await asyncio.gather(*(board.close() for board in boards))
        await admin.close()


def _first(errors: BaseExceptionGroup[BorutaError]) -> BorutaError:
    one = errors.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


async def _or_stopped(
    work: Coroutine[Any, Any, LocalServer], stop: asyncio.Event
) -> LocalServer | None:
    """What `work` finds; None if `stop` was set first."""
    found = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((found, stopped), return_when=asyncio.FIRST_COMPLETED)
        return found.result() if found.done() and not stop.is_set() else None
    finally:
        for task in (found, stopped):
            task.cancel()
        await asyncio.gather(found, stopped, return_exceptions=True)
