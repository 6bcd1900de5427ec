"""The history of requests and boards: who did what to what, when and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from boruta.domain.defaults import HISTORY_PAGE
from boruta.domain.types import ReqID, WorkerUUID


class Event(NamedTuple):
    """One line of the history.

    Attributes:
        at: when, UTC.
        kind: of what; see `KINDS`.
        request_id: of which request, if of one.
        worker_uuid: of which board, if of one.
        epoch: the board's key at that time (SAFETY, A2).
        old_state: the state before, if that changed.
        new_state: the state after.
        by: who did it: a key's name; empty if Boruta or time did.
        reason: why, for people; what changed and to what.
        id: rises; 0 for one that is not written yet.
    """

    at: datetime
    kind: str
    request_id: ReqID | None = None
    worker_uuid: WorkerUUID | None = None
    epoch: int | None = None
    old_state: str = ""
    new_state: str = ""
    by: str = ""
    reason: str = ""
    id: int = 0


KINDS: Final = (
    "request.created",
    "request.state",  # old and new state, why; the board, if it got one
    "request.changed",  # priority, valid_after or deadline; the reason has what it is now
    "job.acquired",  # the holder asked for his access for the first time
    "job.prolonged",  # the reason has the new end
    "job.over",  # nothing of the holder is left on the board
    "worker.registered",
    "worker.state",
    "worker.changed",  # capabilities, groups or key
    "worker.removed",
)


class History(Protocol):
    """Reads what was written."""

    async def __call__(
        self,
        *,
        request: ReqID | None = None,
        worker: WorkerUUID | None = None,
        before: int | None = None,
        limit: int = HISTORY_PAGE,
    ) -> Sequence[Event]:
        """The newest events of a request, of a board, or of all; the oldest of them first.

        Args:
            request: of this request only.
            worker: of this board only.
            before: only those with an `id` below it: what a page before left off.
            limit: how many at most, up to `HISTORY_PAGE`.

        Raises:
            ActionRefused: this server keeps no history.
            StoreUnavailable: it cannot be read now.
        """
        ...
