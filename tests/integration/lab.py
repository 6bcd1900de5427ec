"""A lab of real processes: a server, agents and command lines, in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_WITHIN_S = 20.0
LOOK_S = 0.05  # between two looks at what another process does


class Lab:
    """Starts processes and waits for what they say; ends them all."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.data = place / "data"
        self._children: list[subprocess.Popen[str]] = []
        self.server: subprocess.Popen[str] | None = None

    # --- processes
    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Starts a command of the project; what it writes goes into files of the lab."""
        number = len(self._children)
        out = (self.place / f"{number}.out").open("w")
        err = (self.place / f"{number}.err").open("w")
        with out, err:
            more = {"stdout": out, "stderr": err, "stdin": subprocess.DEVNULL, **more}
            child = subprocess.Popen(_command(words), cwd=self.place, text=True, **more)
        self._children.append(child)
        return child

    def said(self, child: subprocess.Popen[str], stream: str = "out") -> str:
        """What it has written so far."""
        return (self.place / f"{self._children.index(child)}.{stream}").read_text()

    def start_server(self, *words: str) -> subprocess.Popen[str]:
        """A server on loopback; returns when it answers."""
        (self.data / "server.json").unlink(missing_ok=True)
        words = words or ("--bind", "tcp://127.0.0.1:0")
        self.server = self.start("boruta", "server", "--data", str(self.data), *words)
        self.until(lambda: (self.data / "server.json").exists(), "the server")
        return self.server

    def kill_server(self) -> None:
        """SIGKILL; what it was doing stays half done."""
        server, self.server = self.server, None
        assert server is not None
        server.kill()
        server.wait()

    @property
    def url(self) -> str:
        """The server's address."""
        return str(json.loads((self.data / "server.json").read_text())["url"])

    def start_boards(self, n: int, *words: str) -> subprocess.Popen[str]:
        """Simulated boards in one process of their own; returns when they are IDLE."""
        child = self.start("dryad", "simulate", "-n", str(n), "--data", str(self.data), *words)
        self.until(lambda: len(self.said(child).splitlines()) >= n, "the boards")
        for uuid in self.uuids(child):
            self.until(lambda uuid=uuid: self.worker(uuid)["state"] == "IDLE", f"{uuid} IDLE")
        return child

    def uuids(self, child: subprocess.Popen[str]) -> list[str]:
        """The boards of a `start_boards`."""
        return [line.split()[0] for line in self.said(child).splitlines()]

    # --- commands
    def run(
        self, *words: str, timeout: float = 60.0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs `boruta ...` against the lab's server."""
        command = _command(("boruta", "--data", str(self.data), *words))
        return subprocess.run(
            command, cwd=self.place, text=True, capture_output=True, timeout=timeout, **more
        )

    def boruta(self, *words: str, timeout: float = 60.0) -> str:
        """Its output; it must succeed."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def json(self, *words: str) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.boruta(*words, "-o", "json"))

    def worker(self, uuid: str) -> dict[str, Any]:
        """The worker."""
        found = self.json("worker", "show", uuid)
        assert isinstance(found, dict)
        return found

    def request(self, req_id: str | int) -> dict[str, Any]:
        """The request."""
        found = self.json("show", str(req_id))
        assert isinstance(found, dict)
        return found

    # --- waiting and ending
    def until(self, true: Callable[[], Any], what: str, within_s: float = START_WITHIN_S) -> float:
        """Waits for another process; the seconds that it took."""
        began = time.monotonic()
        while not true():
            waited = time.monotonic() - began
            assert waited < within_s, f"{what}: not within {within_s} s"
            assert self.server is None or self.server.poll() is None, "the server ended"
            time.sleep(LOOK_S)
        return time.monotonic() - began

    def end(self, child: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for its end; the exit status."""
        child.send_signal(number)
        return child.wait(20)

    def close(self) -> None:
        """Ends whatever still runs."""
        self.server = None
        for child in reversed(self._children):
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.terminate()
        for child in self._children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()


def _command(words: tuple[str, ...]) -> list[str]:
    program, *rest = words
    if program == "boruta":
        code = "from boruta.cli.entry import main; main()"
        return [sys.executable, "-c", code, *rest]
    if program == "dryad":
        return [sys.executable, "-m", "dryad", *rest]
    return list(words)


@contextlib.contextmanager
def lab(place: Path) -> Iterator[Lab]:
    """A lab that ends with the block."""
    made = Lab(place)
    try:
        yield made
    finally:
        made.close()


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def hold(farm: Lab, *words: str) -> str:
    """A request that holds a board."""
    req_id = farm.boruta("request", "-c", "arch=armv7l", *words)
    farm.boruta("wait", req_id)
    return req_id


def readyz(address: str) -> tuple[int, str]:
    """What a server says over HTTP to who asks whether it takes requests."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_group(pid: int) -> None:
    """Kills a process at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
