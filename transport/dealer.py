"""One connection of a client or an agent: a DEALER socket that lives as long as it, no longer.

What was not sent dies with it: a socket that reconnects by itself would deliver calls of its old
life before `hello`.
"""

from __future__ import annotations

import asyncio
import logging
import socket as net
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import zmq

from boruta.domain.errors import BadAddress, BorutaError, NotPermitted, Unreachable
from transport import sockets
from transport.addresses import join_address, split_address

log = logging.getLogger("boruta.link")
_HANDSHAKE_MS: Final = 15_000
# A machine that is gone refuses nothing, and the kernel would try for two minutes. One lost SYN is
# sent again after 1 s.
_CONNECT_MS: Final = 3_000
# ZMTP's own heartbeats see a dead link or a stopped process; they are set on this side alone (on
# the server's they are quadratic). A hung main thread is seen by ours only.
_HEARTBEAT_MS: Final = 15_000
_HEARTBEAT_TIMEOUT_MS: Final = 10_000
_BATCH: Final = 200
_MECHANISM_MISMATCH: Final = 0x11000002
_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


@dataclass(frozen=True)
class Address:
    """A server: its ZeroMQ address, and its public key in 40 Z85 characters."""

    url: str
    server_key: str = ""

    def parts(self) -> tuple[str, int]:
        """Host and port.

        Raises:
            BadAddress: it is no tcp://host:port.
        """
        if not self.url.startswith("tcp://"):
            raise BadAddress(f"server {self.url!r:.100}: want tcp://host:port")
        return split_address(self.url.removeprefix("tcp://"))


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key, both halves in Z85."""

    public: str
    secret: str = field(repr=False)


class HandshakeCut(Unreachable):
    """The far end ended the handshake without a word: another server key, or it was stopped."""


class Mute(Unreachable):
    """It has said nothing for as long as we wait: its machine is gone, or it was stopped."""


class Connection:
    """A socket to one address.

    Args:
        address: as it was configured, for messages.
        target: a URL with the IP address to connect to.
        keys: None: no CURVE.
        on_frame: a frame has come.
        on_over: the connection is over, and why; called once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        target: str,
        keys: KeyPair | None,
        on_frame: Callable[[bytes], None],
        on_over: Callable[[BorutaError], None],
    ) -> None:
        self._address = address
        self._on_frame = on_frame
        self._on_over = on_over
        self._over = False
        self._loop, self._began = loop, loop.time()
        self._connected = False
        self._met = False  # the handshake is done
        self._with_keys = keys is not None
        self.local_host = ""
        context = sockets.shared_context()
        socket = context.socket(zmq.DEALER)
        try:
            self._set_options(socket, target, keys)
            self._monitor = sockets.Monitor(loop, context, socket, _EVENTS, self._on_event)
            try:
                socket.connect(target)
            except BaseException:
                self._monitor.close()
                raise
        except zmq.ZMQError as error:
            socket.close(0)
            raise BadAddress(f"server {address.url}: {error.strerror}") from None
        except BaseException:
            socket.close(0)
            raise
        self._socket = socket
        self._pump = sockets.Pump(loop, socket, self._drain)

    def _set_options(
        self, socket: sockets.Socket, target: str, keys: KeyPair | None
    ) -> None:
        sockets.set_common(socket, target)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_MS)
        socket.setsockopt(zmq.SNDHWM, 0)  # bounded by the calls that wait
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self._address.server_key.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())

    # --- in and out
    def send(self, frame: bytes) -> None:
        """Sends; what cannot go any more is dropped, as the end of the connection tells."""
        if self._over:
            return
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self._end(Unreachable(f"the connection to {self._address.url} takes nothing more"))
        self._pump.kick()  # ZMQ_FD is edge-triggered

    def drain_all(self) -> None:
        """Takes what came, so that the server is not judged by what lies unread."""
        for _ in range(100):
            if self._over or not self._drain():
                return

    def _drain(self) -> bool:
        for _ in range(_BATCH):
            if self._over:
                return False
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return False
            several = False
            while self._socket.getsockopt(zmq.RCVMORE):
                several = True
                self._socket.recv(zmq.NOBLOCK)
            if several:
                self._end(Unreachable(f"{self._address.url} sent a message of several parts"))
                return False
            self._on_frame(frame)
        return True

    # --- its end
    def _on_event(self, event: int, value: int) -> None:
        url = self._address.url
        if self._over:
            return
        if event == zmq.EVENT_CONNECTED:
            self._connected = True
            here = sockets.local_of(value)
            self.local_host = "" if here is None else here[0]
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._met = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._end(NotPermitted(f"the server at {url} does not admit this key", server=url))
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            if value == _MECHANISM_MISMATCH:
                text = f"{url}: one side uses keys and the other does not (--insecure)"
            else:
                text = f"{url} does not speak our protocol, or has another key than server_key"
            self._end(NotPermitted(text, server=url))
        elif not self._connected:
            waited = self._loop.time() - self._began >= _CONNECT_MS / 2000
            kind = Mute if waited else Unreachable
            self._end(kind(f"nothing answers at {url}", server=url))
        elif not self._met:
            self._end(self._handshake_cut())
        else:
            self.drain_all()  # the last words count
            self._end(Unreachable(f"the connection to {url} was lost", server=url))

    def _handshake_cut(self) -> HandshakeCut:
        what = (
            "it has another key than server_key"
            if self._with_keys
            else "one side uses keys and the other does not (--insecure)"
        )
        return HandshakeCut(
            f"{self._address.url} ended the handshake: {what}, or it is no Boruta server, or it "
            "was just stopped",
            server=self._address.url,
        )

    def _end(self, error: BorutaError) -> None:
        if not self._over:
            self._over = True
            self._on_over(error)

    def close(self) -> None:
        """Closes the socket; idempotent."""
        self._over = True
        if not self._socket.closed:
            self._pump.close()
            self._monitor.close()
            self._socket.close(0)


async def resolved(loop: asyncio.AbstractEventLoop, address: Address, attempt: int) -> str:
    """The URL with an IP address: ZeroMQ would look names up on the thread that serves all sockets.

    Raises:
        Unreachable: the name is not known.
    """
    host, port = address.parts()
    if host.replace(".", "").isdigit() or ":" in host:
        return f"tcp://{join_address(host, port)}"
    try:
        found = await loop.getaddrinfo(host, port, type=net.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"server {address.url}: {error.strerror or error}") from None
    hosts = list(dict.fromkeys(str(one[4][0]) for one in found))
    hosts.sort(key=lambda one: ":" in one)  # IPv4 first; the next attempt takes the next one
    return f"tcp://{join_address(hosts[attempt % len(hosts)], port)}"
