"""Files and directories that nobody else may read or write, and writes that are all or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig, NotPermitted

_PIPE_WITHIN_S: Final = 10.0  # a program that writes a configuration takes no longer


def check_private(path: Path, what: str) -> os.stat_result:
    """Makes sure that nobody else can read or write `path`.

    Args:
        path: a file or a directory.
        what: what it is, for the message.

    Raises:
        NotPermitted: others may; the message has the mode and the command that mends it.
        OSError: there is no such path.
    """
    found = path.stat()
    check_mode(found, path, what)
    return found


def check_mode(found: os.stat_result, path: Path, what: str) -> None:
    """The same for what `stat` has told already.

    Raises:
        NotPermitted: others may read or write it.
    """
    mode = stat.S_IMODE(found.st_mode)
    wanted = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
    if mode & 0o077:
        raise NotPermitted(
            f"{path}: others can read or write this {what} (mode {mode:04o}); "
            f"mend it with: chmod {wanted:o} {path}",
            path=str(path),
            mode=f"{mode:04o}",
        )
    me = os.geteuid()
    if me != 0 and found.st_uid not in (me, 0):
        raise NotPermitted(
            f"{path}: this {what} belongs to user {found.st_uid}, not to you (user {me}); "
            f"mend it with: sudo chown {me} {path}",
            path=str(path),
        )


def read_bounded(path: Path, most: int) -> bytes:
    """What stands in a small file; at most `most + 1` bytes of it.

    A pipe is read too (`--config <(...)`), but only for `_PIPE_WITHIN_S` in all: nothing waits for
    a named one that nobody writes to.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        plain = stat.S_ISREG(os.fstat(fd).st_mode)
        until = None if plain else time.monotonic() + _PIPE_WITHIN_S
        found = b""
        while len(found) <= most:
            if until is not None and not _readable(fd, until):
                raise TimeoutError(errno.ETIMEDOUT, "no file, and nobody writes to it")
            more = os.read(fd, most + 1 - len(found))
            if not more:
                break
            found += more
    finally:
        os.close(fd)
    return found


def _readable(fd: int, until: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))


def make_private_dir(path: Path, what: str) -> None:
    """Makes a directory of mode 0700, with its parents; one that is there is checked.

    Raises:
        BadConfig: something else stands there, or it cannot be made.
        NotPermitted: it is there and others can read or write it, or it is not ours to make.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)  # cut by the umask, never widened
            _give_to_owner_of(path.parent, os.open(path, os.O_DIRECTORY | os.O_NOFOLLOW))
        if not path.is_dir():
            raise FileExistsError
        found = path.stat()
    except PermissionError as error:
        raise NotPermitted(
            f"{path}: the {what} cannot be made here: {error.strerror}; "
            "use another place or another user",
            path=str(path),
        ) from None
    except (FileExistsError, NotADirectoryError):
        there = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), path)
        raise BadConfig(
            f"{path}: the {what} cannot be made: {there} is a file; remove it or use another place",
            path=str(path),
        ) from None
    except OSError as error:
        raise BadConfig(
            f"{path}: the {what} cannot be made: {error.strerror}", path=str(path)
        ) from None
    check_mode(found, path, what)


def _give_to_owner_of(directory: Path, fd: int) -> None:
    # What root makes in a server's data must stay readable for the user that the server runs as.
    # By descriptor, so that this user cannot put something else in its place meanwhile.
    try:
        parent = directory.stat()
        if os.geteuid() == 0 and parent.st_uid != 0 and not parent.st_mode & 0o022:
            os.fchown(fd, parent.st_uid, parent.st_gid)
    finally:
        os.close(fd)


def write_private(path: Path, text: str | bytes, *, replace: bool = True) -> bool:
    """Writes a file of mode 0600: either all of it is there afterwards, or what was before.

    Args:
        path: the file.
        text: what it is to hold.
        replace: whether one that is there is replaced.

    Returns:
        Whether it was written; False only without `replace`.

    Raises:
        OSError: it cannot be written.
    """
    data = text.encode() if isinstance(text, str) else text
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
            _give_to_owner_of(path.parent, os.dup(fd))
        if replace:
            draft.rename(path)
            return True
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
