"""The three stores that one suite runs over, and the databases below them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boruta.store.schema import SCHEMA
from tests.store.kit import Place, PostgresPlace, SqlitePlace, private_dir
from tests.store.postgres import PORT, Postgres, running, why_not
from tests.store.proxy import Proxy


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own; the test is skipped where none is installed."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which nothing is yet: making the tables takes longer than most tests."""
    place = SqlitePlace(private_dir(tmp_path_factory.mktemp("template") / "data"))
    place.backend().close()
    return place.file


@pytest.fixture(scope="session")
def tables(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database in PostgreSQL that has its tables."""
    data = private_dir(tmp_path_factory.mktemp("tables") / "data")
    name = postgres.new_database()
    PostgresPlace(data, postgres.url(name)).backend().close()
    return name


@pytest.fixture
def database(postgres: Postgres, tables: str) -> str:
    """The name of one in which nothing is yet."""
    with postgres.connect(tables) as connection:
        every = "workers, requests, jobs, events, servers, peers"
        connection.execute(f"TRUNCATE {every} RESTART IDENTITY")
        connection.execute("UPDATE meta SET position = 0, last_id = 0, last_seq = 0")
        connection.execute("UPDATE meta SET store_key_id = ''")  # nobody's yet
        connection.execute("UPDATE leader SET lease_until = NULL")
        connection.execute(f"UPDATE alembic_version SET version_num = '{SCHEMA:04}'")
    return tables


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[tuple[Proxy, Path]]:
    """A wire that can be cut, and the directory of its socket."""
    with tempfile.TemporaryDirectory(prefix="boruta-wire-", dir="/tmp") as place:
        made = Proxy(Path(place), postgres.place, PORT)
        yield made, Path(place)
        made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database that may be opened again and again."""
    data = private_dir(tmp_path / "data")
    if request.param == "sqlite":
        made: Place = SqlitePlace(data)
        shutil.copy(request.getfixturevalue("new_file"), data / "boruta.db")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = PostgresPlace(data, server.url(request.getfixturevalue("database")))
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlitePlace]:
    """An empty data directory."""
    made = SqlitePlace(private_dir(tmp_path / "data"))
    yield made
    made.close()


@pytest.fixture
def pg(postgres: Postgres, database: str, tmp_path: Path) -> Iterator[PostgresPlace]:
    """An empty database in PostgreSQL."""
    made = PostgresPlace(private_dir(tmp_path / "data"), postgres.url(database))
    yield made
    made.close()
