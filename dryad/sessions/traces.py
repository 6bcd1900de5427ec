"""What an account leaves behind outside of its home and its processes; run as root."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dryad.logs import event
from dryad.sessions.account import Account
from dryad.sessions.home import remove_tree

_log = logging.getLogger("dryad.sessions")

# Where anybody may write on a Debian system; POSIX shared memory and message queues are files too.
SHARED: Final = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/var/crash")
# Where programs with more rights keep what they do for a user: by the owner or by the name.
SPOOLS: Final = (
    "/var/spool/cron/crontabs",
    "/var/spool/cron",
    "/var/spool/cron/atjobs",
    "/var/spool/cron/atspool",
    "/var/spool/at",
    "/var/mail",
    "/var/lib/systemd/linger",
)
_IPC: Final = (("shm", "shmid"), ("sem", "semid"), ("msg", "msqid"))
_IPC_RMID: Final = 0
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "armv7l": 311, "armv6l": 311, "i686": 288}
_HELPER_WITHIN_S: Final = 5.0
# keyctl(KEYCTL_CLEAR, KEY_SPEC_USER_KEYRING): it outlives the last process of its user.
_CLEAR_KEYS: Final = "import ctypes;ctypes.CDLL(None).syscall({number},7,-4)"


def stop_what_comes_later(account: Account) -> list[str]:
    """Removes what cron, at and systemd would start for the account later; blocks.

    Returns:
        What could not be removed, as text for people.
    """
    trouble = []
    for spool in SPOOLS:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in list(os.scandir(spool)):
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    his = found.st_uid == account.uid or entry.name == account.name
                    if his and not entry.is_dir(follow_symlinks=False):
                        try:
                            os.unlink(entry.path)
                        except OSError as error:
                            trouble.append(f"{entry.path}: {error.strerror}")
    return trouble


def remove_all(account: Account, shared: Sequence[str] = SHARED) -> list[str]:
    """Removes the account's files in shared directories, its System V IPC and kernel keys; blocks.

    Returns:
        What could not be removed, as text for people.
    """
    trouble = [*_remove_files(account, shared), *_remove_ipc(account)]
    _clear_keys(account)
    return trouble


def _remove_files(account: Account, shared: Sequence[str]) -> list[str]:
    trouble = []
    seen = set()
    for top in shared:
        real = os.path.realpath(top)  # /var/lock is a link to /run/lock
        if real in seen or not os.path.isdir(real):
            continue
        seen.add(real)
        for path, is_directory in _his(real, account):
            try:
                if is_directory:
                    remove_tree(Path(path))
                else:
                    os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                trouble.append(f"{path}: {error.strerror or error}")
    return trouble


def _his(top: str, account: Account) -> Iterator[tuple[str, bool]]:
    """What belongs to the account below `top`, on the same file system; a directory as one.

    By descriptors, so that no link is followed though somebody else moves directories about.
    """
    device = os.stat(top).st_dev
    # Closed when they are read: there may be more directories than descriptors.
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # gone, or it has become a link
            continue
        try:
            found = os.fstat(fd)
            if found.st_dev != device:
                continue
            entries = list(os.scandir(fd))
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    at = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    below = os.path.join(path, entry.name)
                    if at.st_uid == account.uid:
                        yield below, stat.S_ISDIR(at.st_mode)
                    elif stat.S_ISDIR(at.st_mode) and _may_enter(at, account):
                        waiting.append(below)
        finally:
            os.close(fd)


def _may_enter(found: os.stat_result, account: Account) -> bool:
    # Where he cannot go he has left nothing; most of what others keep in /tmp is left alone so.
    if found.st_mode & stat.S_IXOTH:
        return True
    return bool(found.st_mode & stat.S_IXGRP) and found.st_gid in account.gids


def _remove_ipc(account: Account) -> list[str]:
    trouble = []
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, column in _IPC:
        try:
            head, *rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        except OSError:  # a kernel without it
            continue
        names = head.split()
        for row in rows:
            values = dict(zip(names, row.split(), strict=False))
            if str(account.uid) not in (values["uid"], values["cuid"]):
                continue
            number = int(values[column])
            if kind == "shm":
                status = libc.shmctl(number, _IPC_RMID, None)
            elif kind == "sem":
                status = libc.semctl(number, 0, _IPC_RMID)
            else:
                status = libc.msgctl(number, _IPC_RMID, None)
            if status:
                trouble.append(f"IPC {kind} {number}: {os.strerror(ctypes.get_errno())}")
    return trouble


def _clear_keys(account: Account) -> None:
    number = _KEYCTL.get(os.uname().machine)
    if number is None or not _has_keys(account.uid):
        return
    try:
        # Another process: the user keyring is that of the caller.
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _as_user(account, number)],
            capture_output=True,
            timeout=_HELPER_WITHIN_S,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        event(_log, logging.WARNING, "keys_not_cleared", error=error)


def _has_keys(uid: int) -> bool:
    """Whether the kernel keeps any key for the user; it says so to root."""
    try:
        lines = Path("/proc/key-users").read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0].strip() == str(uid) for line in lines)


def _as_user(account: Account, number: int) -> str:
    # It starts as root, who alone may read where Python lives, and then becomes the holder.
    become = f"import os;os.setgroups([]);os.setgid({account.gid});os.setuid({account.uid})"
    return f"{become};{_CLEAR_KEYS.format(number=number)}"
