"""What a durable store asks of a database, as plain data: nothing here knows SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from boruta.domain.history import Event
from boruta.domain.rows import JobRow, RequestRow, Row, Transaction, WorkerRow
from boruta.domain.types import ReqID, WorkerUUID


class Entry(NamedTuple):
    """One accepted transaction of the log.

    `position` counts them from 1 without a hole; `before` has the row that each change found;
    `last_id` and `last_seq` are the highest given out by then; `by` says who asked for it.
    """

    position: int
    transaction: Transaction
    before: tuple[Row | None, ...]
    last_id: ReqID
    last_seq: int
    at: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """All that a database has kept.

    `lost_keys` names the rows whose private key cannot be read with the store key at hand: there
    `key` (or `prepared_key`) is empty.
    """

    requests: Sequence[RequestRow] = ()
    jobs: Sequence[JobRow] = ()
    workers: Sequence[WorkerRow] = ()
    last_id: ReqID = 0
    last_seq: int = 0
    position: int = 0
    server_epochs: Mapping[str, int] = field(default_factory=dict)
    lost_keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Who writes: `id` is the same in each life of this server."""

    id: str = "local"
    address: str = ""
    software: str = ""


class Backend(Protocol):
    """A database below the writer. One thread at a time uses it, but for `interrupt`.

    Each method raises StoreUnavailable (its text has the reason; trying again may help) or
    NotLeader (another server writes; nothing will help).
    """

    name: str

    def lead(self) -> int:
        """Takes the lead over whoever had it; the new leader epoch, which no other life has."""
        ...

    def load(self) -> Image:
        """All that is kept."""
        ...

    def apply(self, batch: Sequence[Entry], first_position: int, leader_epoch: int) -> None:
        """Commits the batch as one transaction.

        To be called again with the same batch if the outcome is unknown: what is there already is
        left as it is.
        """
        ...

    def prune(self, before: datetime, keep: int, most: int, leader_epoch: int) -> int:
        """Deletes some of the oldest events: at most `most`, those from before `before` and those
        beyond the newest `keep`. How many it were."""
        ...

    def history(
        self, request: ReqID | None, worker: WorkerUUID | None, before: int | None, most: int
    ) -> Sequence[Event]:
        """The newest events below `before`, at most `most`; from any thread, beside the writer."""
        ...

    def interrupt(self) -> None:
        """Makes a call that hangs fail, if that is possible; from another thread."""
        ...

    def close(self) -> None:
        """Closes what is open; idempotent."""
        ...
