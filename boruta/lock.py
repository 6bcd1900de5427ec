"""One server at a time works in a data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path
from typing import Final

from boruta.domain.errors import ActionRefused, NotPermitted

_MOST: Final = 64  # bytes of a pid, with room


class DataLock:
    """The lock file of a data directory, held until `release` or the end of the process.

    Raises:
        ActionRefused: another server holds it; the text says which process.
        NotPermitted: the file cannot be opened.
    """

    def __init__(self, data: Path) -> None:
        path = data / "lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotPermitted(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            # Of the file description: also a second server in this same process is refused.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._fd, _MOST, 0).decode(errors="replace").strip()
            os.close(self._fd)
            who = f"process {holder}" if holder.isdecimal() else "another process"
            raise ActionRefused(
                f"{data}: another server ({who}) works in this data directory: stop it first, "
                "or give this one a directory of its own with --data DIR",
                path=str(data),
                **({"pid": int(holder)} if holder.isdecimal() else {}),
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        _held.add(self)

    def release(self) -> None:
        """Lets others in; idempotent. The file stays, so that no two ever lock different ones."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        self._drop()

    def _drop(self) -> None:
        fd, self._fd = self._fd, -1
        _held.discard(self)
        with contextlib.suppress(OSError):
            os.close(fd)


_held: weakref.WeakSet[DataLock] = weakref.WeakSet()


def _in_child() -> None:
    # A forked child of the host must not hold the lock on after its parent has gone.
    for lock in tuple(_held):
        lock._drop()


os.register_at_fork(after_in_child=_in_child)
