"""Agents with simulated boards, in a process of their own that ends with this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from boruta.domain.errors import BoardLost, TimedOut
from boruta.domain.types import WorkerUUID

ENDS_WITHIN_S: Final = 5.0  # before the process is killed
_SAID_LINES: Final = 3  # of what it wrote, shown when it failed
_HOME: Final = Path(__file__).resolve().parent.parent


class Agents:
    """One `dryad simulate` process.

    Args:
        data: the server's data directory.
        n: how many boards.
        caps: capabilities of each, beside its UUID.
        groups: the workers' groups.
    """

    def __init__(
        self, data: Path, n: int, caps: Mapping[str, str] | None, groups: Sequence[str]
    ) -> None:
        self._n = n
        self._found: list[WorkerUUID] = []
        self._all_there = threading.Event()
        self._log = data / "agents.log"
        # -P: where the host was started, a directory called dryad or actors may lie.
        command = [sys.executable, "-P", "-m", "dryad", "simulate", "-n", str(n)]
        command += ["--data", str(data), "--exit-with-stdin"]
        for key, value in (caps or {}).items():
            command += ["-c", f"{key}={value}"]
        for group in groups:
            command += ["--group", group]
        path = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH", ""))))
        with self._log.open("ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                # Ctrl-C is for the host; it lets its boards go first, and then its agents.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="boruta-agents", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def uuids(self, timeout: float) -> list[WorkerUUID]:
        """Their UUIDs, once all have registered.

        Raises:
            BoardLost: the process ended; the text has its last words.
            TimedOut: not all registered within `timeout` seconds.
        """
        self._all_there.wait(timeout)
        if len(self._found) >= self._n:
            return self._found[: self._n]
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(0.2)
            raise BoardLost(
                f"the process of the simulated boards ended with status {status}{self._said()}"
            )
        raise TimedOut(
            f"{len(self._found)} of {self._n} simulated boards registered in {timeout:g} s"
            f"{self._said()}"
        )

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            words = line.split()
            if words and len(self._found) < self._n:
                self._found.append(words[0])
                if len(self._found) == self._n:
                    self._all_there.set()
        self._all_there.set()

    def _said(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(self._from)
                lines = log.read(1 << 16).decode(errors="replace").splitlines()
        except OSError:
            return ""
        last = [line.strip() for line in lines if line.strip()][-_SAID_LINES:]
        return "; it said: " + " | ".join(last) if last else ""

    def let_go(self) -> None:
        """Tells the process to end, and does not wait."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def end(self) -> None:
        """Ends the process; what does not go by itself is killed. Idempotent."""
        self.let_go()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(ENDS_WITHIN_S)
        self._reader.join(ENDS_WITHIN_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
