"""The store in memory keeps the real one's rules."""

from __future__ import annotations

from datetime import UTC, datetime

from boruta.domain.rows import Conflict, JobRow, Remove, RequestRow, WorkerRow, Write
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.store.memory import MemoryStore

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def a_request(store: MemoryStore, token: str | None = None) -> RequestRow:
    row = RequestRow(
        id=store.next_request(),
        rev=1,
        state=ReqState.WAIT,
        priority=8,
        queue_seq=store.next_seq(),
        caps=Capabilities(),
        valid_after=NOW,
        deadline=NOW,
        job_timeout_s=1.0,
        created=NOW,
        owner_name="ci",
        token=token,
    )
    assert store.commit((Write(row, 0),)) is None
    return row


def a_job(request: int, worker: str, epoch: int = 1) -> JobRow:
    return JobRow(request, 1, worker, epoch, NOW, NOW, 1, "key", "u", (), "h", 1)


def test_a_change_that_names_an_old_revision_is_refused_and_shows_what_is_there() -> None:
    store = MemoryStore()
    row = a_request(store)
    newer = row._replace(rev=2, priority=1)
    assert store.commit((Write(newer, 1),)) is None
    assert store.commit((Write(row._replace(rev=2), 1),)) == Conflict(RequestRow, row.id, newer)
    assert store.request(row.id) == newer


def test_a_transaction_is_all_or_nothing() -> None:
    store = MemoryStore()
    row = a_request(store)
    board = WorkerRow("b1", 1, WorkerState.IDLE)
    refused = store.commit((Write(board, 0), Write(row._replace(rev=9), 8)))
    assert isinstance(refused, Conflict)
    assert store.worker("b1") is None


def test_a_second_live_job_on_a_board_is_refused() -> None:
    store = MemoryStore()
    first, second = a_request(store), a_request(store)
    assert store.commit((Write(a_job(first.id, "b1"), 0),)) is None
    assert isinstance(store.commit((Write(a_job(second.id, "b1"), 0),)), Conflict)
    over = a_job(first.id, "b1")._replace(rev=2, ended_at=NOW)
    assert store.commit((Write(over, 1),)) is None
    assert store.commit((Write(a_job(second.id, "b1", 2), 0),)) is None


def test_a_board_is_lent_again_only_when_the_request_that_had_it_has_ended() -> None:
    store = MemoryStore()
    first, second = a_request(store), a_request(store)
    held = first._replace(rev=2, state=ReqState.INPROGRESS)
    job = a_job(first.id, "b1")
    assert store.commit((Write(held, 1), Write(job, 0))) is None
    assert store.commit((Write(job._replace(rev=2, ended_at=NOW), 1),)) is None
    refused = store.commit((Write(a_job(second.id, "b1", 2), 0),))
    assert refused == Conflict(JobRow, second.id, store.job(first.id))
    assert store.commit((Write(a_job(second.id, "b2", 2), 0),)) is None
    assert store.commit((Write(held._replace(rev=3, state=ReqState.DONE), 2),)) is None
    assert store.commit((Write(a_job(3, "b1", 2), 0),)) is None


def test_ids_never_come_again_even_after_the_last_was_removed() -> None:
    store = MemoryStore()
    row = a_request(store)
    assert store.commit((Remove(RequestRow, row.id, 1),)) is None
    assert store.request(row.id) is None
    assert a_request(store).id > row.id


def test_a_token_finds_its_request_while_that_is_kept() -> None:
    store = MemoryStore()
    row = a_request(store, token="t")
    assert store.by_token("ci", "t") == row
    assert store.by_token("other", "t") is None
    store.commit((Remove(RequestRow, row.id, 1),))
    assert store.by_token("ci", "t") is None


def test_a_second_request_with_a_token_is_refused() -> None:
    store = MemoryStore()
    row = a_request(store, token="t")
    twin = row._replace(id=store.next_request())
    assert store.commit((Write(twin, 0),)) == Conflict(RequestRow, twin.id, row)
    assert store.commit((Write(twin._replace(owner_name="another"), 0),)) is None
    assert store.commit((Write(row._replace(rev=2), 1),)) is None
