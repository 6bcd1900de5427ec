"""Boards, holders and loops for tests of tunnels: real loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from boruta.domain.ports import Endpoint
from transport.tunnels.tcp import Tunnels

Run = Callable[[Callable[[], Awaitable[None]]], None]
HERE = "127.0.0.1"


def _factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if kind == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as first:
            first.run(asyncio.sleep(0))  # libuv keeps a pipe of its own from the first loop on
        return uvloop.new_event_loop  # type: ignore[no-any-return]
    return asyncio.new_event_loop


@pytest.fixture(name="run", params=["asyncio", "uvloop"])
def run_fixture(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine within 20 s; afterwards no file descriptor is left of it."""
    factory = _factory(request.param)
    failures: list[dict[str, Any]] = []

    def start(story: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, c: failures.append(c))
            async with asyncio.timeout(20):
                await story()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    gc.collect()  # what an earlier test left goes now, not while this one runs
    before = fds()
    yield start
    gc.collect()
    assert failures == []
    assert fds() - before == set()


def fds() -> set[str]:
    return {
        f"{fd}:{name}"
        for fd in os.listdir("/proc/self/fd")
        for name in [_link(f"/proc/self/fd/{fd}")]
        if name.startswith(("socket:", "pipe:"))
    }


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


@contextlib.asynccontextmanager
async def tunnels(**more: Any) -> AsyncIterator[Tunnels]:
    made = Tunnels(asyncio.get_running_loop(), HERE, **more)
    try:
        yield made
    finally:
        made.close_all()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def board(serve: Serve) -> AsyncIterator[str]:
    """A board's SSH port, as far as a tunnel cares."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            await shut(writer)

    server = await asyncio.start_server(one, HERE, 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def dial(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(endpoint.host, endpoint.port)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def is_refused(endpoint: Endpoint) -> bool:
    """Whether a connection ends at once: while it is being made, or right after."""
    try:
        reader, writer = await dial(endpoint)
    except ConnectionError:
        return True
    try:
        return await is_cut(reader)
    finally:
        await shut(writer)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a state that the other end of a socket brings about."""
    while not condition():
        await asyncio.sleep(0.002)


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """An address that answers no dial: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((HERE, 0))
        server.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield "{}:{}".format(*server.getsockname())


@contextlib.contextmanager
def few_fds(spare: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        while True:
            fillers.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for fd in fillers[:spare]:
            os.close(fd)
        del fillers[:spare]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
