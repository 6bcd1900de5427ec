"""How a board is: disk, memory, its SSH, its hardware; and which faults take it out of service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boruta.domain.errors import InfraError
from boruta.domain.types import Check
from dryad.clock import wall_clock_error
from dryad.hardware.port import Hardware
from dryad.logs import event
from dryad.programs import Words, output
from dryad.sessions.port import Sessions

_log = logging.getLogger("dryad.health")

DISK_LEAST: Final = 64 << 20  # bytes; a home and the lease file need some
MEMORY_LEAST: Final = 32 << 20  # bytes; about what the agent takes with its first session
ANSWER_WITHIN_S: Final = 10.0  # of its own SSH; a small board loads it at the first connection
OWN_WITHIN_S: Final = 10.0  # for a check of the board's owner
CLOCK_MOST: Final = 1.0  # seconds that the date may be off, by what the kernel was told
HARDWARE_WITHIN_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class _Finding:
    check: Check
    critical: bool = False


def available_memory(meminfo: Path) -> int | None:
    """The bytes that a new program could have; None: the kernel does not tell."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        return next(int(x.split()[1]) << 10 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


class Health:
    """Looks when it is asked to.

    Args:
        data: the agent's directory.
        sessions: who may log in.
        hardware: the board.
        ssh_address: where its SSH listens; empty until it does.
        on_fault: called with the reason when a critical fault is found.
        own: commands of the board's owner, by their names; one that fails is critical.
        clock: how far the date is off, in seconds; None: nobody knows.
    """

    def __init__(
        self,
        data: Path,
        sessions: Sessions,
        hardware: Hardware,
        on_fault: Callable[[str], None],
        meminfo: Path = Path("/proc/meminfo"),
        *,
        own: Mapping[str, Words] | None = None,
        clock: Callable[[], float | None] = wall_clock_error,
    ) -> None:
        self.ssh_address = ""
        self._data = data
        self._sessions = sessions
        self._hardware = hardware
        self._on_fault = on_fault
        self._meminfo = meminfo
        self._own = dict(own or {})
        self._clock = clock

    async def look(self) -> tuple[Check, ...]:
        """All findings; a critical fault is reported too."""
        findings = [self._disk(), self._memory(), self._time(), await self._ssh()]
        findings += await self._board()
        findings += [await self._program(name, words) for name, words in self._own.items()]
        for finding in findings:
            check = finding.check
            if not check.ok:
                event(_log, logging.WARNING, "check_failed", check=check.name, detail=check.detail)
        critical = [one.check for one in findings if one.critical and not one.check.ok]
        if critical:
            self._on_fault("; ".join(f"{check.name}: {check.detail}" for check in critical))
        return tuple(finding.check for finding in findings)

    def _disk(self) -> _Finding:
        try:
            found = os.statvfs(self._data)
        except OSError as error:
            return _Finding(Check("disk", False, f"{self._data}: {error.strerror}"), True)
        free = found.f_bavail * found.f_frsize
        detail = f"{free >> 20} MiB free in {self._data}"
        # A holder who fills the disk is no reason to take the board from him: it is swept later.
        return _Finding(Check("disk", free >= DISK_LEAST, detail), not self._sessions.active)

    def _memory(self) -> _Finding:
        free = available_memory(self._meminfo)
        if free is None:
            return _Finding(Check("memory", True, "unknown"))
        return _Finding(Check("memory", free >= MEMORY_LEAST, f"{free >> 20} MiB available"))

    def _time(self) -> _Finding:
        error_s = self._clock()
        if error_s is None:
            # Jobs are timed by clocks of their own, so a wrong date costs nobody his board.
            return _Finding(Check("clock", True, "not synchronised with another one"))
        ok = abs(error_s) <= CLOCK_MOST
        return _Finding(Check("clock", ok, f"{error_s * 1000:+.0f} ms"))

    async def _program(self, name: str, words: Words) -> _Finding:
        try:
            said = await output(name, words, OWN_WITHIN_S, os.environ)
        except InfraError as error:
            return _Finding(Check(name, False, error.message.removeprefix(f"{name}: ")), True)
        return _Finding(Check(name, True, said))

    async def _ssh(self) -> _Finding:
        host, _, port = self.ssh_address.rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_connection(host, int(port))
                try:
                    banner = await reader.readline()
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, ValueError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            return _Finding(Check("ssh", False, f"{self.ssh_address}: {why}"), True)
        if not banner:
            # It answers, and hangs up on everybody while no key is let in.
            return _Finding(Check("ssh", True, f"{self.ssh_address}: lets nobody in now"), True)
        ok = banner.startswith(b"SSH-2.0-")
        said = banner.decode("ascii", "replace").strip()
        return _Finding(Check("ssh", ok, f"{self.ssh_address}: {said}"), True)

    async def _board(self) -> list[_Finding]:
        try:
            async with asyncio.timeout(HARDWARE_WITHIN_S):
                return [_Finding(check, True) for check in await self._hardware.checks()]
        except Exception as error:  # a driver's defect is a fault of the board
            why = str(error) or type(error).__name__
            return [_Finding(Check("hardware", False, why), True)]
