"""The seed's four interfaces, and the ports through which the engine meets the world.

`Requests`, `Workers`, `Superviser` and `Dryad` block, as in the seed. Inside, the same methods
are coroutines (`AsyncRequests`, `AsyncWorkers`), and one facade makes the former of the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from boruta.domain.changes import Change
from boruta.domain.commands import Command, CommandReply, Registered, Registration
from boruta.domain.errors import BorutaError
from boruta.domain.rows import Conflict, JobRow, RequestRow, Transaction, WorkerRow
from boruta.domain.types import (
    AccessInfo,
    Caller,
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


class DryadPort(Protocol):
    """One connection to an agent. Each reply comes back once, by `on_reply`."""

    def send(
        self,
        command: Command,
        within_s: float,
        on_reply: Callable[[CommandReply | BorutaError], None],
    ) -> None:
        """Sends `command`.

        No answer within `within_s` is a TimedOut, a lost connection an Unreachable.
        """
        ...

    def ping(self, within_s: float, on_reply: Callable[[bool], None]) -> None:
        """Asks for a sign of life."""
        ...

    def cut(self, reason: str) -> None:
        """Ends the connection."""
        ...


class Subscription(Protocol):
    """Who watches changes."""

    def close(self) -> None:
        """Ends it."""
        ...


class Feed(Protocol):
    """Changes for those who watch."""

    def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
        after_seq: str | None = None,
    ) -> tuple[str, Subscription]:
        """Delivers each change from now (or from after `after_seq`) on; the present seq."""
        ...


class Front(Protocol):
    """The engine as the transport sees it: ports made for one caller, and news of connections."""

    def requests(self, caller: Caller, reached_at: str = "") -> AsyncRequests:
        """Requests as `caller` may use them; `reached_at` is the host by which he came."""
        ...

    def workers(self, caller: Caller) -> AsyncWorkers:
        """Workers as `caller` may use them."""
        ...

    def superviser(self, caller: Caller) -> AsyncSuperviser:
        """The superviser, for a worker's key."""
        ...

    def feed(self, caller: Caller) -> Feed:
        """Changes that `caller` may see."""
        ...

    def session_opened(self, caller: Caller) -> bool:
        """A client's session has a connection; whether what it held was kept."""
        ...

    def session_lost(self, caller: Caller) -> None:
        """A client's session has no connection now; its lease begins to run."""
        ...

    def worker_lost(self, uuid: WorkerUUID, port: DryadPort) -> None:
        """An agent's connection is gone."""
        ...

    def worker_heard(self, uuid: WorkerUUID, port: DryadPort) -> None:
        """An agent gave a sign of life."""
        ...

    def info(self) -> Mapping[str, object]:
        """Plain facts for `server.info`."""
        ...


class Clock(Protocol):
    """Time is a port."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def utcnow(self) -> datetime:
        """Aware UTC, advanced by the monotonic clock."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tunnel listens on the server."""

    host: str
    port: int


class Access(Protocol):
    """Ways to a board: a port is reserved before the claim, opened after it, closed with it."""

    def reserve(self) -> Endpoint:
        """Takes a port; connections are refused until `open`."""
        ...

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Forwards to `target` (host:port) from now on."""
        ...

    def close(self, endpoint: Endpoint) -> None:
        """Gives the port back and cuts every connection; idempotent."""
        ...


class Store(Protocol):
    """What outlives the process. Each call is one blocking transaction.

    `survives` says whether a restart finds anything.
    """

    survives: bool

    def next_request(self) -> ReqID:
        """An id that never comes again."""
        ...

    def next_seq(self) -> int:
        """A place at the queue's end."""
        ...

    def commit(self, transaction: Transaction) -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way."""
        ...

    def request(self, req_id: ReqID) -> RequestRow | None:
        """The request's row."""
        ...

    def job(self, req_id: ReqID) -> JobRow | None:
        """The request's job."""
        ...

    def worker(self, uuid: WorkerUUID) -> WorkerRow | None:
        """The worker's row."""
        ...

    def by_token(self, owner: str, token: str) -> RequestRow | None:
        """The live request that this owner made with this token."""
        ...

    def requests(self) -> Sequence[RequestRow]:
        """All requests, by id."""
        ...

    def workers(self) -> Sequence[WorkerRow]:
        """All workers, by uuid."""
        ...


GroupsLike = Groups | Sequence[str]
