"""What systemd is told of this process (sd_notify): ready, what it does, that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping


class Supervisor:
    """Tells whoever started this process, if he listens; else nothing.

    Args:
        environ: the environment, with NOTIFY_SOCKET and WATCHDOG_USEC.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._where = environ.get("NOTIFY_SOCKET", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "") if mine else ""
        # Half of what is allowed, as its manual advises.
        self._every_s = int(usec) / 2e6 if usec.isdecimal() else 0.0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, **fields: str) -> None:
        """Sends fields such as READY="1" or STATUS="..."."""
        if not self._where:
            return
        # A name that begins with @ is of the abstract kind.
        where = "\0" + self._where[1:] if self._where.startswith("@") else self._where
        text = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as out:
            out.sendto(text.encode(), where)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tells from now on that the loop turns; one that does not is killed and started anew."""
        if self._every_s:
            self.tell(WATCHDOG="1")
            self._timer = loop.call_later(self._every_s, self.watch, loop)

    def close(self) -> None:
        """Ends it."""
        if self._timer is not None:
            self._timer.cancel()
