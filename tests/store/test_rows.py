"""What is written is what is read: each field of each row, over each database."""

from __future__ import annotations

from boruta.domain.rows import Write
from tests.store.kit import Place, a_full_job, a_full_request, a_full_worker, image


def test_every_field_of_every_row_comes_back_as_it_was(place: Place) -> None:
    store = place.open()
    rows = (a_full_request(), a_full_job(), a_full_worker())
    for row in rows:
        defaults = type(row)._field_defaults
        assert all(getattr(row, name) != value for name, value in defaults.items())
    assert store.commit(tuple(Write(row, 0) for row in rows)) is None
    assert store.close()
    again = place.open()
    assert (again.request(17), again.job(17), again.worker("b é")) == rows
    assert image(again) == image(store)


def test_a_row_that_changes_is_changed_in_every_field(place: Place) -> None:
    store = place.open()
    full = (a_full_request(), a_full_job(), a_full_worker())
    for row in full:
        key = row[0]
        bare = type(row)(key, *full_of(row))._replace(rev=1)
        assert store.commit((Write(bare, 0),)) is None
    place.written(store)
    assert store.commit(tuple(Write(row._replace(rev=9), 1) for row in full)) is None
    assert store.close()
    again = place.open()
    found = (again.request(17), again.job(17), again.worker("b é"))
    assert found == tuple(row._replace(rev=9) for row in full)


def full_of(row: tuple[object, ...]) -> tuple[object, ...]:
    """The fields of a row that have no default, less the key."""
    return row[1 : len(row) - len(type(row)._field_defaults)]  # type: ignore[attr-defined]
