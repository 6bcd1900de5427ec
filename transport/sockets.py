"""ZeroMQ on an event loop: contexts, options, and plain sockets that are read by `add_reader`.

`zmq.asyncio` is not used: at 10,000 peers it takes a whole core where this takes a tenth.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import os
import resource
import socket as net
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import zmq

from boruta.domain.defaults import FRAME_BYTES

Socket: TypeAlias = "zmq.Socket[bytes]"
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
log = logging.getLogger("boruta.wire")

# What one frame of protocol 1 takes on the wire: CURVE adds 33 bytes.
WIRE_BYTES: Final = FRAME_BYTES + 256
RECEIVED_KEPT: Final = 50  # messages of one peer that wait in ZeroMQ; MAXMSGSIZE bounds each
_SOCKETS: Final = 65_536  # a context's default of 1,023 is one link in three
_BATCH: Final = 200  # messages taken in one turn of the loop, so that timers get theirs

_contexts: dict[int, Context] = {}
_monitors = itertools.count(1)
_seeded = False


def new_context() -> Context:
    """A context of one's own."""
    global _seeded
    if not _seeded:
        # libzmq makes its routing ids with rand() and never seeds it: a peer that claims the id
        # that comes next makes a ROUTER abort().
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))
        _seeded = True
    context: Context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, min(_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
    return context


def shared_context() -> Context:
    """The context of this process's links; never ended, and no linger holds up the exit."""
    pid = os.getpid()  # after a fork the parent's context is of no use
    if pid not in _contexts:
        _contexts[pid] = new_context()
    return _contexts[pid]


def set_common(socket: Socket, url: str) -> None:
    """What every socket of ours has; `url` is where it binds or connects to."""
    socket.setsockopt(zmq.LINGER, 0)  # the default, -1, makes the end of the process hang
    socket.setsockopt(zmq.MAXMSGSIZE, WIRE_BYTES)
    socket.setsockopt(zmq.IPV6, int("[" in url))  # else 127.0.0.1 becomes ::ffff:127.0.0.1
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)


class Pump:
    """Calls `drain` whenever a socket may have something.

    ZMQ_FD is edge-triggered: whoever sends outside of `drain` calls `kick`, or replies stall.

    Args:
        drain: takes a batch; whether there may be more.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, socket: Socket, drain: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._drain = drain
        self._scheduled = False
        self._fd: int | None = int(socket.getsockopt(zmq.FD))
        loop.add_reader(self._fd, self._run)
        self.kick()

    def kick(self) -> None:
        """Drains soon."""
        if not self._scheduled and self._fd is not None:
            self._scheduled = True
            self._loop.call_soon(self._kicked)

    def _kicked(self) -> None:
        self._scheduled = False
        self._run()

    def _run(self) -> None:
        if self._fd is None:
            return
        try:
            more = self._drain()
        except zmq.ZMQError as error:
            if error.errno in (zmq.ENOTSOCK, zmq.ETERM):
                self.close()
                return
            log.exception("drain_failed")
            more = True
        except Exception:
            # One message may have been lost to a defect of ours; the others are not.
            log.exception("drain_failed")
            more = True
        if more:
            self.kick()

    def close(self) -> None:
        """Calls no more; before the socket is closed."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None


def batch(socket: Socket, take: Callable[[list[bytes]], None]) -> bool:
    """Takes up to a batch of whole messages; whether there may be more."""
    for _ in range(_BATCH):
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        take(frames)
    return True


class Monitor:
    """What happens to the connections of a socket, as it happens.

    Args:
        on_event: called with the event and its value, mostly a file descriptor.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        socket: Socket,
        events: int,
        on_event: Callable[[int, int], None],
    ) -> None:
        self._watched = socket
        self._on_event = on_event
        # An address of its own: pyzmq's holds the fd's number, which is used again.
        address = f"inproc://boruta-monitor-{os.getpid()}-{next(_monitors)}"
        socket.monitor(address, events)
        self._socket = context.socket(zmq.PAIR)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # a full one would stop ZeroMQ's own thread
        self._socket.connect(address)
        self._pump = Pump(loop, self._socket, self.drain)

    def drain(self) -> bool:
        """Takes what there is."""
        return batch(self._socket, self._take)

    def _take(self, frames: list[bytes]) -> None:
        event, value = struct.unpack("=Hi", frames[0])
        self._on_event(event, value)

    def close(self) -> None:
        """Before the watched socket is closed."""
        self._pump.close()
        try:
            self._watched.monitor(None, 0)
        except zmq.ZMQError:
            pass
        self._socket.close(0)


def remote_of(fd: int) -> tuple[str, int] | None:
    """The far address of a TCP connection that ZeroMQ owns; None if it is gone."""
    return _asked(fd, net.socket.getpeername)


def local_of(fd: int) -> tuple[str, int] | None:
    """The near address of a TCP connection that ZeroMQ owns; None if it is gone."""
    return _asked(fd, net.socket.getsockname)


def _asked(fd: int, ask: Callable[[net.socket], Any]) -> tuple[str, int] | None:
    try:
        with net.socket(fileno=os.dup(fd)) as twin:
            found = ask(twin)
    except OSError:
        return None
    if not isinstance(found, tuple) or len(found) < 2:
        return None
    return plain_host(str(found[0])), int(found[1])


def plain_host(host: str) -> str:
    """An IPv4 address that came through IPv6 as what it is."""
    return host.removeprefix("::ffff:") if "." in host else host


def shut(fd: int, remote: tuple[str, int]) -> bool:
    """Shuts the TCP connection to `remote` down, unless its fd belongs to another one by now."""
    try:
        with net.socket(fileno=os.dup(fd)) as twin:
            found = twin.getpeername()
            if (plain_host(str(found[0])), int(found[1])) != remote:
                return False
            twin.shutdown(net.SHUT_RDWR)
    except OSError:
        return False
    return True


def files_allowed() -> int:
    """How many file descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
