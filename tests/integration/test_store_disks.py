"""A file system that is full, or read-only, under a real server and its database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.lab import Lab, lab
from tests.integration.unwell import QUIET, Heal, facts, goes_through_it, refused

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, for a data directory; only root can make one."""
    place, image = tmp_path / "data", tmp_path / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    _or_skip("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    _or_skip("mount", "-o", "loop", str(image), str(place))
    place.chmod(0o700)
    # Nobody makes it read-only under a file that is open for writing: the lock of the directory and
    # what the boards have lie elsewhere.
    for here in (place, tmp_path):
        (here / "lock").touch(0o600)
        (here / "simulated").mkdir(0o700)
    for name in ("lock", "simulated"):
        _or_skip("mount", "--bind", str(tmp_path / name), str(place / name))
    yield place
    _run("mount", "-o", "remount,rw", str(place))
    _run("chattr", "-R", "-i", str(place))
    subprocess.run(["umount", "--recursive", str(place)], check=True)


@pytest.fixture
def place(disk: Path) -> Iterator[Lab]:
    """A lab whose data directory is that file system."""
    with lab(disk.parent) as made:
        yield made


def _run(*words: str) -> str:
    """What it complains of; empty if it succeeded."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def _or_skip(*words: str) -> None:
    try:
        trouble = _run(*words)
    except OSError as error:
        trouble = str(error)
    if trouble:
        pytest.skip(f"{words[0]} cannot be used here: {trouble}")


def full(farm: Lab) -> Heal:
    """Somebody else fills it, and takes what the server gives back, too."""
    ballast = farm.data / "ballast"
    other = farm.start("sh", "-c", f"while :; do cat /dev/zero >>{ballast}; sleep 0.02; done")

    def heal() -> None:
        farm.end(other)
        ballast.unlink()

    return heal


def read_only(farm: Lab) -> Heal:
    """First no write to the files that are open gets through, then none anywhere.

    The third file, the log's index, is mapped: a write into it that does not get through is no
    error but a signal, from which no program goes on.
    """
    files = [str(farm.data / name) for name in ("boruta.db", "boruta.db-wal")]
    _or_skip("chattr", "+i", *files)
    farm.until(lambda: refused(farm), "the server has let go of them")
    data = str(farm.data)
    farm.until(lambda: not _run("mount", "-o", "remount,ro", data), "it is read-only")
    farm.until(lambda: "read-only" in facts(farm)["store_unwell"], "the server says so")

    def heal() -> None:
        assert not _run("mount", "-o", "remount,rw", data)
        assert not _run("chattr", "-i", *files)

    return heal


@pytest.mark.parametrize("fault", [full, read_only])
def test_a_file_system_that_takes_nothing(place: Lab, fault: Callable[[Lab], Heal]) -> None:
    place.start_server(*QUIET)
    place.start_boards(3, "-c", "arch=armv7l")
    goes_through_it(place, partial(fault, place), timed="5s")
