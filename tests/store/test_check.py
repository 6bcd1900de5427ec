"""A look at a database tells what is wrong with it."""

from __future__ import annotations

import pytest

from boruta.domain.rows import Write
from boruta.domain.types import ReqState
from boruta.store.check import check
from tests.store.kit import SqlitePlace, a_busy_farm, a_job, a_request, change


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE requests SET state = 'ASLEEP' WHERE id = 2", "unknown_state"),
        ("UPDATE workers SET state = 'ASLEEP' WHERE uuid = 'b2'", "unknown_state"),
        ("UPDATE requests SET caps = '{' WHERE id = 2", "unreadable"),
        ("UPDATE requests SET state = 'WAITING' WHERE id = 1", "waiting_job"),
        ("DELETE FROM requests WHERE id = 1", "orphan_job"),
        ("DELETE FROM jobs", "no_job"),
        ("UPDATE meta SET last_id = 1", "low_id"),
        ("UPDATE meta SET last_seq = 1", "low_seq"),
        ("DELETE FROM leader", "no_meta"),
        ("DROP TABLE peers", "table_missing"),
        ("UPDATE alembic_version SET version_num = '0099'", "newer"),
        ("DROP TABLE alembic_version", "foreign"),
    ],
)
def test_a_look_tells_what_is_wrong(sqlite: SqlitePlace, statement: str, code: str) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    store.close()
    assert check(sqlite.file) == []
    change(sqlite.file, statement)
    found = check(sqlite.file)
    assert code in {one.code for one in found}
    assert any(one.bad for one in found)


def test_two_live_jobs_on_a_board_are_told(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    second = a_request(store, state=ReqState.INPROGRESS)
    assert store.commit((Write(second, 0), Write(a_job(second.id, "b2"), 0))) is None
    store.close()
    change(sqlite.file, "DROP INDEX jobs_live")
    change(sqlite.file, "UPDATE jobs SET worker_uuid = 'b1', board_epoch = 9 WHERE request_id = 3")
    assert "worker b1: requests 1 and 3 hold it" in {one.text for one in check(sqlite.file)}
