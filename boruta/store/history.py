"""Who did what to what, when and why: what a transaction tells for the table `events`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from boruta.domain.defaults import HISTORY_PAGE
from boruta.domain.history import Event
from boruta.domain.rows import JobRow, Remove, RequestRow, Row, WorkerRow, Write
from boruta.store.backend import Entry

if TYPE_CHECKING:
    import sqlalchemy as sa


def events_of(entry: Entry) -> Iterator[Event]:
    """What the transaction means to a person; mere bookkeeping tells nothing."""
    job = next(
        (c.row for c in entry.transaction if isinstance(c, Write) and isinstance(c.row, JobRow)),
        None,
    )
    for change, before in zip(entry.transaction, entry.before, strict=True):
        if isinstance(change, Remove):
            if change.kind is WorkerRow:
                state = before.state.value if isinstance(before, WorkerRow) else ""
                yield Event(
                    entry.at, "worker.removed", worker_uuid=str(change.id), old_state=state,
                    by=entry.by,
                )  # fmt: skip
            continue
        match change.row:
            case RequestRow() as row:
                yield from _request(entry, before, row, job)
            case JobRow() as row:
                yield from _job(entry, before, row)
            case WorkerRow() as row:
                yield from _worker(entry, before, row)


def _why(code: str, reason: str) -> str:
    return f"{code}: {reason}" if code and reason else code or reason


def _changed(*fields: tuple[str, object, object]) -> str:
    """What is new of (name, before, now); empty if nothing is."""
    return " ".join(f"{name}={new}" for name, old, new in fields if old != new)


def _request(
    entry: Entry, before: Row | None, row: RequestRow, job: JobRow | None
) -> Iterator[Event]:
    if not isinstance(before, RequestRow):
        by = entry.by or row.owner_name
        yield Event(
            entry.at, "request.created", row.id, new_state=row.state.value, by=by, reason=row.note
        )
        return
    if before.state is not row.state:
        mine = job if job is not None and job.request_id == row.id else None
        yield Event(
            entry.at,
            "request.state",
            row.id,
            None if mine is None else mine.worker_uuid,
            None if mine is None else mine.board_epoch,
            before.state.value,
            row.state.value,
            entry.by,
            _why(row.reason_code, row.reason),
        )
    changed = _changed(
        ("priority", before.priority, row.priority),
        ("valid_after", before.valid_after, row.valid_after),
        ("deadline", before.deadline, row.deadline),
    )
    if changed:
        yield Event(
            entry.at, "request.changed", row.id, by=entry.by or row.owner_name,
            reason=changed,
        )  # fmt: skip


def _job(entry: Entry, before: Row | None, row: JobRow) -> Iterator[Event]:
    if not isinstance(before, JobRow):
        return  # told as its request's state
    told = []
    if before.acquired_at is None and row.acquired_at is not None:
        told.append(("job.acquired", ""))
    if row.prolongs > before.prolongs:
        told.append(("job.prolonged", f"until {row.ends_at.isoformat()}"))
    if before.ended_at is None and row.ended_at is not None:
        told.append(("job.over", row.end_reason))
    for kind, reason in told:
        yield Event(
            entry.at, kind, row.request_id, row.worker_uuid, row.board_epoch, by=entry.by,
            reason=reason,
        )  # fmt: skip


def _worker(entry: Entry, before: Row | None, row: WorkerRow) -> Iterator[Event]:
    if not isinstance(before, WorkerRow):
        yield Event(
            entry.at,
            "worker.registered",
            None,
            row.uuid,
            row.board_epoch,
            new_state=row.state.value,
            by=entry.by or row.owner_key,
            reason=row.reason,
        )
        return
    if before.state is not row.state:
        yield Event(
            entry.at,
            "worker.state",
            row.request_id if row.request_id is not None else before.request_id,
            row.uuid,
            row.board_epoch,
            before.state.value,
            row.state.value,
            entry.by,
            _why(row.reason_code, row.reason),
        )
    changed = _changed(
        ("caps", before.caps, row.caps),
        ("groups", before.groups, row.groups),
        ("owner", before.owner_key, row.owner_key),
    )
    if changed:
        yield Event(
            entry.at, "worker.changed", None, row.uuid, row.board_epoch, by=entry.by,
            reason=changed,
        )  # fmt: skip


def read_history(
    engine: sa.Engine,
    *,
    request_id: int | None = None,
    worker_uuid: str | None = None,
    before: int | None = None,
    most: int = HISTORY_PAGE,
) -> list[Event]:
    """The newest events of a request, of a board or of all; the oldest of them first.

    Args:
        engine: a backend's `reading_engine`; the server may write meanwhile.
        request_id: of this request only.
        worker_uuid: of this board only.
        before: only those with a lower id.
        most: how many at most.
    """
    import sqlalchemy as sa

    from boruta.store.columns import text, time_of, untext
    from boruta.store.schema import events

    c = events.c
    asked = sa.select(
        c.at, c.kind, c.request_id, c.worker_uuid, c.epoch, c.old_state, c.new_state, c.by,
        c.reason, c.id,
    )  # fmt: skip
    if request_id is not None:
        asked = asked.where(c.request_id == request_id)
    if worker_uuid is not None:
        asked = asked.where(c.worker_uuid == text(worker_uuid))
    if before is not None:
        asked = asked.where(c.id < before)
    with engine.connect() as connection:
        rows = connection.execute(asked.order_by(c.id.desc()).limit(most)).all()
    return [
        Event(
            time_of(row[0]), row[1], row[2], None if row[3] is None else untext(row[3]), row[4],
            row[5], row[6], untext(row[7]), untext(row[8]), row[9],
        )
        for row in reversed(rows)
    ]  # fmt: skip
