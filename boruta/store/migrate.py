"""Brings the tables to the present schema: makes them, changes older ones, refuses newer ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from boruta.domain.errors import StoreUnavailable
from boruta.store.schema import SCHEMA

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def schema_of(connection: sa.Connection) -> int:
    """The number of the schema that the tables have; 0 in an empty database.

    Raises:
        StoreUnavailable: there are tables, but none of Boruta's.
    """
    names = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in names:
        if names:
            raise StoreUnavailable(f"it has tables of something else: {', '.join(sorted(names))}")
        return 0
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found is None:
        return 0
    if not str(found).isdecimal():
        raise StoreUnavailable(f"it has the tables of something else (version {found!r})")
    return int(found)


def migrate(engine: sa.Engine, name: str, before: Callable[[int], None]) -> None:
    """Makes or changes the tables, all in one transaction.

    Args:
        engine: of the database.
        name: what to call it in an error.
        before: called with the schema's number before tables that are there are changed.

    Raises:
        StoreUnavailable: a newer Boruta made them.
    """
    with engine.connect() as connection:
        with connection.begin():
            found = _known(connection, name)
        if found == SCHEMA:
            return
        if found:
            before(found)
        with connection.begin():
            upgrade(connection, SCHEMA)


def _known(connection: sa.Connection, name: str) -> int:
    try:
        found = schema_of(connection)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{name}: {error.message}") from None
    if found > SCHEMA:
        raise StoreUnavailable(
            f"{name}: a newer Boruta made it (schema {found}; this one knows {SCHEMA}): "
            "use that one, or restore an older backup",
            schema=found,
        )
    return found


def upgrade(connection: sa.Connection, to: int) -> None:
    """Runs the migrations up to number `to` in the transaction that is open."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, f"{to:04}")
    if not connection.exec_driver_sql("SELECT count(*) FROM meta").scalar():
        cluster = secrets.token_hex(8)
        connection.exec_driver_sql(
            "INSERT INTO meta (id, schema, cluster_id, store_key_id, position, last_id, last_seq) "
            f"VALUES (1, 0, '{cluster}', '', 0, 0, 0)"
        )
        connection.exec_driver_sql("INSERT INTO leader (id, epoch, server_id) VALUES (1, 0, '')")
    connection.exec_driver_sql(f"UPDATE meta SET schema = {to}")
