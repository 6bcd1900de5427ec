"""The private home: made, and removed whatever its holder did to it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dryad.sessions import home as homes


@pytest.fixture
def base() -> Iterator[Path]:
    """A short path, as an agent's data directory has."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk is slow for deep trees
    with tempfile.TemporaryDirectory(prefix="bh-", dir=memory) as directory:
        yield Path(directory) / "homes"


def test_a_fresh_home_is_empty_and_private(base: Path) -> None:
    made = homes.make(base, "token")
    assert [path.name for path in made.home.iterdir()] == [".profile"]  # it finds `board`
    assert list(made.tmp.iterdir()) == []
    for path in (base, made.place, made.home, made.tmp):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_home_whose_path_would_be_too_long_for_a_socket_lies_in_the_temporary_directory(
    base: Path,
) -> None:
    long = base / ("d" * 80)
    made = homes.make(long, "token")
    assert len(str(made.place)) <= homes.LONGEST
    assert [found.place for found in homes.left_in(long)] == [made.place]
    homes.remove(made)
    assert not made.place.exists()
    assert list(long.iterdir()) == []


def test_locked_directories_are_removed(base: Path) -> None:
    made = homes.make(base, "token")
    locked = made.home / "a" / "b"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    (locked / "file").chmod(0)
    locked.chmod(0)
    locked.parent.chmod(0o400)
    made.home.chmod(0)
    made.place.chmod(0)
    homes.remove(made)
    assert not made.place.exists()


def test_a_tree_deeper_than_any_path_is_removed(base: Path) -> None:
    made = homes.make(base, "token")
    at = os.open(made.home, os.O_RDONLY)
    for _ in range(1100):  # past PATH_MAX and Python's limit of recursion
        os.mkdir("deep", dir_fd=at)
        below = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    homes.remove(made)
    assert not made.place.exists()


def test_links_are_removed_and_what_they_point_to_stays(base: Path, tmp_path: Path) -> None:
    made = homes.make(base, "token")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (made.home / "link").symlink_to(tmp_path / "kept")
    (made.home / "dir").mkdir()
    (made.home / "dir" / "link").symlink_to(tmp_path / "kept")
    (made.home / "dangling").symlink_to("/no/such")
    homes.remove(made)
    assert (tmp_path / "kept" / "file").read_text() == "x"


def test_names_of_any_bytes_are_removed(base: Path) -> None:
    made = homes.make(base, "token")
    for name in (b"-rf", b"\xff\xfe", b"new\nline", b".1~moved", b" "):
        os.mkdir(os.path.join(os.fsencode(made.home), name))
        os.mkdir(os.path.join(os.fsencode(made.home), name, b"in"))
        os.mkdir(os.path.join(os.fsencode(made.place), name))
    os.mkfifo(made.home / "fifo")
    homes.remove(made)
    assert not made.place.exists()


def test_what_a_holder_mounted_in_his_home_is_detached_not_emptied(
    base: Path, tmp_path: Path
) -> None:
    import ctypes

    made = homes.make(base, "token")
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "data").write_text("precious")
    point = made.home / "mnt \\x"
    point.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(tmp_path / "card"), os.fsencode(point), None, 4096, None) != 0:
        pytest.skip("this user may not mount")
    assert (point / "data").exists()
    homes.remove(made)
    assert (tmp_path / "card" / "data").read_text() == "precious"
    assert not made.place.exists()


def test_removing_twice_is_no_error(base: Path) -> None:
    made = homes.make(base, "token")
    homes.remove(made)
    homes.remove(made)


def test_a_link_that_a_holder_planted_among_the_homes_is_not_followed(
    base: Path, tmp_path: Path
) -> None:
    base.mkdir()
    (tmp_path / "kept").mkdir()
    (base / "planted").symlink_to(tmp_path / "kept")
    (base / "file").write_text("x")
    assert homes.left_in(base) == []
    assert (tmp_path / "kept").is_dir()
    assert list(base.iterdir()) == []


def test_the_environment_lets_the_hardware_add_but_not_replace_what_makes_the_home(
    base: Path,
) -> None:
    made = homes.make(base, "token")
    extra = {"PATH": "/board/bin", "HOME": "/root", "BORUTA_SESSION": "other", "BOARD": "1"}
    env = made.environment("holder", "/bin/sh", extra)
    assert env["PATH"] == "/board/bin"
    assert env["BOARD"] == "1"
    assert env["HOME"] == str(made.home)
    assert env["BORUTA_SESSION"] == "token"
