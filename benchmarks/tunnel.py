"""Tunnels beside direct loopback in the same run: bulk, added time to connect, CPU."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.result import result
from benchmarks.scale import Scale
from transport.tunnels.pump import PIPE_BYTES
from transport.tunnels.tcp import Tunnels

_BLOCK = 1 << 20


def run(scale: Scale) -> list[dict[str, Any]]:
    """Measures bulk through one tunnel and connects, on asyncio and, if it is there, uvloop."""
    total = scale.pick(8 << 30, 1 << 30, 8 << 20)
    connects = scale.pick(2000, 200, 5)
    results = []
    with _process(_read_all) as sink, _process(_answer) as answerer:
        direct = max(_bulk(sink, total) for _ in range(2))
        bare = _connects(answerer, connects)
        with _spliced(sink) as (port, cpu):
            before = cpu()
            _bulk(port, total)
            least = (cpu() - before) / (total / 1e9)
        for kind in _loops():
            with _tunnel(kind, sink) as (port, cpu):
                before = cpu()
                speed = _bulk(port, total)
                used = (cpu() - before) / (total / 1e9)
            with _tunnel(kind, answerer) as (port, _):
                added = _connects(port, connects) - bare
            results += [
                result(f"bulk, {kind}", speed, "GB/s", "higher", direct, "direct loopback"),
                result(f"CPU, {kind}", used, "s/GB", "lower", least, "a thread that only splices"),
                result(
                    f"added connect p50, {kind}", added * 1e3, "ms", "lower", bare * 1e3,
                    "direct connect and first byte",
                ),
            ]  # fmt: skip
    return results


def _loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return {**found, "uvloop": uvloop.new_event_loop}


@contextmanager
def _tunnel(kind: str, port: int) -> Iterator[tuple[int, Callable[[], float]]]:
    """A tunnel on a loop in a thread of its own; its port, and the CPU seconds of that thread."""
    loop = _loops()[kind]()
    tunnels = Tunnels(loop, "127.0.0.1")
    endpoint = tunnels.reserve()
    tunnels.open(endpoint, f"127.0.0.1:{port}", label="benchmark")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    try:
        yield endpoint.port, lambda: time.clock_gettime(clock)
    finally:
        loop.call_soon_threadsafe(tunnels.close_all)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _spliced(port: int) -> Iterator[tuple[int, Callable[[], float]]]:
    """The least that a forwarder can do: one connection, one way, one blocking loop of splices."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def forward() -> None:
            near, _ = server.accept()
            read, write = os.pipe()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                while moved := os.splice(near.fileno(), write, PIPE_BYTES):
                    while moved:
                        moved -= os.splice(read, far.fileno(), moved)
                far.shutdown(socket.SHUT_WR)
                near.sendall(far.recv(1))
                done.wait()
            os.close(read)
            os.close(write)

        done = threading.Event()
        thread = threading.Thread(target=forward)
        thread.start()
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)
        try:
            yield server.getsockname()[1], lambda: time.clock_gettime(clock)
        finally:
            done.set()
            thread.join()


def _bulk(port: int, total: int) -> float:
    """GB/s of `total` bytes sent to `port`, the last of them acknowledged."""
    block = bytes(_BLOCK)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        start = time.perf_counter()
        for _ in range(total // _BLOCK):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
        took = time.perf_counter() - start
    return total / took / 1e9


def _connects(port: int, times: int) -> float:
    """Median seconds of a connect, one byte there and one back."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"x")
            sock.recv(1)
            took.append(time.perf_counter() - start)
    return statistics.median(took)


@contextmanager
def _process(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a process that serves one connection after another; it shares no GIL with us."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(serve, theirs), daemon=True)
    child.start()
    try:
        yield ours.recv()
    finally:
        child.kill()
        child.join()
        child.close()
        ours.close()
        theirs.close()


def _serve(serve: Callable[[socket.socket], None], tell: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        tell.send(server.getsockname()[1])
        while True:
            sock, _ = server.accept()
            with sock:
                serve(sock)


def _read_all(sock: socket.socket) -> None:
    """Reads all, then says one byte."""
    buffer = bytearray(_BLOCK)
    try:
        while sock.recv_into(buffer):
            pass
        sock.sendall(b"x")
    except OSError:
        pass


def _answer(sock: socket.socket) -> None:
    """Answers the first byte."""
    try:
        sock.sendall(sock.recv(1))
    except OSError:
        pass
