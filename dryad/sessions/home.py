"""The holder's private place: his home and his directory for temporary files, gone at the end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dryad.sessions.sweep import MARK

LONGEST = 64  # bytes; a socket in the home must stay below the 108 of a Unix address
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELLS = ("/bin/bash", "/bin/sh")  # whatever root has: the same command means the same everywhere
TOOLS = "BOARD_TOOLS"  # a directory of commands for holders
# A login shell sets up a PATH of its own, by /etc/profile.
PROFILE = f'[ -z "${TOOLS}" ] || PATH="${TOOLS}:$PATH"\n'
_SHORT = "boruta-home-"  # prefix of places in the system's temporary directory
_MNT_DETACH = 2
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Home:
    """One holder's place.

    Attributes:
        place: the directory of which all below is his; `entry` points to it if it lies elsewhere.
        entry: its name in the agent's data directory, by which a later agent finds it.
        token: the mark that his processes bear.
    """

    place: Path
    entry: Path
    token: str

    @property
    def home(self) -> Path:
        """HOME."""
        return self.place / "home"

    @property
    def tmp(self) -> Path:
        """TMPDIR."""
        return self.place / "tmp"

    def environment(self, username: str, shell: str, extra: Mapping[str, str]) -> dict[str, str]:
        """What a program of his starts with; nothing of the agent's own environment."""
        return {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            **extra,
            "HOME": str(self.home),
            "USER": username,
            "LOGNAME": username,
            "SHELL": shell,
            "TMPDIR": str(self.tmp),
            MARK: self.token,
        }


def find_shell() -> str:
    """What runs holders' commands, and is their interactive shell."""
    return next((path for path in SHELLS if os.access(path, os.X_OK)), SHELLS[-1])


def make(base: Path, token: str) -> Home:
    """Makes a fresh place below `base`, or in the temporary directory if that path is too long."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    entry = base / token
    if len(os.fsencode(entry)) <= LONGEST:
        entry.mkdir(mode=0o700)
        home = Home(entry, entry, token)
    else:
        place = Path(tempfile.mkdtemp(prefix=_SHORT))
        entry.symlink_to(place)
        home = Home(place, entry, token)
    home.home.mkdir(mode=0o700)
    home.tmp.mkdir(mode=0o700)
    (home.home / ".profile").write_text(PROFILE)
    return home


def left_in(base: Path) -> list[Home]:
    """Places that an agent's former life left behind."""
    found = []
    for entry in base.iterdir() if base.is_dir() else ():
        place = entry
        if entry.is_symlink():
            place = Path(os.readlink(entry))
            # A holder could have written the link himself: follow it to nothing but a place.
            if place.parent != Path(tempfile.gettempdir()) or not place.name.startswith(_SHORT):
                entry.unlink()
                continue
        elif not entry.is_dir():
            entry.unlink()  # nothing of ours
            continue
        found.append(Home(place, entry, entry.name))
    return found


def remove(home: Home) -> None:
    """Removes the place whatever its holder did to it; blocks.

    Raises:
        OSError: something cannot be removed (an immutable file, a busy mount).
    """
    with contextlib.suppress(FileNotFoundError):
        remove_tree(home.place)
    if home.entry.is_symlink():
        home.entry.unlink()


def remove_tree(place: Path) -> None:
    """Removes a directory that somebody else filled; what he mounted in it is detached.

    Raises:
        FileNotFoundError: there is none.
        OSError: something cannot be removed.
    """
    _detach_mounts(place)
    _remove_tree(place)


def _detach_mounts(place: Path) -> None:
    # A holder who is root may have mounted the board's card in his home: its content is not ours.
    libc = ctypes.CDLL(None, use_errno=True)
    below = os.fsencode(place) + b"/"
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines()[::-1]:
        point = line.split(b" ")[4].decode("unicode_escape").encode("latin-1")
        if point.startswith(below):
            libc.umount2(point, _MNT_DETACH)


def _remove_tree(place: Path) -> None:
    """Removes depth first, by descriptors: no recursion and no path, so no depth is too much."""
    os.chmod(place, 0o700)
    at = _open("..", os.open(place, _DIRECTORY))
    device = os.lstat(place).st_dev
    # The directories from the top to where we are: (its name, those in it that are to be removed).
    trail: list[tuple[str, list[str]]] = [("", [place.name])]
    try:
        while True:
            name, left = trail[-1]
            if left:
                below = left.pop()
                found = os.lstat(below, dir_fd=at)
                if found.st_dev != device:
                    raise OSError(f"{place}: a mount is left in it")
                os.chmod(below, 0o700, dir_fd=at)  # he may have locked it
                at = _open(below, at)
                trail.append((below, _unlink_all_but_directories(at)))
            elif len(trail) > 1:
                at = _open("..", at)
                os.rmdir(name, dir_fd=at)
                trail.pop()
            else:
                return
    finally:
        os.close(at)


def _open(name: str, parent: int) -> int:
    """Opens a directory in `parent`, which is closed."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)


def _unlink_all_but_directories(at: int) -> list[str]:
    directories = []
    for name in os.listdir(at):
        if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
            directories.append(name)
        else:
            os.unlink(name, dir_fd=at)
    return directories
