"""A peer with nothing of ours in it but the bytes it is told to send."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgpack
import zmq

from transport.client import KeyPair

_numbers = itertools.count(1)


class Raw:
    """A DEALER of a context of its own; `server_key` None: no CURVE. `options` are ZeroMQ's."""

    def __init__(
        self,
        url: str,
        server_key: str | None,
        keys: KeyPair | None,
        routing_id: bytes | None = None,
        options: Mapping[int, int] | None = None,
    ) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        if routing_id is not None:
            self.socket.setsockopt(zmq.ROUTING_ID, routing_id)
        if server_key is not None and keys is not None:
            self.socket.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode())
            self.socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
            self.socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
        address = f"inproc://raw-monitor-{next(_numbers)}"
        self.socket.monitor(address, zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.monitor = self.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        self.monitor.connect(address)
        self.socket.connect(url)
        self.last = 0
        self.notices: list[dict[str, Any]] = []

    def say(self, message: object) -> None:
        self.frame(msgpack.packb(message, datetime=True))

    def frame(self, *frames: bytes) -> None:
        # Without a connection a DEALER would wait for one that never comes.
        self.socket.send_multipart(frames, zmq.NOBLOCK)

    async def recv(self, within_s: float = 10.0) -> dict[str, Any]:
        """The next message, heartbeats and other notices too."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    frame = self.socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    await asyncio.sleep(0.002)
                else:
                    found: dict[str, Any] = msgpack.unpackb(frame, timestamp=3)
                    return found

    async def reply(self, number: int, within_s: float = 10.0) -> dict[str, Any]:
        """The answer to a call; notices are kept."""
        while True:
            found = await self.recv(within_s)
            if found.get("re") == number:
                return found
            self.notices.append(found)

    async def call(self, kind: str, **body: Any) -> dict[str, Any]:
        self.last += 1
        self.say({"v": 1, "id": self.last, "type": kind, "body": body})
        return await self.reply(self.last)

    async def hello(
        self, role: str = "user", session: bytes | None = None, protocols: Any = (1,)
    ) -> dict[str, Any]:
        return await self.call(
            "hello",
            role=role,
            protocols=list(protocols),
            software="raw",
            session=session or os.urandom(16),
        )

    async def event(self, wanted: int, within_s: float = 10.0) -> bool:
        """Whether ZeroMQ tells of this event in time."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        frames = self.monitor.recv_multipart(zmq.NOBLOCK)
                    except zmq.Again:
                        await asyncio.sleep(0.002)
                        continue
                    if struct.unpack("=Hi", frames[0])[0] == wanted:
                        return True
        except TimeoutError:
            return False

    async def cut(self, within_s: float = 10.0) -> bool:
        """Whether the server ends the connection in time."""
        return await self.event(zmq.EVENT_DISCONNECTED, within_s)

    def close(self) -> None:
        # First: ZeroMQ's own thread would wait for ever for somebody to hear its news.
        if not self.socket.closed:
            self.socket.disable_monitor()
        self.context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Stub:
    """A server without keys that says what it is told: answers calls by `answers`."""

    def __init__(self, **answers: dict[str, Any] | None) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.url = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.answers = answers
        self.heard: list[dict[str, Any]] = []
        self.peer = b""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            try:
                self.peer, frame = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await asyncio.sleep(0.002)
                continue
            message = msgpack.unpackb(frame, timestamp=3)
            self.heard.append(message)
            kind = message.get("type", "").replace(".", "_")
            if "id" in message and self.answers.get(kind) is not None:
                self.say({"v": 1, "re": message["id"], **(self.answers[kind] or {})})

    def say(self, message: object) -> None:
        self.frame(msgpack.packb(message, datetime=True))

    def frame(self, *frames: bytes) -> None:
        self.socket.send_multipart([self.peer, *frames])

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        self.context.destroy(linger=0)


WELCOME: dict[str, Any] = {
    "body": {
        "protocol": 1,
        "server": "stub",
        "epoch": 1,
        "session_kept": False,
        "heartbeat_s": 3.0,
        "name": "me",
        "role": "user",
    }
}
