"""One connection through a tunnel: the holder's end, the board's end, and what goes between."""

from __future__ import annotations

import asyncio
import enum
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from boruta.domain.defaults import DIAL_WITHIN_S
from transport.tunnels.pump import Pipes, Pump, Wait

log = logging.getLogger("boruta.tunnel")
SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset, what waits is dropped
# A holder or board that vanished without a word gives its place back after about a minute.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class How(enum.Enum):
    """How a bridge came to its end."""

    ENDED = "both sides ended"
    BROKEN = "one side broke"
    NOT_DIALLED = "the board did not answer"
    CUT = "the tunnel was closed"


def reset(sock: socket.socket) -> None:
    """Closes at once; the peer sees a reset, never an end of stream that looks whole."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass
    sock.close()


def _tune(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Bridge:
    """Dials the board, then forwards both ways until both have ended or one breaks.

    Bytes that the holder sends before the board has answered wait in his socket. The sockets
    are watched by the loop directly: no task, and no transport whose flow control differs from
    loop to loop.

    Args:
        near: the holder's connection; the bridge owns it from now on.
        over: called once, at the end of it, not from within `start`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        near: socket.socket,
        pipes: Pipes,
        over: Callable[[Bridge, How, OSError | None], None],
    ) -> None:
        self._loop = loop
        self._near = near
        self._far: socket.socket | None = None
        self._pipes = pipes
        self._over = over
        self._timer: asyncio.TimerHandle | None = None
        self._pumps: tuple[Pump, ...] = ()
        self._open = 2
        self._ended = False

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes to the board and from it."""
        up, down = self._pumps or (None, None)
        return (up.moved if up else 0, down.moved if down else 0)

    def start(self, family: int, board: SockAddr) -> None:
        """Begins to dial."""
        try:
            _tune(self._near)
            self._far = socket.socket(family, socket.SOCK_STREAM)
            _tune(self._far)
            code = self._far.connect_ex(board)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self._timer = self._loop.call_later(0, self._end, How.NOT_DIALLED, error)
            return
        late = TimeoutError(f"no answer within {DIAL_WITHIN_S:g} s")
        self._timer = self._loop.call_later(DIAL_WITHIN_S, self._end, How.NOT_DIALLED, late)
        self._loop.add_writer(self._far, self._dialled)

    def cut(self) -> None:
        """Ends it at once, both ways; idempotent."""
        self._end(How.CUT, None)

    def _dialled(self) -> None:
        assert self._far is not None
        self._loop.remove_writer(self._far)
        code = self._far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # Where nobody listens, a socket can meet itself: the system chose that very port for it.
        if not code and self._far.getsockname() == self._far.getpeername():
            code = errno.ECONNREFUSED
        if code:
            self._end(How.NOT_DIALLED, OSError(code, os.strerror(code)))
            return
        if self._timer is not None:
            self._timer.cancel()
        near, far = self._near, self._far
        self._pumps = (Pump(near, far, self._pipes), Pump(far, near, self._pipes))
        self._loop.add_reader(near, self._go_on, 0, near, far, Wait.SOURCE)
        self._loop.add_reader(far, self._go_on, 1, far, near, Wait.SOURCE)

    def _go_on(self, way: int, source: socket.socket, sink: socket.socket, had: Wait) -> None:
        try:
            now = self._pumps[way].step()
        except OSError as error:
            self._end(How.BROKEN, error)
            return
        except Exception as error:  # else the loop would call again for ever
            log.exception("tunnel_defect")
            self._end(How.BROKEN, OSError(str(error)))
            return
        if now is had:
            return
        if had is Wait.SOURCE:
            self._loop.remove_reader(source)
        else:
            self._loop.remove_writer(sink)
        if now is Wait.SOURCE:
            self._loop.add_reader(source, self._go_on, way, source, sink, now)
        elif now is Wait.SINK:
            self._loop.add_writer(sink, self._go_on, way, source, sink, now)
        else:
            self._open -= 1
            if not self._open:
                self._end(How.ENDED, None)

    def _end(self, how: How, error: OSError | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        for sock in (self._near, self._far):
            if sock is not None:
                if not self._loop.is_closed():
                    self._loop.remove_reader(sock)
                    self._loop.remove_writer(sock)
                if how is How.ENDED:
                    sock.close()
                else:
                    reset(sock)
        for pump in self._pumps:
            pump.close()
        self._over(self, how, error)
