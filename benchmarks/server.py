"""A server process and boards in processes of their own, for what goes over ZeroMQ."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BORUTA: Final = (sys.executable, "-c", "from boruta.cli.main import main; main()")
CONFIG: Final = """
server.database = "{database}"
workers.initial = "idle"
log.level = "warning"
"""


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """A server of our own in `place`; it keeps its address over a restart.

    What a database costs is measured apart: if none is named, nothing is kept.
    """

    def __init__(self, place: Path, database: str = "memory:") -> None:
        self.data = place / "data"
        self._config = place / "boruta.toml"
        self._config.write_text(CONFIG.format(database=database))
        self._bind = "tcp://127.0.0.1:0"
        self._process: subprocess.Popen[str]

    def start(self) -> None:
        """Starts it and waits until it serves."""
        command = [*BORUTA, "server", "--data", str(self.data)]
        command += ["--bind", self._bind, "--config", str(self._config)]
        (self.data / "server.json").unlink(missing_ok=True)  # of a life that was killed
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
        while not (self.data / "server.json").exists():
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.02)
        self._bind = self.facts["url"]

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = json.loads((self.data / "server.json").read_text())
        return found

    def cpu_s(self) -> float:
        """Processor time that it has taken."""
        return cpu_s(self._process.pid)

    def files(self) -> int:
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def stop(self) -> None:
        """Stops it."""
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        """SIGKILL: it tells nobody that it goes."""
        self._process.kill()
        self._process.wait()


class BoardProcess:
    """So many boards in one process, of `benchmarks.boards` or `benchmarks.crowd`."""

    def __init__(
        self, server: ServerProcess, first: int, count: int, module: str = "benchmarks.boards"
    ) -> None:
        facts = server.facts
        command = [sys.executable, "-m", module, facts["url"], facts["server_key"]]
        command += [str(server.data / "keys" / "local.key_secret"), str(first), str(count)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def wait(self) -> None:
        """Waits until all of them are registered (again)."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "registered":
            raise SystemExit("the boards did not register")

    def files(self) -> int:
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def stop(self) -> None:
        """Ends them."""
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def running(
    boards: int,
    processes: int = 1,
    module: str = "benchmarks.boards",
    database: str = "memory:",
) -> Iterator[tuple[ServerProcess, list[BoardProcess]]]:
    """A server with boards that have registered."""
    with tempfile.TemporaryDirectory(prefix="boruta-bench-") as name, contextlib.ExitStack() as all:
        server = ServerProcess(Path(name), database)
        server.start()
        all.callback(server.stop)
        children = []
        each, more = divmod(boards, processes)
        first = 0
        for number in range(processes):
            count = each + (number < more)
            children.append(BoardProcess(server, first, count, module))
            all.callback(children[-1].stop)
            first += count
        for child in children:
            child.wait()
        yield server, children


@contextlib.contextmanager
def farm(boards: int, processes: int = 1) -> Iterator[Path]:
    """A server with boards that are IDLE; its data directory."""
    with running(boards, processes) as (server, _):
        yield server.data
