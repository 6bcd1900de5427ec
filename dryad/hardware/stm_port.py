"""A serial port on the loop: opened, locked and set by pyserial, read when something comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import Callable
from typing import Final

from dryad.hardware.stm_answers import PortUnusable

BAUD: Final = 115200
_AT_ONCE: Final = 4096  # bytes; all that a terminal's buffer holds


class SerialPort:
    """One open port, 8N1, raw, without flow control; nobody else's while it is open.

    Args:
        path: the device.
        on_data: called with what comes.
        on_gone: called once, when the port fails; it is closed then.
        baud: its speed.

    Raises:
        PortUnusable: it is missing, busy, or no serial port.
    """

    def __init__(
        self,
        path: str,
        on_data: Callable[[bytes], None],
        on_gone: Callable[[str], None],
        *,
        baud: int = BAUD,
    ) -> None:
        import serial  # not before a board has one

        self._on_data = on_data
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self.is_open = False
        try:
            # pyserial opens with O_NONBLOCK: it waits for no carrier. Only the descriptor is used.
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            why = str(error)
            if "exclusively lock" in why:
                why = "another process uses it"
            elif isinstance(error, OSError) and error.errno:
                why = os.strerror(error.errno)
            raise PortUnusable(f"{path}: {why}") from None
        self._path = path
        self._fd = self._port.fileno()
        # pyserial lets an empty read come back as nothing; so nothing would mean a hang-up or not.
        settings = termios.tcgetattr(self._fd)
        settings[6][termios.VMIN] = 1
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)
        self.is_open = True
        self.discard()
        self._loop.add_reader(self._fd, self._readable)

    def discard(self) -> None:
        """Forgets what has come and was not read."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCIFLUSH)

    async def write(self, data: bytes) -> None:
        """Hands all of `data` to the kernel; the caller limits the time.

        Raises:
            PortUnusable: the port is gone.
        """
        while data:
            if not self.is_open:
                raise PortUnusable(f"{self._path}: the port is gone")
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                self._fail(error.strerror or "gone")

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            if self.is_open:
                self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error.strerror or "gone")
            return
        if data:
            self._on_data(data)
        else:
            self._fail("end of file")

    def _fail(self, why: str) -> None:
        if self.is_open:
            self.close()
            self._on_gone(f"{self._path}: {why}")

    def close(self) -> None:
        """Gives the port back; idempotent."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        # Without this the kernel would wait, up to 30 s, until what is left has been sent.
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        with contextlib.suppress(OSError):
            self._port.close()
