"""From the words of a configuration to an open, migrated database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import exc

from boruta import places
from boruta.domain.errors import StoreUnavailable
from boruta.guarded import check_private
from boruta.store.backend import ServerIdentity
from boruta.store.database import SqlBackend
from boruta.store.files import copy_database, fsync_directory, make_file, side_files
from boruta.store.migrate import migrate
from boruta.store.postgres import PostgresBackend
from boruta.store.seal import Seal
from boruta.store.sqlite import SqliteBackend, make_engine, why

# Looking through a whole file takes about a second for so many bytes; a larger one is read only as
# far as it is needed.
LOOKED_THROUGH_BYTES: Final = 256 << 20


def open_backend(
    database: str, data: Path, server: ServerIdentity, utcnow: Callable[[], datetime]
) -> SqlBackend:
    """Opens the database, makes its tables or brings them up to date.

    Args:
        database: `sqlite:` (DATA/boruta.db) or a URL `postgresql://...`.
        data: the data directory, whose lock is held; `keys/store.key` lies in it.
        server: who opens it.
        utcnow: the time, aware UTC.

    Raises:
        StoreUnavailable: it is damaged, of a newer Boruta, or cannot be reached.
        BadConfig: the URL or the store key cannot be used.
        NotPermitted: others can read the file or the key.
    """
    seal = Seal.of(places.keys_dir(data) / "store.key")
    if database in ("sqlite", "sqlite:"):
        path = places.database_file(data)
        open_file(path)
        return SqliteBackend(path, seal, server, utcnow)
    backend = PostgresBackend(database, seal, server, utcnow)
    with backend.foreign_errors():
        engine = backend.new_engine()
        try:
            migrate(engine, backend.name, lambda _: None)
        finally:
            engine.dispose()
    return backend


def open_file(path: Path, *, keep: bool = True) -> None:
    """Makes DATA/boruta.db, or looks at the one that is there and brings it up to date.

    Args:
        path: the file.
        keep: whether one of an older schema is kept beside it, as boruta.db.before-N.

    Raises:
        StoreUnavailable: it is damaged, or of a newer Boruta.
        NotPermitted: others can read it, or it cannot be made.
    """
    if not path.exists():
        _make(path)
        return
    try:
        check_private(path, "database")
        for beside in side_files(path):
            if beside.exists():
                check_private(beside, "database")
        _refuse_damaged(path)
        engine = make_engine(path, {"synchronous": "FULL"})
        try:
            migrate(engine, str(path), lambda schema: _keep(path, schema) if keep else None)
        finally:
            engine.dispose()
    except (exc.SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"{path}: {why(cause)}", path=str(path)) from None


def _make(path: Path) -> None:
    # Under another name until it is whole: an empty boruta.db is thus always a damaged one.
    for beside in side_files(path):
        if beside.exists():
            raise StoreUnavailable(
                f"{path} is missing, but {beside} is there, with changes that belong to it: put "
                "the file back, or restore a backup (boruta restore FILE)",
                path=str(path),
            )
    draft = path.with_name(f"{path.name}.new")
    for left in (draft, draft.with_name(f"{draft.name}-journal")):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    make_file(draft)
    try:
        engine = make_engine(draft, {"synchronous": "FULL"})
        try:
            migrate(engine, str(path), lambda _: None)
        finally:
            engine.dispose()
        draft.rename(path)
        fsync_directory(path.parent)
    except (exc.SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"{path}: cannot be made: {why(cause)}", path=str(path)) from None


def _refuse_damaged(path: Path) -> None:
    size = path.stat().st_size
    told = "" if size else "the file is empty"
    if 0 < size <= LOOKED_THROUGH_BYTES:
        engine = make_engine(path, {}, write=False)
        try:
            with engine.connect() as connection:
                first = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            told = "" if first == "ok" else str(first)
        finally:
            engine.dispose()
    if told:
        raise StoreUnavailable(
            f"{path}: the file is damaged ({told}): boruta check-store tells what is wrong, "
            "boruta restore FILE puts a backup in its place; it is left as it is",
            path=str(path),
        )


def _keep(path: Path, schema: int) -> None:
    kept = path.with_name(f"{path.name}.before-{schema + 1}")
    with contextlib.suppress(FileNotFoundError):
        kept.unlink()  # of an earlier try: this one has more
    copy_database(path, kept)
