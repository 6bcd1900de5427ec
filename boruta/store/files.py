"""SQLite files as files: made with mode 0600, copied while they are in use, put in place whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Final

from boruta.domain.errors import NotPermitted

BUSY_S: Final = 5.0


def side_files(path: Path) -> tuple[Path, ...]:
    """What SQLite keeps beside a database: without the first, its last changes are missing."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def make_file(path: Path) -> None:
    """Makes an empty file of mode 0600; what SQLite puts beside it gets the same mode.

    Raises:
        NotPermitted: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError as error:
        raise NotPermitted(f"{path}: cannot be made: {error.strerror}", path=str(path)) from None


def fsync_directory(path: Path) -> None:
    """A file that was made or renamed in it is found there after a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def copy_database(source: Path, target: Path, *, replace: bool = False) -> None:
    """Copies a database, also one that is being written: as it is between two transactions.

    The copy is one file, mode 0600, and on the disk; its name stands for a whole copy or for
    nothing.

    Args:
        source: a database.
        target: the new file, in a directory that is there.
        replace: whether one that is there is replaced.

    Raises:
        sqlite3.Error: the source cannot be read.
        FileExistsError: the target is there.
        OSError: the target cannot be written.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        with (
            contextlib.closing(read_only(source)) as there,
            contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as here,
        ):
            there.backup(here)
            # The copy has the mode of its source, and is to be one file.
            here.execute("PRAGMA journal_mode = DELETE")
        fd = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if replace:
            draft.rename(target)
        else:
            target.hardlink_to(draft)
        fsync_directory(target.parent)
    finally:
        for left in (draft, *side_files(draft), draft.with_name(f"{draft.name}-journal")):
            with contextlib.suppress(FileNotFoundError):
                left.unlink()


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing.

    Raises:
        sqlite3.Error: there is no such database.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
