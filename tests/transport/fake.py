"""A small engine behind a real server on loopback, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import zmq

from boruta.domain.errors import (
    BorutaError,
)
from boruta.domain.types import (
    Caller,
    Role,
)
from tests.transport.engine import FakeFront
from tests.transport.raw import Raw
from transport.client import Address, KeyPair, Link
from transport.server import Server


def pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def link_to(*urls: str, role: Any = "user", **more: Any) -> Link:
    return Link(
        [Address(url) for url in urls], None, role=role, software="test", insecure=True, **more
    )


@dataclass
class Place:
    """A server and who may come in."""

    front: FakeFront
    server: Server
    keys: KeyPair
    admitted: dict[str, Caller]
    insecure: bool
    links: list[Link] = field(default_factory=list)

    async def restart(self, *, pause: bool = False, grace_s: float = 0.1) -> None:
        """Another life of the server on the same port, over the same engine."""
        url = self.server.url
        await self.server.stop(grace_s)
        if not pause:
            self.start_again(url)

    def start_again(self, url: str) -> None:
        """The same address, keys and engine."""
        self.server = make_server(
            self.front, self.keys, self.admitted, bind=url, insecure=self.insecure
        )
        self.server.start()

    def cut_all(self) -> None:
        """Every connection breaks."""
        for peer in self.server._router.peers:
            self.server._router.cut(peer, "a test")

    @property
    def address(self) -> Address:
        return Address(self.server.url, self.keys.public)

    def admit(self, name: str, role: Role = Role.USER, groups: tuple[str, ...] = ()) -> KeyPair:
        keys = pair()
        self.admitted[keys.public] = Caller(name, role, groups)
        return keys

    def raw(self, keys: KeyPair | None = None, role: Role = Role.USER, **more: Any) -> Raw:
        """A raw peer; with a new admitted key if none is given."""
        if self.insecure:
            return Raw(self.server.url, None, None, **more)
        keys = keys or self.admit("raw" + str(len(self.admitted)), role)
        return Raw(self.server.url, self.keys.public, keys, **more)

    def link(self, keys: KeyPair | None, role: Any = "user", **more: Any) -> Link:
        link = Link(
            more.pop("servers", [self.address]),
            keys,
            role=role,
            software="test 1",
            insecure=self.insecure,
            **more,
        )
        self.links.append(link)
        return link

    async def user(self, name: str = "ann", role: Role = Role.USER, **more: Any) -> Link:
        link = self.link(self.admit(name, role), **more)
        await link.open(10.0)
        return link


class Clock:
    """Seconds that pass when told to, beside those that pass anyway."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


async def eventually(true: Callable[[], Any], within_s: float = 10.0) -> None:
    """Waits for what nothing tells of."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.002)


def make_server(
    front: FakeFront,
    keys: KeyPair,
    admitted: dict[str, Caller],
    *,
    bind: str = "tcp://127.0.0.1:0",
    insecure: bool = False,
    clock: Callable[[], float] | None = None,
    board_networks: Sequence[str] = (),
) -> Server:
    return Server(
        front,
        bind=bind,
        public_key=keys.public,
        secret_key=keys.secret,
        admit=admitted.get,
        insecure=insecure,
        software="fake server 1",
        board_networks=board_networks,
        loop=asyncio.get_running_loop(),
        clock=clock,
    )


@contextlib.asynccontextmanager
async def place(**options: Any) -> AsyncIterator[Place]:
    """A started server with an engine behind it; all is closed at the end."""
    front, keys, admitted = FakeFront(), pair(), {}
    server = make_server(front, keys, admitted, **options)
    server.start()
    there = Place(front, server, keys, admitted, options.get("insecure", False))
    try:
        yield there
    finally:
        for link in there.links:
            await link.close()
        await there.server.stop(0.5)


def run(story: Callable[[], Awaitable[None]], within_s: float = 30.0) -> None:
    """Runs a test's story; nothing of it may be left."""

    async def told() -> None:
        async with asyncio.timeout(within_s):
            await story()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(told())


async def refused(call: Awaitable[Any]) -> BorutaError:
    """The error that a call ends with."""
    try:
        found = await call
    except BorutaError as error:
        return error
    raise AssertionError(f"not refused: {found!r}")
