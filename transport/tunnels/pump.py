"""Moves the bytes of one direction of a tunnel. Knows sockets, but no event loop.

Bytes go through a kernel pipe (os.splice) and never come up to Python. A pipe is borrowed only
while bytes are under way, so an idle tunnel has none.
"""

from __future__ import annotations

import enum
import errno
import fcntl
import os
import socket
from typing import Final

PIPE_BYTES: Final = 256 << 10  # what may be under way in one direction; more brings no speed
TURN_BYTES: Final = 512 << 10  # then others have their turn; about 0.2 ms
IDLE_PIPES: Final = 16  # kept for the next who needs one
_NO_SPLICE: Final = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP)
_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class Wait(enum.Enum):
    """What a pump needs before it can go on."""

    SOURCE = "bytes to read"
    SINK = "room to write"
    NOTHING = "all bytes and the end were passed on"


class Pipes:
    """Kernel pipes for those who have bytes under way."""

    def __init__(self) -> None:
        self._idle: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int] | None:
        """The reading and the writing end; None where there are no file descriptors left."""
        if self._idle:
            return self._idle.pop()
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # the user has many pipes already: this one stays at 64 KiB
        return pipe

    def give_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        """Whoever took it needs it no more."""
        if empty and len(self._idle) < IDLE_PIPES:
            self._idle.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])

    def close(self) -> None:
        """Closes those that nobody has; may be used again."""
        while self._idle:
            self.give_back(self._idle.pop(), empty=False)


class Pump:
    """One direction: from `source` to `sink`, the end of the stream too.

    At most PIPE_BYTES are under way: a slow sink stops the source.
    """

    __slots__ = ("_copied", "_ended", "_pipe", "_pipes", "_sink", "_source", "_under_way", "moved")

    def __init__(self, source: socket.socket, sink: socket.socket, pipes: Pipes) -> None:
        self.moved = 0
        self._source = source
        self._sink = sink
        self._pipes = pipes
        self._pipe: tuple[int, int] | None = None
        self._under_way = 0
        self._copied: memoryview | None = None  # under way without a pipe
        self._ended = False

    def step(self) -> Wait:
        """Moves what can be moved now, within one turn.

        Raises:
            OSError: one of the two is broken.
        """
        turn = 0
        while True:
            if self._under_way and not self._push():
                return Wait.SINK
            if self._ended:
                self._return_pipe()
                self._sink.shutdown(socket.SHUT_WR)
                return Wait.NOTHING
            if turn >= TURN_BYTES:
                self._return_pipe()
                return Wait.SOURCE
            try:
                got = self._pull()
            except (BlockingIOError, InterruptedError):
                self._return_pipe()
                return Wait.SOURCE
            self._under_way = got
            self._ended = got == 0
            turn += got

    def close(self) -> None:
        """Drops what is under way; idempotent."""
        self._return_pipe()
        self._copied = None
        self._under_way = 0

    def _pull(self) -> int:
        if self._pipe is None:
            self._pipe = self._pipes.take()
        if self._pipe is not None:
            try:
                return os.splice(self._source.fileno(), self._pipe[1], PIPE_BYTES, flags=_FLAGS)
            except OSError as error:
                if error.errno not in _NO_SPLICE:
                    raise
        data = self._source.recv(PIPE_BYTES)
        self._copied = memoryview(data) if data else None
        return len(data)

    def _push(self) -> bool:
        try:
            while self._under_way:
                if self._copied is not None:
                    sent = self._sink.send(self._copied)
                    self._copied = self._copied[sent:] if sent < len(self._copied) else None
                else:
                    assert self._pipe is not None
                    sent = os.splice(
                        self._pipe[0], self._sink.fileno(), self._under_way, flags=_FLAGS
                    )
                self._under_way -= sent
                self.moved += sent
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _return_pipe(self) -> None:
        if self._pipe is not None:
            piped = self._under_way > 0 and self._copied is None
            self._pipes.give_back(self._pipe, empty=not piped)
            self._pipe = None
