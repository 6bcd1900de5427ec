"""The target of a simulated board: a serial line on a pseudo terminal with somebody behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from typing import Final

BOOTS: Final = "\r\nboot: simulated target\r\nlogin: "
_PROMPT: Final = "target> "


class SimulatedTarget:
    """Says that it boots when it gets power, then answers each line; on a running loop.

    Attributes:
        path: the device of its serial line.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._master, self._slave = pty.openpty()  # ours of the slave keeps the line up
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._on = False
        self._line = b""
        self._loop.add_reader(self._master, self._readable)

    def power(self, on: bool) -> None:
        """Its power was switched."""
        if on and not self._on:
            self._say(BOOTS)
        self._on, self._line = on, b""

    def close(self) -> None:
        """The line is gone; idempotent."""
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return
        if not self._on:
            return
        self._say(data.decode("latin-1").replace("\r", "\r\n"))
        *lines, self._line = (self._line + data.replace(b"\n", b"\r")).split(b"\r")
        for line in lines:
            words = line.decode("latin-1").strip()
            self._say((f"{words}: heard\r\n" if words else "") + _PROMPT)

    def _say(self, text: str) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads, and the line is full
            os.write(self._master, text.encode("latin-1"))
