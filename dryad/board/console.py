"""The target's serial line: one reads it for all, one at a time may write, a log keeps it.

It is read from the beginning of a job to its end, so the log has what came while nobody looked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final, Protocol

from boruta.domain.errors import ActionRefused, Busy, InfraError
from dryad.hardware.stm_answers import PortUnusable
from dryad.hardware.stm_port import SerialPort
from dryad.logs import event

_log = logging.getLogger("dryad.console")

LOG_MOST: Final = 16 << 20  # bytes of one job's log; then its older half goes
BEHIND_MOST: Final = 1 << 20  # bytes that a reader may be behind; then it is cut
_WRITE_WITHIN_S: Final = 10.0  # a line with flow control may stand still


class Reader(Protocol):
    """Who is told what the target says."""

    def feed(self, data: bytes) -> bool:
        """Takes what came; whether it wants more."""
        ...

    def gone(self, why: str) -> None:
        """Nothing more comes."""
        ...


class Console:
    """A serial line and its log.

    Args:
        path: the device.
        baud: its speed.
        log: the file of the present job; a new one for each.
    """

    def __init__(self, path: str, baud: int, log: Path) -> None:
        self.path = path
        self._baud = baud
        self._log_path = log
        self._port: SerialPort | None = None
        self._file = -1
        self._size = 0
        self._readers: list[Reader] = []  # as many as connections to the socket
        self._writer: Reader | None = None

    def begin(self) -> None:
        """A job begins: an empty log, and the line is read from here on.

        A line that cannot be opened is tried again by who attaches: a job may do without.
        """
        self.finish()
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.open(self._log_path, flags, 0o600)
        self._size = 0
        try:
            self._open()
        except InfraError as error:
            event(_log, logging.WARNING, "console_not_open", error=error)

    def finish(self) -> None:
        """The job is over: readers are cut, the log is gone; idempotent."""
        self._cut("the job is over")
        if self._port is not None:
            self._port.close()
            self._port = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._log_path.unlink(missing_ok=True)

    def log(self) -> bytes:
        """What the target has said since the job began, the last `LOG_MOST` bytes of it."""
        if self._file < 0:
            raise ActionRefused("console: nobody holds the board, so there is no log")
        return os.pread(self._file, self._size, 0)

    def attach(self, reader: Reader, *, write: bool) -> None:
        """From now on `reader` is fed.

        Raises:
            Busy: somebody else writes already.
            InfraError: the line cannot be opened.
        """
        if write and self._writer is not None:
            raise Busy("console: somebody writes there already; --read only looks on")
        if self._port is None:
            self._open()
        self._readers.append(reader)
        if write:
            self._writer = reader

    def detach(self, reader: Reader) -> None:
        """It is fed no more; idempotent."""
        with contextlib.suppress(ValueError):
            self._readers.remove(reader)
        if self._writer is reader:
            self._writer = None

    async def write(self, data: bytes) -> None:
        """To the target.

        Raises:
            InfraError: the line is gone, or takes nothing.
        """
        if self._port is None:
            raise InfraError(f"{self.path}: the line is gone")
        try:
            async with asyncio.timeout(_WRITE_WITHIN_S):
                await self._port.write(data)
        except TimeoutError:
            raise InfraError(f"{self.path}: takes nothing for {_WRITE_WITHIN_S:g} s") from None
        except PortUnusable as error:
            raise InfraError(str(error)) from None

    def _open(self) -> None:
        try:
            self._port = SerialPort(self.path, self._came, self._lost, baud=self._baud)
        except PortUnusable as error:
            raise InfraError(f"console: {error}") from None

    def _came(self, data: bytes) -> None:
        self._keep(data)
        for reader in list(self._readers):
            if not reader.feed(data):
                self.detach(reader)
                reader.gone("too slow")

    def _keep(self, data: bytes) -> None:
        if self._file < 0:
            return
        try:
            if self._size + len(data) > LOG_MOST:
                newer = os.pread(self._file, LOG_MOST // 2, self._size - LOG_MOST // 2)
                os.pwrite(self._file, newer, 0)
                os.ftruncate(self._file, len(newer))
                self._size = len(newer)
            self._size += os.pwrite(self._file, data, self._size)
        except OSError as error:  # a full disk costs the log, not the console
            event(_log, logging.WARNING, "console_log_failed", error=error)

    def _lost(self, why: str) -> None:
        self._port = None
        event(_log, logging.WARNING, "console_gone", reason=why)
        self._cut(why)

    def _cut(self, why: str) -> None:
        readers, self._readers, self._writer = self._readers, [], None
        for reader in readers:
            reader.gone(why)
