"""`boruta backup` and `boruta restore`: a copy of DATA/boruta.db, and a copy put in its place."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from boruta import places
from boruta.domain.errors import (
    ActionRefused,
    InternalLogicError,
    NotFoundError,
    NotPermitted,
    StoreUnavailable,
)
from boruta.guarded import make_private_dir
from boruta.lock import DataLock
from boruta.store.check import check
from boruta.store.files import copy_database, fsync_directory, side_files
from boruta.store.sqlite import why

# What was given out after the backup was made must not be given out again (SAFETY, A13). A farm
# that makes a request a second takes 12 days for so many, a board a job a minute for 16 hours.
IDS_SKIPPED: Final = 1_000_000
EPOCHS_SKIPPED: Final = 1_000


def backup(data: Path, target: Path) -> int:
    """Copies DATA/boruta.db as it is between two transactions, also while a server writes it.

    The copy has no `store.key`: without that, the keys of jobs that run cannot be read in it.

    Returns:
        Its size in bytes.

    Raises:
        NotFoundError: there is no database in DATA.
        ActionRefused: the target is there already.
        StoreUnavailable: the database cannot be read.
        NotPermitted: the target cannot be written.
    """
    source = places.database_file(data)
    if not source.exists():
        raise NotFoundError(
            f"{source}: no such file; a server on PostgreSQL is backed up with pg_dump "
            "(docs/store.md)",
            path=str(source),
        )
    _copy(source, target)
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    try:
        copy_database(source, target)
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"{source}: cannot be copied to {target}: {why(error)}", path=str(source)
        ) from None
    except FileExistsError:
        raise ActionRefused(
            f"{target}: there is such a file already; a backup replaces none", path=str(target)
        ) from None
    except OSError as error:
        raise NotPermitted(
            f"{target}: cannot be written: {error.strerror}", path=str(target)
        ) from None


def restore(file: Path, data: Path, utcnow: Callable[[], datetime]) -> Path | None:
    """Puts the backup `file` in the place of DATA/boruta.db.

    Ids and epochs go on far beyond those of the backup, so that none that was given out since comes
    again. The database that was there is kept in DATA/backups.

    Args:
        file: a backup; it is not changed.
        data: the data directory; no server may work in it.
        utcnow: the time, aware UTC.

    Returns:
        Where the database that was there is now; None if there was none.

    Raises:
        NotFoundError: there is no such file.
        ActionRefused: a server works in DATA.
        StoreUnavailable: the file is damaged or of a newer Boruta; nothing was changed.
    """
    if not file.is_file():
        raise NotFoundError(f"{file}: no such file", path=str(file))
    make_private_dir(data, "data directory")
    lock = DataLock(data)
    try:
        wrong = [one for one in check(file) if one.bad]
        if wrong:
            raise StoreUnavailable(
                f"{file}: not restored, it is damaged: {wrong[0].text} "
                f"({len(wrong)} findings; boruta check-store {file})",
                path=str(file),
            )
        return _put(file, data, utcnow())
    finally:
        lock.release()


def _put(file: Path, data: Path, now: datetime) -> Path | None:
    from boruta.store.opening import open_file

    place = places.database_file(data)
    draft = place.with_name(f".{place.name}.restored")
    for left in (draft, *side_files(draft)):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    try:
        _copy(file, draft)
        open_file(draft, keep=False)  # an older schema: the backup itself is what is kept of it
        _go_beyond(draft)
        kept = _keep(data, place, now)
        draft.rename(place)
        fsync_directory(data)
    except OSError as error:
        raise NotPermitted(
            f"{place}: cannot be put there: {error.strerror}", path=str(place)
        ) from None
    finally:
        for left in (draft, *side_files(draft)):
            with contextlib.suppress(FileNotFoundError):
                left.unlink()
    return kept


def _go_beyond(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE meta SET last_id = last_id + ?, last_seq = last_seq + ?",
                (IDS_SKIPPED, IDS_SKIPPED),
            )
            connection.execute("UPDATE leader SET epoch = epoch + ?", (EPOCHS_SKIPPED,))
            connection.execute("UPDATE servers SET epoch = epoch + ?", (EPOCHS_SKIPPED,))
            connection.execute(
                "UPDATE workers SET rev = rev + 1, server_epoch = server_epoch + ?",
                (EPOCHS_SKIPPED,),
            )
            # A job is known by its board epoch: one that still runs on its board goes on.
            connection.execute(
                "UPDATE workers SET board_epoch = board_epoch + ?, prepared_key_enc = x'' "
                "WHERE uuid NOT IN (SELECT worker_uuid FROM jobs WHERE ended_at IS NULL)",
                (EPOCHS_SKIPPED,),
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")  # one file again, to be renamed
    except sqlite3.Error as error:
        raise InternalLogicError(f"{path}: {why(error)}") from error


def _keep(data: Path, place: Path, now: datetime) -> Path | None:
    """Keeps the database that is there, damaged or not; only its one file is left in its place."""
    there = [one for one in (place, *side_files(place)) if one.exists()]
    if not there:
        return None
    # What is beside a sound one goes into it: then it is whole at every instant. To ruins nothing
    # is done: SQLite itself would throw away what somebody may still want to look at.
    if not any(one.bad for one in check(place)):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(place, isolation_level=None)) as connection,
        ):
            connection.execute("PRAGMA journal_mode = DELETE")
    backups = data / "backups"
    make_private_dir(backups, "directory of backups")
    name = f"{place.name}.before-restore-{now:%Y%m%dT%H%M%S}"
    number = 0
    while (kept := backups / (f"{name}-{number}" if number else name)).exists():
        number += 1
    for old, new in zip((place, *side_files(place)), (kept, *side_files(kept)), strict=True):
        with contextlib.suppress(FileNotFoundError):
            new.hardlink_to(old)
    fsync_directory(backups)
    for beside in side_files(place):
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()  # it would be taken for a part of what comes now
    return kept
