"""Files that are there whole or not at all, and files that one process has."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def put(path: Path, content: str | bytes, mode: int, *, replace: bool = True) -> None:
    """Writes a file; when it comes back it would survive a power cut. Blocks.

    Args:
        path: where; what is there is replaced.
        content: a text is written as UTF-8.
        mode: of the file, whatever the umask.
        replace: False leaves what is there.

    Raises:
        FileExistsError: it is there, and is not to be replaced.
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a process of this number that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(draft, flags, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)  # fails where there is one by now
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def lock(path: Path) -> int:
    """Has a file to itself until the descriptor is closed; its process's number stands in it.

    Raises:
        BlockingIOError: another process has it; its text says which, if it is known.
        OSError: it cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.pread(fd, 16, 0).strip()
        os.close(fd)
        raise BlockingIOError(f": pid {int(pid)}" if pid.isdigit() else "") from None
    with contextlib.suppress(OSError):  # a full disk is no reason to do without
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd
