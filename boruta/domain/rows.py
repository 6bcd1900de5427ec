"""What the store keeps of requests, workers and jobs (SAFETY, D), and how it is changed.

Every row has a `rev`. A change names the rev that was read; the store refuses it if the row has
another one by now. A transaction is applied whole or not at all.

Rows are named tuples: a frozen dataclass of as many fields takes four times as long to make and to
copy, and each job makes a dozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from boruta.domain.quick import quick_replace
from boruta.domain.types import (
    NO_CAPS,
    Capabilities,
    Epoch,
    Groups,
    Priority,
    ReqID,
    ReqState,
    WorkerState,
    WorkerUUID,
)


def _shown(row: JobRow | WorkerRow, secret: str) -> str:
    """The row without the private key in it, which must not get into a log."""
    pairs = zip(row._fields, row, strict=True)
    shown = ", ".join(f"{name}={value!r}" for name, value in pairs if name != secret)
    return f"{type(row).__name__}({shown})"


class RequestRow(NamedTuple):
    """A request. `queue_seq` is its place: lower is earlier; the store gives it out."""

    id: ReqID
    rev: int
    state: ReqState
    priority: Priority
    queue_seq: int
    caps: Capabilities
    valid_after: datetime
    deadline: datetime
    job_timeout_s: float
    created: datetime
    owner_name: str = ""
    owner_groups: Groups = ()
    note: str = ""
    token: str | None = None
    body_hash: bytes = b""
    session: bytes = b""
    bound: bool = False
    reason: str = ""
    reason_code: str = ""
    started: datetime | None = None
    ended: datetime | None = None


class ProlongedBy(NamedTuple):
    """A prolong that bore a token, and what it was answered: `number` is how many there were."""

    name: str  # of the key: a token belongs to it
    token: str
    ends_at: datetime
    number: int


class JobRow(NamedTuple):
    """The one job of a request. `ended_at` is set only when its session is surely over (A4)."""

    request_id: ReqID
    rev: int
    worker_uuid: WorkerUUID
    board_epoch: int
    started: datetime
    ends_at: datetime
    end_rev: int
    key: str
    username: str
    host_keys: tuple[str, ...]
    tunnel_host: str
    tunnel_port: int
    acquired_at: datetime | None = None
    prolongs: int = 0
    prolonged_by: tuple[ProlongedBy, ...] = ()  # as many as there may be prolongs, at most
    ended_at: datetime | None = None
    end_reason: str = ""

    def __repr__(self) -> str:
        return _shown(self, "key")


class WorkerRow(NamedTuple):
    """A worker. The pair (server_epoch, board_epoch) is committed before a command bears it."""

    uuid: WorkerUUID
    rev: int
    state: WorkerState
    caps: Capabilities = NO_CAPS
    groups: Groups = ()
    server_epoch: int = 0
    board_epoch: int = 0
    owner_key: str = ""
    session: bytes = b""
    reason: str = ""
    reason_code: str = ""
    failures: int = 0
    short_jobs: int = 0
    failed_at: datetime | None = None
    since: datetime | None = None
    ssh_address: str = ""
    username: str = ""
    host_keys: tuple[str, ...] = ()
    prepared_key: str = ""
    drain: bool = False
    request_id: ReqID | None = None

    @property
    def epoch(self) -> Epoch:
        """The pair of epochs."""
        return Epoch(self.server_epoch, self.board_epoch)

    def __repr__(self) -> str:
        return _shown(self, "prepared_key")


Row: TypeAlias = RequestRow | JobRow | WorkerRow
for _kind in (RequestRow, JobRow, WorkerRow):
    _kind._replace = quick_replace(_kind)  # type: ignore[method-assign]


class Write(NamedTuple):
    """Insert or replace one row.

    `row.rev` is the new revision; `was` the one that was read, 0 for an insert.
    """

    row: Row
    was: int


class Remove(NamedTuple):
    """Delete a worker's row, or an ended request with its job."""

    kind: type[RequestRow] | type[WorkerRow]
    id: ReqID | WorkerUUID
    was: int


Transaction: TypeAlias = tuple[Write | Remove, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The transaction was refused, nothing was changed; `row` is what stands there now."""

    kind: type[Row]
    id: ReqID | WorkerUUID
    row: Row | None
