"""PostgreSQL stops, is stopped, dies, and is cut off in the middle of a commit."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from boruta.domain.rows import Write
from boruta.store.database import SqlBackend
from boruta.store.durable import DurableStore
from tests.store.kit import PostgresPlace, a_worker, private_dir
from tests.store.postgres import Postgres
from tests.store.proxy import Proxy, Where
from tests.store.test_faults import a_large_request, heals, is_ill


@pytest.fixture
def wired(
    postgres: Postgres, database: str, proxy: tuple[Proxy, Path], tmp_path: Path
) -> Iterator[PostgresPlace]:
    """A database behind that wire."""
    data = private_dir(tmp_path / "wired")
    place = PostgresPlace(data, postgres.url(database, proxy[1]))
    yield place
    place.close()


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_commit_whose_outcome_is_unknown_is_settled_by_looking(
    wired: PostgresPlace, proxy: tuple[Proxy, Path], where: Where
) -> None:
    store = wired.open()
    board = a_worker()
    assert store.commit((Write(board, 0),)) is None
    wired.written(store)
    proxy[0].cut_at_commit = where
    assert store.commit((Write(board._replace(rev=2, failures=1), 1),)) is None
    wired.loop.run_until(lambda: proxy[0].cuts == 1)
    heals(wired, store)
    states = wired.query("SELECT count(*) FROM events")
    assert states == [(1,)]
    assert store.deposed is None


def test_a_commit_is_written_once_though_it_was_cut_off(
    wired: PostgresPlace, proxy: tuple[Proxy, Path]
) -> None:
    store = wired.open()
    for number in range(6):
        proxy[0].cut_at_commit = "after" if number % 2 else "before"
        a_large_request(store)
        wired.loop.run_until(lambda: store.written == store.position)
    heals(wired, store)
    assert proxy[0].cuts >= 5
    assert wired.query("SELECT count(*) FROM events WHERE kind = 'request.created'") == [(6,)]


def test_a_server_that_is_stopped_by_a_signal(pg: PostgresPlace, postgres: Postgres) -> None:
    store = pg.open()
    a_large_request(store)
    pg.written(store)
    postgres.signal_all(signal.SIGSTOP)
    try:
        a_large_request(store)
        pg.loop.run_until(is_ill(store, "it has not answered"))
    finally:
        postgres.signal_all(signal.SIGCONT)
    heals(pg, store)


def test_a_back_end_that_stands_still_in_a_commit_is_waited_for(
    pg: PostgresPlace, postgres: Postgres
) -> None:
    store = pg.open()
    a_large_request(store)
    pg.written(store)
    [(pid,)] = postgres_processes(postgres)
    os.kill(pid, signal.SIGSTOP)
    try:
        a_large_request(store)
        # A new connection is made, but what the old one may still commit holds the log, or nothing.
        pg.loop.run_until(lambda: store.unwell is not None)
    finally:
        os.kill(pid, signal.SIGCONT)
    heals(pg, store)
    assert pg.query("SELECT count(*) FROM requests") == [(2,)]


def postgres_processes(postgres: Postgres) -> list[tuple[int]]:
    """The process that serves the store."""
    with postgres.connect("postgres") as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'boruta'"
        ).fetchall()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_restarted_or_killed(
    pg: PostgresPlace, postgres: Postgres, number: signal.Signals
) -> None:
    store = pg.open()
    a_large_request(store)
    pg.written(store)
    postgres.stop(number)
    try:
        a_large_request(store)
        pg.loop.run_until(lambda: store.unwell is not None)
    finally:
        postgres.start()
    heals(pg, store)


def test_another_server_that_takes_over_ends_the_first_one_s_writing(pg: PostgresPlace) -> None:
    first = pg.open()
    a_large_request(first)
    pg.written(first)
    second = pg.open()
    assert second.leader_epoch > first.leader_epoch
    told: list[DurableStore] = []
    first.on_health(lambda: told.append(first))
    a_large_request(first)
    pg.loop.run_until(lambda: first.deposed is not None)
    assert first.unwell is not None
    assert told == [first]
    a_large_request(second)
    pg.written(second)
    assert len(pg.query("SELECT id FROM requests")) == 2
    assert not first.close()


def test_reading_all_of_it_may_take_longer_than_a_lock_is_held(
    pg: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pg.open()
    a_large_request(first)
    pg.written(first)
    backend, allowed = pg.backend(), []
    rows = type(backend)._rows

    def asked(self: SqlBackend, connection: sa.Connection, *more: Any) -> list[Any]:
        told = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout")
        allowed.append(told.scalar_one())
        return rows(self, connection, *more)

    monkeypatch.setattr(type(backend), "_rows", asked)
    assert len(backend.load().requests) == 1
    assert set(allowed) == {"1min"}
    with backend._transaction() as connection:  # what writes is held to the short one again
        told = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout")
        assert told.scalar_one() == "2s"
    backend.close()


def test_whoever_was_given_a_closed_connection_s_number_is_not_cut_in_its_place(
    pg: PostgresPlace,
) -> None:
    backend = pg.backend()
    with backend._transaction() as connection:
        driver: Any = connection.connection.driver_connection
    number = driver.fileno()
    driver.pgconn.finish()  # as when the other end has closed it
    mine, other = socket.socketpair()
    assert number in (mine.fileno(), other.fileno()), "the number is given anew"
    with mine, other:
        backend.interrupt()
        mine.sendall(b"still there")
        assert other.recv(100) == b"still there"
    backend.close()


def test_each_row_tells_which_transaction_wrote_it(pg: PostgresPlace) -> None:
    store = pg.open()
    for number in range(3):
        assert store.commit((Write(a_worker(f"b{number}"), 0),)) is None
    pg.written(store)
    first = pg.query("SELECT min(changed_xid) FROM workers")[0][0]
    assert store.commit((Write(a_worker("b1", rev=2), 1),)) is None
    pg.written(store)
    assert pg.query("SELECT uuid FROM workers WHERE changed_xid IS NULL") == []
    assert pg.query("SELECT id FROM events WHERE changed_xid IS NULL") == []
    [(changed,)] = pg.query("SELECT changed_xid FROM workers WHERE uuid = 'b1'")
    assert changed > first


def test_what_may_still_commit_is_waited_for_and_not_written_twice(
    wired: PostgresPlace, postgres: Postgres, proxy: tuple[Proxy, Path]
) -> None:
    store = wired.open()
    a_large_request(store)
    wired.written(store)
    proxy[0].cut_at_commit = "late"
    a_large_request(store)

    def waits() -> bool:
        with postgres.connect("postgres") as connection:
            asked = "SELECT 1 FROM pg_locks WHERE NOT granted"
            return proxy[0].cuts == 1 and bool(connection.execute(asked).fetchall())

    wired.loop.run_until(waits)  # the second try, for the first one's transaction
    proxy[0].release()
    heals(wired, store)
    assert store.deposed is None
    assert wired.query("SELECT count(*) FROM events") == [(2,)]


def test_a_wire_on_which_nothing_is_heard_any_more_is_given_up(
    wired: PostgresPlace, proxy: tuple[Proxy, Path]
) -> None:
    store = wired.open()
    proxy[0].cut_at_commit = "hang"
    a_large_request(store)
    wired.loop.run_until(is_ill(store, "it has not answered"))
    heals(wired, store)
