"""A store that lives as long as the process: nothing survives a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from boruta.domain.catalogue import Catalogue
from boruta.domain.errors import InternalLogicError, NotLeader, StoreUnavailable
from boruta.domain.history import Event
from boruta.domain.rows import (
    Conflict,
    JobRow,
    Remove,
    RequestRow,
    Row,
    Transaction,
    WorkerRow,
    Write,
)
from boruta.domain.slices import Sliced
from boruta.domain.types import (
    ListFilter,
    ListInfo,
    Page,
    ReqID,
    ReqInfo,
    ReqState,
    SortInfo,
    WorkerUUID,
)


class MemoryStore:
    """The `Store` port over dicts, with the rules of the real one: compare, then set all.

    Beside the revisions it refuses a second live job on a board and a second request with a token,
    as the database's unique indexes do (SAFETY, D); and a job on a board whose last holder's
    request is still IN PROGRESS, though his session is over.
    """

    name = "memory"
    survives = False
    position = written = 0  # there is nothing that could be written later
    unwell: StoreUnavailable | None = None
    full = False
    deposed: NotLeader | None = None

    def __init__(self) -> None:
        self._requests: dict[ReqID, RequestRow] = {}
        self._jobs: dict[ReqID, JobRow] = {}
        self._workers: dict[WorkerUUID, WorkerRow] = {}
        # Each row's first field is its key.
        self._tables: dict[type[Row], dict[Any, Any]] = {
            RequestRow: self._requests,
            JobRow: self._jobs,
            WorkerRow: self._workers,
        }
        self._tokens: dict[tuple[str, str], ReqID] = {}
        self._live_jobs: dict[WorkerUUID, ReqID] = {}
        self._lent_to: dict[WorkerUUID, ReqID] = {}  # last
        self._catalogue = Catalogue()
        self._last_id = 0
        self._last_seq = 0

    def when_written(self, position: int, then: Callable[[], None]) -> None:
        """At once."""
        then()

    def on_health(self, told: Callable[[], None]) -> None:
        """Memory is never unwell."""

    def history(
        self, request: ReqID | None, worker: WorkerUUID | None, before: int | None, limit: int
    ) -> Sequence[Event]:
        """None is kept."""
        return ()

    def close(self, within_s: float) -> bool:
        """There is nothing to write."""
        return True

    def next_request(self) -> ReqID:
        """An id that never comes again."""
        self._last_id += 1
        return self._last_id

    def next_seq(self) -> int:
        """A place at the queue's end."""
        self._last_seq += 1
        return self._last_seq

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way."""
        conflict = self.check(transaction)
        if conflict is None:
            self._apply(transaction)
        return conflict

    def _apply(self, transaction: Transaction) -> None:
        for change in transaction:
            if isinstance(change, Write):
                self._put(change.row)
            else:
                self._remove(change)

    def check(self, transaction: Transaction) -> Conflict | None:
        """The first row that stands in the way of it; changes nothing."""
        for change in transaction:
            row: Row | None = None
            if isinstance(change, Write):
                row = change.row
                kind, key = type(row), row[0]
            else:
                kind, key = change.kind, change.id
            there = self._tables[kind].get(key)
            if (0 if there is None else there.rev) != change.was:
                return Conflict(kind, key, there)
            if isinstance(row, RequestRow) and row.token is not None:
                twin = self._tokens.get((row.owner_name, row.token), row.id)
                if twin != row.id:
                    return Conflict(RequestRow, row.id, self._requests.get(twin))
            if isinstance(row, JobRow) and row.ended_at is None:
                other = self._live_jobs.get(row.worker_uuid)
                if other is not None and other != row.request_id:
                    return Conflict(JobRow, row.request_id, self._jobs.get(other))
                last = self._lent_to.get(row.worker_uuid, row.request_id)
                if last != row.request_id and self._in_progress(last):
                    return Conflict(JobRow, row.request_id, self._jobs.get(last))
        return None

    def _put(self, row: Row) -> None:
        if isinstance(row, WorkerRow):
            self._workers[row.uuid] = row
        elif isinstance(row, RequestRow):
            if self._catalogue.kept:
                self._catalogue.changed(row.id, self._requests.get(row.id))
            self._requests[row.id] = row
            if row.token is not None:
                self._tokens[row.owner_name, row.token] = row.id
        else:
            self._jobs[row.request_id] = row
            last = self._lent_to.get(row.worker_uuid)
            if last is None or not self._in_progress(last):
                self._lent_to[row.worker_uuid] = row.request_id
            if row.ended_at is None:
                self._live_jobs[row.worker_uuid] = row.request_id
            elif self._live_jobs.get(row.worker_uuid) == row.request_id:
                del self._live_jobs[row.worker_uuid]

    def _in_progress(self, req_id: ReqID) -> bool:
        row = self._requests.get(req_id)
        return row is not None and row.state is ReqState.INPROGRESS

    def _remove(self, change: Remove) -> None:
        if isinstance(change.id, str):
            del self._workers[change.id]
            self._lent_to.pop(change.id, None)
            return
        row = self._requests.pop(change.id)
        if self._catalogue.kept:
            self._catalogue.changed(change.id, row)
        job = self._jobs.pop(change.id, None)
        if job is not None and job.ended_at is None:
            raise InternalLogicError(f"request {change.id} was removed while its job is live")
        if row.token is not None:
            self._tokens.pop((row.owner_name, row.token), None)

    def request(self, req_id: ReqID) -> RequestRow | None:
        """The request's row."""
        return self._requests.get(req_id)

    def job(self, req_id: ReqID) -> JobRow | None:
        """The request's job."""
        return self._jobs.get(req_id)

    def live_job(self, uuid: WorkerUUID) -> JobRow | None:
        """The job whose session on this board is not surely over; there is one at most."""
        found = self._live_jobs.get(uuid)
        return None if found is None else self._jobs[found]

    def worker(self, uuid: WorkerUUID) -> WorkerRow | None:
        """The worker's row."""
        return self._workers.get(uuid)

    def by_token(self, owner: str, token: str) -> RequestRow | None:
        """The request that this owner made with this token, while it is kept."""
        found = self._tokens.get((owner, token))
        return None if found is None else self._requests[found]

    def requests(self) -> Sequence[RequestRow]:
        """All requests, by id."""
        return list(self._requests.values())

    def page_of_requests(
        self,
        filter: ListFilter | None,
        sort: SortInfo | None,
        page: Page | None,
        describe: Callable[[RequestRow], ReqInfo],
    ) -> Sliced[tuple[list[RequestRow], ListInfo]]:
        """A page of the requests that match, in slices; see `listing.page_of_requests`."""
        return self._catalogue.page(self._requests, filter, sort, page, describe)

    def workers(self) -> Sequence[WorkerRow]:
        """All workers, by uuid."""
        return [self._workers[uuid] for uuid in sorted(self._workers)]
