"""A control group for each holder: the kernel itself knows all his processes, and ends them.

Linux 5.14 or later with cgroup v2 has `cgroup.kill`. Without it the account's uid says whose a
process is, which `leaving` goes by in any case.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final

from dryad.logs import event

_log = logging.getLogger("dryad.sessions")

MOUNTS: Final = Path("/proc/self/mountinfo")
OWN: Final = Path("/proc/self/cgroup")
EMPTY_WITHIN_S: Final = 1.0
_LOOK_S: Final = 0.005
_AGENT: Final = "agent"  # where the agent itself goes in a group that is delegated to it
_BESIDE: Final = "dryad-"  # where nothing is delegated to it: a group beside its own
_CONTROLLERS: Final = ("memory", "pids")


class JobGroup:
    """One holder's control group."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def entrance(self) -> Path:
        """Who writes 0 here is in it."""
        return self.path / "cgroup.procs"

    def kill(self) -> bool:
        """Ends all that is in it, and it; blocks for a second at the most.

        Returns:
            Whether it is gone. What waits in the kernel may take longer.
        """
        until = time.monotonic() + EMPTY_WITHIN_S
        while True:
            try:
                # Again in each round: a program may have been on its way in.
                (self.path / "cgroup.kill").write_text("1")
                self._remove_below()
                self.path.rmdir()
                return True
            except FileNotFoundError:
                return True
            except OSError:  # busy: not yet empty
                if time.monotonic() > until:
                    return False
            time.sleep(_LOOK_S)

    def _remove_below(self) -> None:
        for directory, names, _ in os.walk(self.path, topdown=False):
            for name in names:
                os.rmdir(os.path.join(directory, name))


class Groups:
    """Where the agent makes control groups.

    Args:
        base: the directory in the cgroup file system; None: there is no cgroup v2 here.
        limits: whether groups made in it can limit memory and processes.
    """

    def __init__(self, base: Path | None, *, limits: bool = False) -> None:
        self.base = base
        self.limits = limits

    def make(self, token: str, *, memory: int, processes: int) -> JobGroup | None:
        """A fresh group; None where that cannot be done.

        Args:
            token: its name.
            memory: the most bytes that its processes may have together.
            processes: the most of them.
        """
        if self.base is None:
            return None
        path = self.base / f"job-{token}"
        try:
            path.mkdir()
            if not (path / "cgroup.kill").exists():
                path.rmdir()
                return None
        except OSError as error:
            event(_log, logging.WARNING, "no_control_group", path=path, error=error)
            return None
        if self.limits:
            for name, value in (("memory.max", memory), ("pids.max", processes)):
                with contextlib.suppress(OSError):
                    (path / name).write_text(str(value))
            with contextlib.suppress(OSError):  # its swap would wear out the card
                (path / "memory.swap.max").write_text("0")
        return JobGroup(path)

    def close(self) -> None:
        """Removes what `find` made; what is still used stays."""
        if self.base is not None and self.base.name.startswith(_BESIDE):
            with contextlib.suppress(OSError):
                self.base.rmdir()

    def left(self) -> list[JobGroup]:
        """Groups that an agent's former life left behind."""
        if self.base is None:
            return []
        return [JobGroup(path) for path in sorted(self.base.glob("job-*")) if path.is_dir()]


def find(name: str, mounts: Path = MOUNTS, own: Path = OWN) -> Groups:
    """The place for groups of the agent whose account is `name`; made if need be.

    In a service with Delegate=yes it is the service's own group; the agent itself moves to a leaf
    of it, since a group with processes cannot give limits to those below. At the top of the tree
    (no systemd), and where nothing is delegated, it is a group beside the agent.
    """
    mount = mount_of(mounts)
    mine = own_of(own)
    if mount is None or mine is None:
        return Groups(None)
    here = mount / mine.lstrip("/")
    try:
        if _is_delegated(here):
            if here.name == _AGENT and _is_delegated(here.parent):
                here = here.parent
            leaf = here / _AGENT
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text("0")
            base = here
        else:
            base = here / f"{_BESIDE}{name}"
            base.mkdir(exist_ok=True)
        return Groups(base, limits=_enable(here) and _enable(base))
    except OSError as error:
        event(_log, logging.WARNING, "no_control_groups", path=here, error=error)
        return Groups(None)


def own_of(own: Path) -> str | None:
    """The group of cgroup v2 that this process is in, from the top; None: there is none."""
    lines = own.read_text().splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def mount_of(mounts: Path) -> Path | None:
    for line in mounts.read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return Path(left.split(" ")[4].encode().decode("unicode_escape"))
    return None


def _is_delegated(path: Path) -> bool:
    for name in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(path, name) == b"1"
    return False


def _enable(path: Path) -> bool:
    """Whether groups below `path` can limit memory and processes."""
    try:
        offered = (path / "cgroup.controllers").read_text().split()
        if not set(_CONTROLLERS) <= set(offered):
            return False
        (path / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in _CONTROLLERS))
        return True
    except OSError:  # a group with processes of its own
        return False
