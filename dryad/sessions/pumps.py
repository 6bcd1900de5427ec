"""Bytes between an SSH channel and a program's descriptors, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Protocol

READ_BYTES = 64 << 10  # a pipe holds no more
HIGH_BYTES = 256 << 10  # input kept for a program that does not read; then the channel is paused
QUIET_S = 0.1  # a terminal whose program has ended, but which something holds open, is read so long


class Channel(Protocol):
    """The part of an SSH channel that the pumps use."""

    def write(self, data: bytes, datatype: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Input:
    """What the client sends, for the program. Bytes that come before `attach` are kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel) -> None:
        self._loop = loop
        self._channel = channel
        self._fd: int | None = None
        self._kept = bytearray()
        self._paused = False
        self._resuming = False
        self._ended = False
        self._closed = False
        self._on_eof: Callable[[int], None] = os.close

    def attach(self, fd: int, on_eof: Callable[[int], None] = os.close) -> None:
        """Writes to the non-blocking `fd` from now on; `on_eof` is given it at the end."""
        if self._closed:
            os.close(fd)
            return
        self._fd = fd
        self._on_eof = on_eof
        self._flush()

    def feed(self, data: bytes) -> None:
        """Takes what the client sent."""
        if self._closed:
            return
        self._kept += data
        self._flush()

    def end(self) -> None:
        """The client sends no more."""
        self._ended = True
        self._flush()

    def close(self) -> None:
        """Drops what is kept and lets go of the descriptor."""
        if self._closed:
            return
        self._closed = True
        self._kept.clear()
        if self._fd is not None:
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = None
        self._resume()

    def _flush(self) -> None:
        if self._fd is None:
            if len(self._kept) > HIGH_BYTES:
                self._pause()
            return
        self._loop.remove_writer(self._fd)
        while self._kept:
            try:
                sent = os.write(self._fd, self._kept)
            except BlockingIOError:
                self._loop.add_writer(self._fd, self._flush)
                if len(self._kept) > HIGH_BYTES:
                    self._pause()
                return
            except OSError:  # the program reads no more
                self.close()
                return
            del self._kept[:sent]
        if self._ended:
            fd, self._fd = self._fd, None
            self._closed = True
            self._on_eof(fd)
        else:
            self._resume()  # last: it may deliver more, and the end, before it returns

    def _pause(self) -> None:
        if not self._paused and not self._resuming:
            self._paused = True
            self._channel.pause_reading()

    def _resume(self) -> None:
        """Takes all that the channel kept, a window of it at the most, before it pauses again.

        With the first piece that it hands out the library opens the whole window anew, whatever it
        still keeps: pausing half-way, time after time, would have it keep all that the client has.
        """
        if not self._paused:
            return
        self._paused, self._resuming = False, True
        try:
            self._channel.resume_reading()
        finally:
            self._resuming = False
        if len(self._kept) > HIGH_BYTES and not self._closed:
            self._pause()


class Output:
    """What the program writes, for the client. `done` when its end was read and written on."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, fd: int, datatype: int | None
    ) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._channel = channel
        self._fd = fd
        self._datatype = datatype
        self._finishing = False
        self._quiet: asyncio.TimerHandle | None = None
        loop.add_reader(fd, self._readable)

    def pause(self) -> None:
        """The client is slow."""
        if not self.done.done():
            self._loop.remove_reader(self._fd)
            self._stop_timer()

    def resume(self) -> None:
        """The client keeps up again."""
        if not self.done.done():
            self._loop.add_reader(self._fd, self._readable)
            if self._finishing:
                self._start_timer()

    def finish(self) -> None:
        """The program has ended: done at the latest when nothing more comes for a moment."""
        self._finishing = True
        if not self.done.done():
            self._start_timer()

    def close(self) -> None:
        """Reads no more; a terminal is hung up by this."""
        self._end()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _end(self) -> None:
        # The descriptor stays open: a program that closes its files a moment before it exits (cat
        # does) would be killed by the hang-up of its terminal, and its exit status lost.
        if not self.done.done():
            self._stop_timer()
            self._loop.remove_reader(self._fd)
            self.done.set_result(None)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody holds the terminal any more
            data = b""
        if not data:
            self._end()
            return
        if self._finishing:
            self._start_timer()
        # The channel may be gone already; then its session closes this pump in a moment.
        with contextlib.suppress(OSError):
            self._channel.write(data, self._datatype)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._quiet = self._loop.call_later(QUIET_S, self._end)

    def _stop_timer(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
