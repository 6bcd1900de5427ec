"""Boards of the tests: real agents; their doors are plain TCP and log who comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from boruta.domain.types import UUID_CAP, Capabilities, Check, ReqID
from boruta.pairs import load_pair
from dryad.agent import Agent
from dryad.clock import BootClock
from dryad.connection import Connection
from dryad.hardware.port import NoHardware
from dryad.lease import LeaseFile
from tests.crash.log import Log
from transport.client import Address

HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zu9p1d2XgJk8pT1y0vQ6l8m3oS5b7c9d1e3f5g7h9"


class Door:
    """`Sessions` over plain TCP: who shows the key that is let in is inside until he is ended.

    A visitor sends one line, {"key": public key, "request": id}, and is answered {"in": bool}.
    """

    username = "boruta-user"
    host_keys = (HOST_KEY,)

    def __init__(self, board: str, log: Log) -> None:
        self._board, self._log = board, log
        self._epoch, self._key = 0, ""
        self._on_login: Callable[[], None] | None = None
        self._inside: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @property
    def active(self) -> bool:
        """Whether somebody is or was inside."""
        return bool(self._inside)

    def tell(self, what: str, **fields: Any) -> None:
        """A line of the board's log."""
        self._log.write(board=self._board, what=what, **fields)

    async def start(self) -> str:
        """Listens; whoever was inside in an earlier life of this process is not any more."""
        self.tell("started")
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """The key opens from now on."""
        await self.end()
        self.tell("open", epoch=epoch, key=key)  # before it is so, as `closed` comes after it
        self._epoch, self._key, self._on_login = epoch, key, on_login

    async def end(self) -> None:
        """Nobody is inside any more."""
        self._key = ""
        for writer in self._inside:
            writer.close()
        self._inside.clear()
        if self._epoch:
            self.tell("closed", epoch=self._epoch)
        self._epoch = 0

    async def stop(self) -> None:
        """Listens no more."""
        await self.end()
        self._server.close()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(await reader.readline())
            let_in = bool(self._key) and said["key"] == self._key
            if let_in:
                self.tell("login", epoch=self._epoch, request=said["request"])
                self._inside.add(writer)
                if self._on_login is not None:
                    self._on_login()
            writer.write(json.dumps({"in": let_in, "board": self._board}).encode() + b"\n")
            await writer.drain()
            if let_in:
                await reader.read()
        self._inside.discard(writer)
        writer.close()


def write_leases(agent: Agent, door: Door) -> None:
    """Writes down for whom the board is kept, at the instant at which it is."""
    lend = agent._holding.lend

    def noted(req_id: ReqID, board: int, ends_at: float, end_rev: int) -> None:
        door.tell("lease", epoch=board, request=req_id)
        lend(req_id, board, ends_at, end_rev)

    agent._holding.lend = noted  # type: ignore[method-assign]


async def _fine() -> tuple[Check, ...]:
    return ()


async def board(place: Path, address: Address, number: int, log: Log) -> None:
    """Starts one board."""
    uuid = f"board-{number:02}"
    data = place / uuid
    data.mkdir(mode=0o700, exist_ok=True)
    door = Door(uuid, log)
    agent = Agent(
        sessions=door,
        hardware=NoHardware(),
        check=_fine,
        memory=LeaseFile(data / "lease"),
        clock=BootClock(),
        name=uuid,
    )
    write_leases(agent, door)
    ssh_address = await agent.start()
    connection = Connection(
        agent,
        caps=Capabilities({UUID_CAP: uuid, "arch": "crash"}),
        ssh_address=ssh_address,
        servers=[address],
        keys=load_pair(place / "boards.key_secret"),
    )
    connection.open()


async def run(place: Path, address: Address, numbers: range) -> None:
    """Runs these boards for ever."""
    log = Log(place / "boards.log")
    for number in numbers:
        await board(place, address, number, log)
    await asyncio.Event().wait()
