"""Agents by the thousand in one process: the wire of a real one, and as little else as possible.

A `Link` costs a few milliseconds of processor time to come up and has a monitor of its own: 10,000
of them on the server's own machine would be measured instead of the server. Here an agent is a
DEALER of two file descriptors that says hello, registers, obeys and beats. It comes back after a
goodbye, and where it has heard nothing for so long that the server must be gone.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket as net
import sys
from pathlib import Path
from typing import Any, Final

import zmq
import zmq.auth

from boruta.domain import defaults
from transport import sockets
from transport.codec import Call, ErrorReply, Message, Notice, Reply, decode, encode
from transport.session import HEARTBEAT

HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zu9p1d2XgJk8pT1y0vQ6l8m3oS5b7c9d1e3f5g7h9"
PREPARED: Final = {"username": "boruta-user", "host_keys": [HOST_KEY]}
HELLO, REGISTER = 1, 2  # the numbers of our calls
FIRST_S, LAST_S = 1.0, 4.0  # after a goodbye, as the server asks and links do by their jitter
UNHEARD_S: Final = 10.0
_TICK_S: Final = 0.05


class Agent:
    """One agent."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.uuid = f"board-{number:05}"
        self.registered = False
        self.heard_at = 0.0
        self._session = secrets.token_bytes(16)
        self._socket: sockets.Socket | None = None
        self._pump: sockets.Pump | None = None

    def connect(self) -> None:
        """Makes a new connection and says hello."""
        self.close()
        crowd = self.crowd
        socket = crowd.context.socket(zmq.DEALER)
        sockets.set_common(socket, crowd.url)
        socket.setsockopt(zmq.CURVE_SERVERKEY, crowd.server_key)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, crowd.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, crowd.secret)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.connect(crowd.url)
        self._socket = socket
        self._pump = sockets.Pump(crowd.loop, socket, self._drain)
        self.heard_at = crowd.loop.time()
        self._say(
            Call(
                HELLO,
                "hello",
                {
                    "role": "worker",
                    "protocols": [1],
                    "software": "benchmark",
                    "session": self._session,
                },
            )
        )

    def beat(self) -> None:
        """Says that it is there."""
        self._send(HEARTBEAT)

    def close(self) -> None:
        """Drops the connection."""
        self.crowd.there -= self.registered
        self.registered = False
        if self._socket is not None and self._pump is not None:
            self._pump.close()
            self._socket.close(0)
            self._socket = None

    def _say(self, message: Message) -> None:
        self._send(encode(message))

    def _send(self, frame: bytes) -> None:
        if self._socket is None or self._pump is None:
            return
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:  # ZeroMQ knows already that the connection is over
            self.crowd.come_back(self)
        else:
            self._pump.kick()

    def _drain(self) -> bool:
        while self._socket is not None:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return False
            self.heard_at = self.crowd.loop.time()
            if frame != HEARTBEAT:
                self._heard(decode(frame))
        return False

    def _heard(self, message: Message) -> None:
        match message:
            case Reply(re=re) if re == HELLO:
                body: dict[str, Any] = {"caps": {"UUID": self.uuid, "arch": "bench"}}
                self._say(Call(REGISTER, "superviser.register", {**body, "ssh_address": ":9"}))
            case Reply(re=re) if re == REGISTER:
                self.registered = True
                self.crowd.registered()
            case Call(id=number, type="dryad.prepare"):
                self._say(Reply(number, PREPARED))
            case Call(id=number):
                self._say(Reply(number, {}))
            case Notice(type="goodbye") | ErrorReply():
                self.crowd.come_back(self)
            case _:
                pass


class Crowd:
    """All agents of this process."""

    def __init__(self, url: str, server_key: str, key_file: str) -> None:
        public, secret = zmq.auth.load_certificate(Path(key_file))
        assert secret is not None
        self.url, self.server_key = url, server_key.encode()
        self.public, self.secret = public, secret
        self.loop = asyncio.get_running_loop()
        self.context = sockets.new_context()
        self.there = 0
        self._agents: list[Agent] = []
        self._away: set[Agent] = set()
        self._seen_at = -1e9  # when the server was there

    async def run(self, first: int, count: int) -> None:
        """Comes, says so, and beats for ever."""
        self._agents = [Agent(self, number) for number in range(first, first + count)]
        for agent in self._agents:
            self.come_back(agent)
        ticks = round(defaults.HEARTBEAT_S / _TICK_S)
        tick = 0
        while True:
            await asyncio.sleep(_TICK_S)
            now = self.loop.time()
            for agent in self._agents[tick % ticks :: ticks]:
                if agent.registered:
                    agent.beat()
                if now - agent.heard_at > UNHEARD_S and agent not in self._away:
                    self.come_back(agent)
            tick += 1

    def registered(self) -> None:
        """One more is there."""
        self.there += 1
        if self.there == len(self._agents):
            print("registered", flush=True)

    def _is_there(self) -> bool:
        """Whether somebody listens; asked once a second for all."""
        now = self.loop.time()
        if now - self._seen_at > 1.0:
            host, _, port = self.url.removeprefix("tcp://").rpartition(":")
            with net.socket() as probe:
                if probe.connect_ex((host, int(port))) != 0:
                    return False
            self._seen_at = now
        return True

    def come_back(self, agent: Agent) -> None:
        """Connects it a while later."""
        agent.close()
        agent.heard_at = self.loop.time()
        self._away.add(agent)

        def connect() -> None:
            if not self._is_there():
                self.loop.call_later(random.uniform(0.2, 1.0), connect)
                return
            self._away.discard(agent)
            agent.connect()

        self.loop.call_later(random.uniform(FIRST_S, LAST_S), connect)


async def main() -> None:
    """The arguments are URL, SERVER_KEY, KEY_FILE, FIRST and N."""
    url, server_key, key_file, first, n = sys.argv[1:]
    await Crowd(url, server_key, key_file).run(int(first), int(n))


if __name__ == "__main__":
    asyncio.run(main())
