"""A PostgreSQL of the tests' own, from Debian's package, in a temporary directory."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

PORT = 5432  # of the socket's name alone: it listens on no network


def binaries() -> Path | None:
    """The directory of the newest `postgres` that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def why_not() -> str:
    """Why there is none; empty if there is."""
    if binaries() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "there is no user postgres, and PostgreSQL does not run as root"
    return ""


class Postgres:
    """One server; `start` and `stop` may be called again and again.

    What is written survives a kill of its processes also without `fsync`, and tests are faster.
    """

    def __init__(self, place: Path, *, fsync: bool = False) -> None:
        bin_ = binaries()
        assert bin_ is not None
        self._bin = bin_
        self._fsync = "on" if fsync else "off"
        self._user = "postgres" if os.geteuid() == 0 else None
        self.place = place
        self.data = place / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        if self._user:
            shutil.chown(place, self._user)
        self._run("initdb", "-D", str(self.data), "-U", "boruta", "-A", "trust", "-N", "-E", "UTF8")

    def _run(self, name: str, *words: str) -> None:
        command = [str(self._bin / name), *words]
        done = subprocess.run(
            command, user=self._user, cwd=self.place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        log = (self.place / "log").open("ab")
        self._process = subprocess.Popen(
            [
                str(self._bin / "postgres"), "-D", str(self.data), "-k", str(self.place),
                "-c", "listen_addresses=", "-c", f"fsync={self._fsync}", "-c", "max_connections=30",
                "-c", "shared_buffers=16MB", "-p", str(PORT),
            ],
            user=self._user,
            cwd=self.place,
            stdout=log,
            stderr=log,
        )  # fmt: skip
        log.close()
        end = time.monotonic() + 20
        while True:
            try:
                with self.connect("postgres"):
                    return
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self.place / "log").read_text()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.05)
                    raise AssertionError((self.place / "log").read_text()) from None

    def connect(self, database: str) -> psycopg.Connection:
        """A connection of the test's own, which commits at once."""
        return psycopg.connect(
            host=str(self.place), port=PORT, user="boruta", dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"farm{next(self._numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def url(self, name: str, host: Path | None = None) -> str:
        """The URL of a database, by another socket's directory if that is given."""
        return f"postgresql://boruta@/{name}?host={host or self.place}&port={PORT}"

    def signal_all(self, number: signal.Signals) -> None:
        """Sends a signal to it and to each of its processes."""
        assert self._process is not None
        root = self._process.pid
        pids = [int(p) for p in Path(f"/proc/{root}/task/{root}/children").read_text().split()]
        for pid in (root, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ends it; SIGINT closes connections, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None


@contextlib.contextmanager
def running(*, fsync: bool = False) -> Iterator[Postgres]:
    """A server of our own, in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="boruta-pg-", dir="/tmp") as place:
        os.chmod(place, 0o755)
        server = Postgres(Path(place), fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
