"""Round trips over the wire: our server and link beside a bare ROUTER and DEALER of pyzmq.

Both pairs use CURVE and run the server in a process of its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Final

import msgpack
import zmq

from benchmarks.result import result
from benchmarks.scale import Scale
from boruta.domain.types import Caller, Role
from transport.client import Address, KeyPair, Link

_IN_FLIGHT: Final = 100


def run(scale: Scale) -> list[dict[str, Any]]:
    """Measures; {name, value, unit, better, limit, limit_what, ratio} each."""
    many, single = scale.pick((50_000, 5_000), (5_000, 1_000), (200, 20))
    keys, ours = _pair(), _pair()
    bare_rate, bare_p50 = _with_server(_bare_server, keys, ours, _bare, many, single)
    rate, p50 = _with_server(_our_server, keys, ours, _our, many, single)
    return [
        result(
            "wire round trips",
            rate,
            "round trips/s",
            "higher",
            bare_rate,
            f"pyzmq DEALER and ROUTER, {_IN_FLIGHT} in flight",
        ),
        result(
            "wire round trip p50",
            p50 * 1e6,
            "us",
            "lower",
            bare_p50 * 1e6,
            "pyzmq DEALER and ROUTER, 1 in flight",
        ),
    ]


def _pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def _with_server(
    serve: Callable[[Connection, KeyPair, KeyPair], None],
    server: KeyPair,
    client: KeyPair,
    measure: Callable[[str, KeyPair, KeyPair, int, int], tuple[float, float]],
    many: int,
    single: int,
) -> tuple[float, float]:
    spawn = multiprocessing.get_context("spawn")
    near, far = spawn.Pipe()
    process = spawn.Process(target=serve, args=(far, server, client), daemon=True)
    process.start()
    try:
        if not near.poll(30.0):
            raise TimeoutError("the benchmark's server did not start within 30 s")
        return measure(near.recv(), server, client, many, single)
    finally:
        process.terminate()
        process.join(5.0)
        near.close()
        far.close()


# --- ours
class _NoEngine:
    """As much of an engine as a ping needs."""

    def requests(self, *_: object) -> None: ...
    def workers(self, *_: object) -> None: ...
    def feed(self, *_: object) -> None: ...
    def session_lost(self, *_: object) -> None: ...
    def history(self, *_: object) -> None: ...

    def session_opened(self, _: Caller) -> bool:
        return False

    def info(self) -> Mapping[str, object]:
        return {}


def _our_server(ready: Connection, server: KeyPair, client: KeyPair) -> None:
    from transport.server import Server

    async def serve() -> None:
        caller = Caller("benchmark", Role.USER)
        there = Server(
            _NoEngine(),  # type: ignore[arg-type]
            bind="tcp://127.0.0.1:0",
            public_key=server.public,
            secret_key=server.secret,
            admit=lambda key: caller if key == client.public else None,
            insecure=False,
            software="benchmark",
            board_networks=(),
            loop=asyncio.get_running_loop(),
        )
        there.start()
        ready.send(there.url)
        await asyncio.Event().wait()

    asyncio.run(serve())


def _our(url: str, server: KeyPair, client: KeyPair, many: int, single: int) -> tuple[float, float]:
    async def measure() -> tuple[float, float]:
        link = Link([Address(url, server.public)], client, role="user", software="benchmark")
        await link.open(30.0)

        async def some(count: int) -> None:
            for _ in range(count):
                await link.call("ping", {})

        await some(200)
        began = time.perf_counter()
        await asyncio.gather(*(some(many // _IN_FLIGHT) for _ in range(_IN_FLIGHT)))
        rate = many / (time.perf_counter() - began)
        took = []
        for _ in range(single):
            began = time.perf_counter()
            await link.call("ping", {})
            took.append(time.perf_counter() - began)
        await link.close()
        return rate, statistics.median(took)

    return asyncio.run(measure())


# --- the limit
def _bare_server(ready: Connection, server: KeyPair, _: KeyPair) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, server.secret.encode())
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    ready.send(f"tcp://127.0.0.1:{port}")
    while True:
        peer, frame = socket.recv_multipart()
        call = msgpack.unpackb(frame)
        reply = msgpack.packb({"v": 1, "re": call["id"], "body": {}})
        socket.send_multipart([peer, reply])


def _bare(
    url: str, server: KeyPair, client: KeyPair, many: int, single: int
) -> tuple[float, float]:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.public.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, client.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, client.secret.encode())
    socket.connect(url)
    try:

        def ask(number: int) -> None:
            socket.send(msgpack.packb({"v": 1, "id": number, "type": "ping", "body": {}}))

        def answered() -> None:
            msgpack.unpackb(socket.recv())

        for number in range(1, 201):
            ask(number)
            answered()
        began = time.perf_counter()
        for number in range(_IN_FLIGHT):
            ask(number + 1)
        for number in range(_IN_FLIGHT, many):
            answered()
            ask(number + 1)
        for _ in range(_IN_FLIGHT):
            answered()
        rate = many / (time.perf_counter() - began)
        took = []
        for number in range(single):
            began = time.perf_counter()
            ask(number + 1)
            answered()
            took.append(time.perf_counter() - began)
        return rate, statistics.median(took)
    finally:
        context.destroy(linger=0)
