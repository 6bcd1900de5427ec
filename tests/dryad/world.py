"""A real agent and its connection, with a link and a server that are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.types import Capabilities
from dryad.connection import Connection
from tests.dryad.fakes import KEY, Board, FakeClock, settle

CAPS = Capabilities(UUID="b1", arch="armv7l")
PREPARE = {"epoch": [1, 1], "key": KEY, "default_lease_s": 60.0}


class FakeLink:
    """One link; the server behind it is `Server`."""

    def __init__(self, server: Server, servers: Any, keys: Any, **options: Any) -> None:
        self.server = server
        self.servers, self.options = servers, options
        self.connected = False
        self.closed = False
        self.last_error: BorutaError | None = None
        self.server_host = "boruta.lab"

    async def open(self, timeout: float | None = None) -> dict[str, Any]:
        if self.server.refuses is not None:
            raise self.server.refuses
        await self.up()
        return {}

    async def up(self) -> None:
        await self.options["on_up"]({"server": "boruta", "name": "agent"})
        self.connected = True

    def down(self) -> None:
        self.connected = False
        self.options["on_down"](Unreachable("the connection was lost"))

    async def call(self, kind: str, body: dict[str, Any], timeout: float | None = None) -> Any:
        self.connected = True
        return self.server.answer(kind, dict(body))

    async def close(self) -> None:
        self.connected = False
        self.closed = True


class Server:
    """What the server does with the calls of one agent."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refuses: BorutaError | None = None
        self.refuses_register: BorutaError | None = None
        self.refuses_fail: BorutaError | None = None
        self.job: dict[str, Any] | None = None
        self.epoch = [1, 0]

    def make_link(self, servers: Any, keys: Any, **options: Any) -> Any:
        self.links.append(FakeLink(self, servers, keys, **options))
        return self.links[-1]

    def answer(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((kind, body))
        if kind == "superviser.set_fail":
            if self.refuses_fail is not None:
                raise self.refuses_fail
            return {}
        if self.refuses_register is not None:
            raise self.refuses_register
        board = {"worker_uuid": "b1", "state": "IDLE"}
        found: dict[str, Any] = {"worker": board, "epoch": list(self.epoch)}
        return found if self.job is None else {**found, "job": self.job}

    @property
    def registrations(self) -> list[dict[str, Any]]:
        return [body for kind, body in self.calls if kind == "superviser.register"]

    @property
    def faults(self) -> list[str]:
        return [body["reason"] for kind, body in self.calls if kind == "superviser.set_fail"]

    async def command(self, kind: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.links[-1].options["on_call"](kind, body)
        return answer

    @property
    def beat(self) -> dict[str, Any]:
        found: dict[str, Any] = self.links[-1].options["beat_body"]()
        return found


class World:
    """A board, its connection, and the server."""

    def __init__(self) -> None:
        self.board = Board()
        self.server = Server()
        self.waits = FakeClock()
        self.answers: list[Any] = []

    async def __aenter__(self) -> World:
        address = await self.board.agent.start()
        self.connection = Connection(
            self.board.agent,
            caps=CAPS,
            ssh_address=address,
            servers=["the server"],  # type: ignore[list-item]
            keys=None,
            on_registered=self.answers.append,
            make_link=self.server.make_link,
            sleep=self.waits.sleep,
        )
        return self

    async def begin(self) -> None:
        self.connection.open()
        await settle()

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        await self.board.agent.close()
        assert all(link.closed for link in self.server.links)


def in_a_world(story: Callable[[World], Any]) -> None:
    async def run() -> None:
        async with World() as world:
            await story(world)

    asyncio.run(run())
