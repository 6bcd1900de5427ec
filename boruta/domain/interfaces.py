"""The seed's four interfaces.

`Requests`, `Workers`, `Superviser` and `Dryad` block, as in the seed. Inside, the same methods
are coroutines (`AsyncRequests`, `AsyncWorkers`), and one facade makes the former of the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from boruta.domain.types import (
    AccessInfo,
    Check,
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

if TYPE_CHECKING:
    from boruta.domain.commands import Registered, Registration
    from boruta.domain.ports import DryadPort


class WorkerListFilter(Protocol):
    """Chooses workers of a list."""

    def match(self, worker: WorkerInfo) -> bool:
        """Whether the worker belongs to the list."""
        ...


class Requests(Protocol):
    """A user's dealings with the queue. Times are aware UTC, durations seconds."""

    def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority,
        owner: UserInfo = ...,
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
        ...

    def close_request(self, req_id: ReqID) -> None:
        """Cancels what waits, ends what runs."""
        ...

    def update_request(self, req_info: ReqInfo) -> None:
        """Changes priority, valid_after and deadline of a waiting request."""
        ...

    def get_request_info(self, req_id: ReqID) -> ReqInfo:
        """The request."""
        ...

    def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]:
        """The requests that match."""
        ...

    def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        """Waits while the request waits, then tells how to reach its board."""
        ...

    def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits."""
        ...


class Workers(Protocol):
    """What users see of workers and admins do to them."""

    def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]:
        """The workers that match."""
        ...

    def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        ...

    def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        """Sends the worker towards IDLE or MAINTENANCE; `drain` lets its job end first."""
        ...

    def set_groups(self, uuid: WorkerUUID, groups: Sequence[str]) -> None:
        """Replaces the worker's groups."""
        ...

    def check(self, uuid: WorkerUUID) -> tuple[Check, ...]:
        """Runs the agent's healthcheck now."""
        ...

    def deregister(self, uuid: WorkerUUID) -> None:
        """Forgets a worker in MAINTENANCE or FAILED."""
        ...


class AsyncRequests(Protocol):
    """`Requests` as coroutines."""

    async def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority,
        owner: UserInfo = ...,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        *,
        job_timeout: float | None = None,
        note: str = "",
        token: str | None = None,
        bound: bool = False,
        unservable: str | None = None,
    ) -> ReqID: ...
    async def close_request(self, req_id: ReqID) -> None: ...
    async def update_request(self, req_info: ReqInfo) -> None: ...
    async def get_request_info(self, req_id: ReqID) -> ReqInfo: ...
    async def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]: ...
    async def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo: ...
    async def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged: ...


class AsyncWorkers(Protocol):
    """`Workers` as coroutines."""

    async def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]: ...
    async def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo: ...
    async def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None: ...
    async def set_groups(self, uuid: WorkerUUID, groups: Sequence[str]) -> None: ...
    async def check(self, uuid: WorkerUUID) -> tuple[Check, ...]: ...
    async def deregister(self, uuid: WorkerUUID) -> None: ...


class Superviser(Protocol):
    """What a worker tells the server (the seed's; `register` gives the whole Registration)."""

    def register(self, registration: Registration) -> Registered:
        """Makes the worker known, or tells of its return."""
        ...

    def set_fail(self, uuid: WorkerUUID, reason: str) -> None:
        """Reports the worker as failed."""
        ...


class AsyncSuperviser(Protocol):
    """`Superviser` as coroutines; the server's edge passes the agent's connection along."""

    async def register(self, registration: Registration, port: DryadPort) -> Registered: ...
    async def set_fail(self, uuid: WorkerUUID, reason: str) -> None: ...


class Dryad(Protocol):
    """A board's agent, as the seed has it."""

    def put_in_maintenance(self, msg: str) -> None:
        """Shows `msg` on the board and ends every session."""
        ...

    def prepare(self, key: str) -> None:
        """Ends every session, cleans up and lets `key` (an OpenSSH public key line) in."""
        ...

    def healthcheck(self) -> tuple[Check, ...]:
        """Tells how the board is."""
        ...
