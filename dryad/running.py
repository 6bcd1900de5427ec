"""One whole agent: sessions, hardware, memory and connection, put together and taken down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from boruta.domain.commands import Registered
from boruta.domain.errors import BadConfig, Busy
from boruta.domain.types import UUID_CAP, Capabilities
from boruta.guarded import make_private_dir
from boruta.pairs import load_pair, read_server_key
from boruta.supervised import Supervisor
from boruta.version import VERSION
from dryad import files
from dryad.agent import Agent
from dryad.board.sessions import BoardSessions
from dryad.clock import BootClock, utc_now
from dryad.config import AgentConfig
from dryad.connection import Connection
from dryad.hardware import boards
from dryad.hardware.port import Hardware
from dryad.health import Health
from dryad.lean import give_back_memory
from dryad.lease import LeaseFile
from dryad.letting import make_room, make_sessions
from dryad.logs import event
from dryad.place import kept_uuid
from dryad.programs import Words
from dryad.sessions.port import Sessions
from dryad.sessions.room import Room

if TYPE_CHECKING:
    from transport.client import Address, KeyPair

_log = logging.getLogger("dryad")


LOCK_TRIES: Final = 20
LOCK_PAUSE_S: Final = 0.01
SETTLED_S: Final = 1.0  # after this an agent does, most of the time, nothing


class DirectoryLock:
    """Keeps a second agent out of a data directory; the kernel gives it back with the process.

    Args:
        data: the directory.
        tries: who only looks whether there is an agent has the lock for a moment; it blocks.

    Raises:
        Busy: another process has it.
        BadConfig: the lock file cannot be made.
    """

    def __init__(self, data: Path, *, tries: int = 1) -> None:
        path = data / "lock"
        for left in reversed(range(tries)):
            try:
                self._fd = files.lock(path)
                break
            except BlockingIOError as held:
                if not left:
                    raise Busy(f"{data}: another agent uses this data directory{held}") from None
            except OSError as error:
                raise BadConfig(f"{path}: {error.strerror}") from None
            time.sleep(LOCK_PAUSE_S)

    def release(self) -> None:
        """Another agent may have it; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RunningAgent:
    """An agent with everything about it; make it by `start`."""

    def __init__(
        self, agent: Agent, connection: Connection, caps: Capabilities, ssh_address: str
    ) -> None:
        self.agent = agent
        self.connection = connection
        self.caps = caps
        self.ssh_address = ssh_address

    @classmethod
    async def start(
        cls,
        *,
        data: Path,
        caps: Mapping[str, str],
        sessions: Sessions,
        hardware: Hardware,
        servers: Sequence[Address],
        keys: KeyPair | None,
        insecure: bool = False,
        checks: Mapping[str, Words] | None = None,
        on_registered: Callable[[Registered], None] | None = None,
        room: Room | None = None,
    ) -> Self:
        """Sweeps, listens, and connects; it registers by itself, now and after each loss.

        Args:
            data: a private directory of its own, locked by the caller.
            caps: a UUID is added where there is none.
            sessions: how holders log in.
            hardware: the board.
            servers: of one farm.
            keys: the agent's pair.
            insecure: the servers have no keys.
            checks: of the board's owner, for the healthcheck.
            on_registered: called with each answer of the server.

        Raises:
            BorutaError: it cannot start; the text says why.
        """
        full = Capabilities(caps if UUID_CAP in caps else {UUID_CAP: kept_uuid(data), **caps})

        def fault(reason: str) -> None:
            agent.report(reason)

        health = Health(data, sessions, hardware, fault, own=checks)
        agent = Agent(
            sessions=sessions,
            hardware=hardware,
            check=health.look,
            memory=LeaseFile(data / "lease"),
            clock=BootClock(),
            name=full[UUID_CAP],
            room=room,
        )
        try:
            address = await agent.start()
        except BaseException:
            await agent.close()
            raise
        health.ssh_address = address
        connection = Connection(
            agent,
            caps=full,
            ssh_address=address,
            servers=servers,
            keys=keys,
            insecure=insecure,
            on_registered=on_registered,
        )
        if isinstance(sessions, BoardSessions):
            began = BootClock().now()
            sessions.service.status = lambda: _status(agent, connection, full, address, began)
        connection.open()
        return cls(agent, connection, full, address)

    async def close(self) -> None:
        """Ends the session before the connection: the board is empty when the server sees it go."""
        with contextlib.suppress(OSError):
            await self.agent.close()
        await self.connection.close()


def _status(
    agent: Agent, connection: Connection, caps: Capabilities, address: str, began: float
) -> dict[str, object]:
    job = agent.job
    up_s = BootClock().now() - began
    return {
        "worker": caps[UUID_CAP],
        "pid": os.getpid(),
        # Counted back from now: the date may have been wrong when the machine came up.
        "since": f"{utc_now() - timedelta(seconds=up_s):%Y-%m-%dT%H:%M:%SZ}",
        "up_s": round(up_s, 1),
        "version": VERSION,
        "registered": connection.registered,
        **connection.standing,
        "ssh_address": address,
        "epoch": f"{agent.epoch.server}.{agent.epoch.board}",
        "request": None if job is None else job.id,
        "left_s": None if job is None else round(job.remaining_s, 1),
    }


def _server_key(config: AgentConfig) -> str:
    if config.insecure:
        return ""
    try:
        return read_server_key(config.server_key)
    except BadConfig as error:
        raise BadConfig(f"server_key: {error.message}") from None


async def run_agent(config: AgentConfig, stop: asyncio.Event) -> None:
    """Runs one agent until `stop` is set.

    Raises:
        BorutaError: it cannot start.
    """
    from transport.client import Address

    data = config.data
    make_private_dir(data, "agent's data directory")
    lock = DirectoryLock(data, tries=LOCK_TRIES)
    try:
        server_key = _server_key(config)
        keys = load_pair(Path(config.key)) if config.key else None
        hardware = boards.make(config.hardware, config.board)
        running = await RunningAgent.start(
            data=data,
            caps=config.caps,
            sessions=make_sessions(config, data, hardware),
            hardware=hardware,
            servers=[Address(url, server_key) for url in config.server],
            keys=keys,
            insecure=config.insecure,
            checks=config.checks,
            room=make_room(config, data),
        )
        event(
            _log,
            logging.INFO,
            "running",
            worker=running.caps[UUID_CAP],
            ssh=running.ssh_address,
            server=",".join(config.server),
        )
        supervisor = Supervisor(os.environ)
        supervisor.tell(READY="1", STATUS=f"board {running.caps[UUID_CAP]}")
        supervisor.watch(asyncio.get_running_loop())
        asyncio.get_running_loop().call_later(SETTLED_S, give_back_memory)
        try:
            await stop.wait()
        finally:
            supervisor.tell(STOPPING="1")
            supervisor.close()
            await running.close()
        event(_log, logging.INFO, "stopped")
    finally:
        lock.release()
