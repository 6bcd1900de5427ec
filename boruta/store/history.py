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
    for change, before in zip(entry.transaction, entry.before, strict=True):
        if isinstance(change, Remove):
            if change.kind is WorkerRow:
                state = before.state.value if isinstance(before, WorkerRow) else ""
                yield Event(
                    entry.at, "worker.removed", worker_uuid=str(change.id), old_state=state,
                    by=entry.by,
                )  # fmt: skip
            continue
        row = change.row
        if isinstance(row, RequestRow):
            yield from _request(entry, before, row)
        elif isinstance(row, WorkerRow):
            yield from _worker(entry, before, row)
        else:
            yield from _job(entry, before, row)


def _why(code: str, reason: str) -> str:
    return f"{code}: {reason}" if code and reason else code or reason


def _changed(*fields: tuple[str, object, object]) -> str:
    """What is new of (name, before, now); empty if nothing is."""
    # Mostly the very same object, and then there is nothing to compare.
    return " ".join(f"{name}={new}" for name, old, new in fields if old is not new and old != new)


def _job_of(entry: Entry, req_id: int) -> JobRow | None:
    """The job that the same transaction writes."""
    for change in entry.transaction:
        if isinstance(change, Write) and isinstance(change.row, JobRow):
            return change.row if change.row.request_id == req_id else None
    return None


def _request(entry: Entry, before: Row | None, row: RequestRow) -> Iterator[Event]:
    if not isinstance(before, RequestRow):
        by = entry.by or row.owner_name
        state = row.state._value_
        yield Event(entry.at, "request.created", row.id, None, None, "", state, by, row.note)
        return
    if before.state is not row.state:
        job = _job_of(entry, row.id)
        yield Event(
            entry.at,
            "request.state",
            row.id,
            None if job is None else job.worker_uuid,
            None if job is None else job.board_epoch,
            before.state._value_,
            row.state._value_,
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
            before.state._value_,
            row.state._value_,
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
