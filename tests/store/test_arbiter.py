"""The database decides: whatever another server wrote is noticed, and never overwritten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boruta.domain.rows import Remove, Transaction, WorkerRow, Write
from tests.store.kit import Place, a_job, a_request, a_worker, image


def meddle(place: Place, statement: str) -> None:
    """Another server's change."""
    engine = place.backend().new_engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize(
    ("meant", "statement"),
    [
        (lambda row: (Write(row._replace(rev=2), 1),), "UPDATE workers SET rev = 7"),
        (lambda row: (Write(row._replace(rev=2), 1),), "DELETE FROM workers"),
        (lambda row: (Remove(WorkerRow, "b1", 1),), "UPDATE workers SET rev = 7"),
        (lambda row: (Write(a_worker("b2"), 0),), "UPDATE workers SET uuid = 'b2'"),
        (lambda row: (Write(a_job(9, "b1"), 0),), "UPDATE jobs SET worker_uuid = 'b1'"),
        (lambda row: (Write(row._replace(rev=2), 1),), "UPDATE meta SET position = 40"),
        (lambda row: (Write(row._replace(rev=2), 1),), "UPDATE leader SET epoch = epoch + 1"),
    ],
)
def test_a_row_that_is_not_as_it_was_ends_the_writing(
    place: Place, meant: Callable[[WorkerRow], Transaction], statement: str
) -> None:
    store = place.open()
    row, request = a_worker(), a_request(store)
    assert store.commit((Write(row, 0), Write(request, 0))) is None
    assert store.commit((Write(a_job(request.id, "b7"), 0),)) is None
    place.written(store)
    meddle(place, statement)
    kept = place.query("SELECT uuid, rev, failures FROM workers")
    assert store.commit((Write(a_request(store), 0), *meant(row))) is None
    place.loop.run_until(lambda: store.deposed is not None)
    assert store.deposed is not None
    assert store.deposed.code == "not_leader"
    assert place.query("SELECT uuid, rev, failures FROM workers") == kept
    assert place.query("SELECT count(*) FROM requests") == [(1,)]
    assert store.written < store.position


def test_each_life_has_an_epoch_above_all_before(place: Place) -> None:
    lives = []
    for number in range(1, 4):
        store = place.open()
        lives.append(store.leader_epoch)
        assert store.server_epochs == {"s1": number}
        assert store.close()
    assert lives == sorted(set(lives))


def test_ids_and_places_never_come_again(place: Place) -> None:
    store = place.open()
    row = a_request(store)
    assert store.commit((Write(row, 0),)) is None
    assert store.commit((Remove(type(row), row.id, 1),)) is None
    assert store.close()
    again = place.open()
    assert image(again)[:3] == ([], [], [])
    assert again.next_request() > row.id
    assert again.next_seq() > row.queue_seq
