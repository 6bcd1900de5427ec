"""A database that is full, locked, stopped or killed, under a real server: jobs go on, it heals."""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.lab import Lab, lab
from tests.store.conftest import postgres as postgres
from tests.store.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
QUIET = ("--bind", "tcp://127.0.0.1:0", "--log-level", "warning")
Heal = Callable[[], None]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lab]:
    """A lab without a server yet."""
    with lab(tmp_path) as made:
        yield made


def full(farm: Lab) -> Heal:
    """No file of the server may grow any more: its log is short, the database's is not."""
    assert farm.server is not None
    pid = farm.server.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, before[1]))

    def heal() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return heal


def locked(farm: Lab) -> Heal:
    """Another program is in the middle of writing to the file."""
    other = sqlite3.connect(farm.data / "boruta.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def refused(farm: Lab) -> bool:
    """Whether a new request is refused for the store, as it must be then."""
    done = farm.run("request", "-c", "arch=armv7l", "--note", "while it is unwell")
    if done.returncode == 0:
        return False  # it was written just before
    assert done.returncode == 9, done.stderr
    assert "[store_unavailable]" in done.stderr
    return True


def goes_through_it(farm: Lab, strike: Callable[[], Heal], words: Sequence[str] = ()) -> None:
    """The story of each fault; the server runs, by `words` too, and has two boards."""
    running = [hold(farm) for _ in range(2)]
    heal = strike()
    farm.until(lambda: refused(farm), "new requests are refused", 20)
    server = farm.server
    assert server is not None
    assert "store_unwell" in farm.said(server, "err")
    # Who runs goes on, and is seen to.
    assert farm.boruta("exec", running[0], "--", "echo still mine") == "still mine"
    assert farm.request(running[0])["state"] == "IN PROGRESS"
    assert running[1] in farm.boruta("requests", "-o", "id").split()
    # It ends at once, though that is not on the disk yet, which he who ends it is told.
    closed = farm.run("close", running[1])
    assert (closed.returncode, "[store_unavailable]" in closed.stderr) in ((0, False), (9, True))
    assert farm.request(running[1])["state"] == "DONE"
    heal()
    farm.until(lambda: not refused(farm), "new requests are taken again", 30)
    assert "store_well" in farm.said(server, "err")
    assert server.poll() is None
    # What went on meanwhile is written now.
    farm.kill_server()
    farm.start_server(*QUIET, *words)
    assert farm.request(running[1])["state"] == "DONE"
    assert farm.request(running[0])["state"] == "IN PROGRESS"
    farm.until(
        lambda: farm.run("exec", running[0], "--", "true").returncode == 0, "its board is back"
    )
    ended = [one for one in farm.json("history", running[1]) if one["new_state"] == "DONE"]
    assert len(ended) == 1


def hold(farm: Lab) -> str:
    """A request that holds a board, whose access was given."""
    req_id = farm.boruta("request", "-c", "arch=armv7l")
    farm.boruta("wait", req_id)
    farm.boruta("exec", req_id, "--", "true")
    return req_id


def mounted(place: Path, options: str) -> None:
    """A file system there; only root can make one."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(place: Lab) -> Iterator[Lab]:
    """The server's data on a disk of its own, of a few megabytes; what agents keep on another."""
    place.data.mkdir()
    mounted(place.data, "size=4m,mode=700")
    try:
        (place.data / "simulated").mkdir(mode=0o700)
        mounted(place.data / "simulated", "size=4m,mode=700")
        yield place
    finally:
        place.close()
        subprocess.run(["umount", "--recursive", "--lazy", str(place.data)], check=True)


def filled(farm: Lab) -> Heal:
    """Somebody else's file takes all of the disk."""
    ballast = farm.data / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast.unlink


def read_only(farm: Lab) -> Heal:
    """The file system is made read-only, once the server has no file of it open."""

    def remounted(how: str) -> bool:
        words = ["mount", "-o", f"remount,{how}", str(farm.data)]
        return subprocess.run(words, capture_output=True).returncode == 0

    release = locked(farm)  # an error makes it close them, until it tries again
    farm.until(lambda: refused(farm), "it waits for its database", 20)
    release()
    farm.until(lambda: remounted("ro"), "nobody writes there", 20)

    def heal() -> None:
        assert remounted("rw")

    return heal


@pytest.mark.parametrize("fault", [filled, read_only])
def test_a_disk_that_takes_nothing_more(disk: Lab, fault: Callable[[Lab], Heal]) -> None:
    disk.start_server(*QUIET)
    disk.start_boards(2, "-c", "arch=armv7l")
    goes_through_it(disk, lambda: fault(disk))


@pytest.mark.parametrize("fault", [full, locked])
def test_a_file_that_cannot_be_written(place: Lab, fault: Callable[[Lab], Heal]) -> None:
    place.start_server(*QUIET)
    place.start_boards(2, "-c", "arch=armv7l")
    goes_through_it(place, lambda: fault(place))


def test_a_postgresql_that_stands_still_and_one_that_is_killed(
    place: Lab, postgres: Postgres
) -> None:
    words = ("--database", postgres.url(postgres.new_database()))
    place.start_server(*QUIET, *words)
    place.start_boards(2, "-c", "arch=armv7l")

    def stopped() -> Heal:
        postgres.signal_all(signal.SIGSTOP)
        return lambda: postgres.signal_all(signal.SIGCONT)

    def killed() -> Heal:
        postgres.stop(signal.SIGQUIT)
        return postgres.start

    goes_through_it(place, stopped, words)
    for req_id in place.boruta("requests", "-o", "id").split():
        place.boruta("close", req_id)
    goes_through_it(place, killed, words)
