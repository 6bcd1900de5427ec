"""What a database has, read while no server runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from boruta.domain.rows import JobRow, RequestRow
from boruta.store.backend import ServerIdentity
from boruta.store.history import Event, read_history
from boruta.store.opening import open_backend

HISTORY_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows by request, and each one's history, oldest first."""

    requests: dict[int, RequestRow]
    jobs: dict[int, JobRow]
    history: dict[int, list[Event]] = field(default_factory=dict)


def read_kept(database: str, data: Path) -> Kept:
    """All of it."""
    backend = open_backend(database, data, ServerIdentity("tests"), lambda: datetime.now(UTC))
    engine: sa.Engine = backend.reading_engine()
    try:
        image = backend.load()
        history: dict[int, list[Event]] = {}
        for event in read_history(engine, most=HISTORY_MOST):
            if event.request_id is not None and not event.kind.startswith("worker."):
                history.setdefault(event.request_id, []).append(event)
    finally:
        engine.dispose()
        backend.close()
    return Kept(
        {row.id: row for row in image.requests},
        {row.request_id: row for row in image.jobs},
        history,
    )
