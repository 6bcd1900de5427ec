"""The ports through which the engine meets the world: agents, peers, time, access, the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from boruta.domain.changes import Change
from boruta.domain.commands import Command, CommandReply
from boruta.domain.errors import BorutaError, NotLeader, StoreUnavailable
from boruta.domain.history import Event, History
from boruta.domain.interfaces import AsyncRequests, AsyncSuperviser, AsyncWorkers
from boruta.domain.rows import Conflict, JobRow, RequestRow, Transaction, WorkerRow
from boruta.domain.slices import Sliced
from boruta.domain.types import (
    Caller,
    ListFilter,
    ListInfo,
    Page,
    ReqID,
    ReqInfo,
    SortInfo,
    WorkerUUID,
)


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
        """Tells the agent why, and ends the connection."""
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

    @property
    def history(self) -> History:
        """Who did what; whoever may see requests and boards may see that."""
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


class Endpoint(NamedTuple):
    """Where a tunnel listens on the server."""

    host: str
    port: int


class Access(Protocol):
    """Ways to a board: a port is reserved before the claim, opened after it, closed with it."""

    def reserve(self) -> Endpoint:
        """Takes a port; connections are refused until `open`."""
        ...

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Forwards to `target` (host:port) from now on.

        One that is open stays as it is; one of an earlier life of the server is reserved again.
        """
        ...

    def close(self, endpoint: Endpoint) -> None:
        """Gives the port back and cuts every connection; idempotent."""
        ...


class Store(Protocol):
    """What outlives the process: an image in memory that answers at once, and is written behind.

    Each accepted transaction has a position, 1, 2, ...; they are written in this order, so a
    crash leaves a beginning of it.

    Attributes:
        name: where it is, for a person.
        survives: whether a restart finds anything.
        position: of the last accepted transaction.
        written: up to which position all outlives a crash.
        unwell: why nothing can be written now; None: it can.
        full: so much waits to be written that nothing new may be begun.
        deposed: another server writes: nothing will be written any more, and whoever runs the
            engine has to stop it.
    """

    name: str
    survives: bool

    @property
    def position(self) -> int: ...

    @property
    def written(self) -> int: ...

    @property
    def unwell(self) -> StoreUnavailable | None: ...

    @property
    def full(self) -> bool: ...

    @property
    def deposed(self) -> NotLeader | None: ...

    def when_written(self, position: int, then: Callable[[], None]) -> None:
        """Calls `then` on the engine's thread once `written` has reached `position`.

        In the order of positions, those of one position in the order of the calls.
        """
        ...

    def on_health(self, told: Callable[[], None]) -> None:
        """Calls `told` on the engine's thread each time `unwell`, `full` or `deposed` changed."""
        ...

    def history(
        self, request: ReqID | None, worker: WorkerUUID | None, before: int | None, limit: int
    ) -> Sequence[Event]:
        """The newest events, the oldest of them first; may block, for any thread."""
        ...

    def close(self, within_s: float) -> bool:
        """Writes what waits, for so long at most, and closes; whether all was written.

        May block, for any thread. Nothing is committed afterwards.
        """
        ...

    def next_request(self) -> ReqID:
        """An id that never comes again."""
        ...

    def next_seq(self) -> int:
        """A place at the queue's end."""
        ...

    def commit(self, transaction: Transaction, by: str = "") -> Conflict | None:
        """Applies all of it, or nothing and tells the first row that stood in the way.

        `by` is who asked for it, for the history.
        """
        ...

    def request(self, req_id: ReqID) -> RequestRow | None:
        """The request's row."""
        ...

    def job(self, req_id: ReqID) -> JobRow | None:
        """The request's job."""
        ...

    def live_job(self, uuid: WorkerUUID) -> JobRow | None:
        """The job whose session on this board is not surely over; there is one at most."""
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

    def page_of_requests(
        self,
        filter: ListFilter | None,
        sort: SortInfo | None,
        page: Page | None,
        describe: Callable[[RequestRow], ReqInfo],
    ) -> Sliced[tuple[list[RequestRow], ListInfo]]:
        """A page of the requests that match, in slices; see `listing.page_of_requests`."""
        ...

    def workers(self) -> Sequence[WorkerRow]:
        """All workers, by uuid."""
        ...
