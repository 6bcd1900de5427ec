"""What a batch of transactions comes to: one change a row, so that one statement does a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from boruta.domain.rows import JobRow, RequestRow, Row, WorkerRow, Write
from boruta.store.backend import Entry
from boruta.store.columns import TABLES, Columns
from boruta.store.seal import Seal

# By key: the rev that the table has (0: no such row), and the row it is to have (None: none).
Changes = dict[Any, tuple[int, Row | None]]
Values = tuple[Any, ...]


@dataclass(slots=True)
class Parts:
    """One table's changes as parameters of its statements."""

    columns: Columns[Any]
    deletes: list[Values] = field(default_factory=list)  # (key, rev)
    updates: list[Values] = field(default_factory=list)  # (rev.., last column, key, rev)
    inserts: list[Values] = field(default_factory=list)  # all columns


class Net:
    """The net effect of a batch on the tables."""

    def __init__(self, batch: Iterable[Entry], seal: Seal, server_id: str) -> None:
        self._seal, self._server_id = seal, server_id
        self._changes: dict[type[Row], Changes] = {RequestRow: {}, JobRow: {}, WorkerRow: {}}
        self._unknown_jobs: set[int] = set()
        # Jobs of requests that go; boards that go; jobs whose tunnel is closed.
        self.dropped_jobs: list[Values] = []
        self.removed_workers: list[Values] = []
        for entry in batch:
            for change in entry.transaction:
                if isinstance(change, Write):
                    self._put(type(change.row), change.row[0], change.was, change.row)
                else:
                    self._put(change.kind, change.id, change.was, None)
                    self._gone(change.kind, change.id)
        self.closed_tunnels: list[Values] = [(key,) for key in self._closed()]

    def _put(self, kind: type[Row], key: Any, was: int, row: Row | None) -> None:
        changes = self._changes[kind]
        first = changes.get(key)
        changes[key] = (was if first is None else first[0], row)

    def _gone(self, kind: type[Row], key: Any) -> None:
        jobs = self._changes[JobRow]
        if kind is RequestRow:
            jobs.pop(key, None)
            self.dropped_jobs.append((key,))
        else:
            self.removed_workers.append((key,))
            for number, (_, job) in jobs.items():
                if isinstance(job, JobRow) and job.worker_uuid == key:
                    self._unknown_jobs.add(number)

    def _closed(self) -> list[int]:
        ended = [
            key
            for key, (was, row) in self._changes[RequestRow].items()
            if isinstance(row, RequestRow) and row.state.ended and was
        ]
        over = [
            key
            for key, (was, row) in self._changes[JobRow].items()
            if isinstance(row, JobRow) and row.ended_at is not None and was
        ]
        return [*ended, *over]

    def parts(self, kind: type[Row]) -> Parts:
        """The changes of one table."""
        columns = TABLES[kind]
        found = Parts(columns)
        for key, (was, row) in self._changes[kind].items():
            if row is None:
                if was:
                    found.deletes.append((key, was))
                continue
            values = columns.encode(row, self._seal)
            if was:
                found.updates.append((*values[1:], values[0], was))
            else:
                found.inserts.append((*values, *self._more(row)))
        return found

    def _more(self, row: Row) -> Values:
        """What only an insert sets: see `MORE_COLUMNS`."""
        match row:
            case JobRow():
                _, holder = self._changes[RequestRow].get(row.request_id, (0, None))
                over = isinstance(holder, RequestRow) and holder.state.ended
                open_ = row.tunnel_port and row.ended_at is None and not over
                known = row.request_id not in self._unknown_jobs
                return (self._server_id, int(bool(open_)), int(known))
            case WorkerRow():
                return (self._server_id,)
            case _:
                return ()


MORE_COLUMNS: dict[type[Row], tuple[str, ...]] = {
    RequestRow: (),
    JobRow: ("server_id", "tunnel_open", "known"),
    WorkerRow: ("server_id",),
}
