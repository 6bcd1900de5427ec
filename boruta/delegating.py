"""The methods of `AsyncRequests` and `AsyncWorkers`, on one object that has both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from boruta.domain.interfaces import AsyncRequests, AsyncWorkers, WorkerListFilter
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Check,
    Groups,
    ListFilter,
    ListInfo,
    Page,
    Priority,
    Prolonged,
    ReqID,
    ReqInfo,
    SortInfo,
    UserInfo,
    WorkerInfo,
    WorkerState,
    WorkerUUID,
)


class Delegating:
    """Passes each call on to its `requests` or `workers`."""

    @property
    def requests(self) -> AsyncRequests:
        """The seed's Requests, as coroutines."""
        raise NotImplementedError

    @property
    def workers(self) -> AsyncWorkers:
        """The seed's Workers, as coroutines."""
        raise NotImplementedError

    # --- Requests
    async def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority,
        owner: UserInfo = NOBODY,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        *,
        job_timeout: float | None = None,
        note: str = "",
        token: str | None = None,
        bound: bool = False,
        unservable: str | None = None,
    ) -> ReqID:
        """Queues a request; the id is given after the store has it."""
        return await self.requests.new_request(
            caps,
            priority,
            owner,
            valid_after,
            deadline,
            job_timeout=job_timeout,
            note=note,
            token=token,
            bound=bound,
            unservable=unservable,
        )

    async def close_request(self, req_id: ReqID) -> None:
        """Cancels what waits, ends what runs."""
        await self.requests.close_request(req_id)

    async def update_request(self, req_info: ReqInfo) -> None:
        """Changes priority, valid_after and deadline of a waiting request."""
        await self.requests.update_request(req_info)

    async def get_request_info(self, req_id: ReqID) -> ReqInfo:
        """The request."""
        return await self.requests.get_request_info(req_id)

    async def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]:
        """The requests that match."""
        return await self.requests.list_requests(filter, sort, page)

    async def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        """Waits while the request waits, then tells how to reach its board."""
        return await self.requests.acquire_worker(req_id, timeout)

    async def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits."""
        return await self.requests.prolong_access(req_id, token=token)

    # --- Workers
    async def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]:
        """The workers that match."""
        return await self.workers.list_workers(filter, sort, page)

    async def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        return await self.workers.get_worker_info(uuid)

    async def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        """Sends the worker towards IDLE or MAINTENANCE; `drain` lets its job end first."""
        await self.workers.set_state(uuid, state, reason=reason, drain=drain)

    async def set_groups(self, uuid: WorkerUUID, groups: Groups | Sequence[str]) -> None:
        """Replaces the worker's groups."""
        await self.workers.set_groups(uuid, groups)

    async def check(self, uuid: WorkerUUID) -> tuple[Check, ...]:
        """Runs the agent's healthcheck now."""
        return await self.workers.check(uuid)

    async def deregister(self, uuid: WorkerUUID) -> None:
        """Forgets a worker in MAINTENANCE or FAILED."""
        await self.workers.deregister(uuid)
