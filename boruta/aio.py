"""The client as coroutines: `connect`, `Client`, `Reservation`, `Farm`.

::

    async with connect() as client, client.reserve({"arch": "x86_64"}) as board:
        print((await board.run("uname -a")).stdout)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from boruta.delegating import Delegating
from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.errors import BadRequest, ShuttingDown
from boruta.domain.history import Event, History
from boruta.domain.interfaces import AsyncRequests, AsyncWorkers
from boruta.domain.ports import Subscription
from boruta.domain.types import (
    Priority,
    ReqID,
    UserInfo,
    WorkerUUID,
)
from boruta.opening import Opening
from boruta.watching import AsyncFeed, Watch

if TYPE_CHECKING:
    from boruta.aiofarm import Farm
    from boruta.holding import Reservation

__all__ = ["Client", "Farm", "Reservation", "connect"]

# In a program of somebody else's nothing is said unless he wants it.
logging.getLogger("boruta").addHandler(logging.NullHandler())

CONNECT_WITHIN_S: Final = 10.0
_RELEASE_WITHIN_S: Final = 3.0  # at close: a server that does not answer frees by its lease


class Client(Delegating):
    """One user of a server, or of an engine in this process. Used on one loop.

    Args:
        requests: the user's requests.
        workers: the workers as the user sees them.
        feed: who tells of changes; None: reservations are watched by asking.
        info: gives the server's facts.
        history: reads the server's history; None: there is none.
        on_close: closes the connection.
    """

    def __init__(
        self,
        requests: AsyncRequests,
        workers: AsyncWorkers,
        *,
        feed: AsyncFeed | None = None,
        info: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
        history: History | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._requests = requests
        self._workers = workers
        self._feed = feed
        self._info = info
        self._history = history
        self._on_close = on_close
        self._closed = False
        self._reservations: set[Reservation] = set()
        self._subscriptions: set[Subscription] = set()
        self.watch: Final = Watch(requests, feed)

    @property
    def requests(self) -> AsyncRequests:
        """The seed's Requests, as coroutines."""
        self._check_open()
        return self._requests

    @property
    def workers(self) -> AsyncWorkers:
        """The seed's Workers, as coroutines."""
        self._check_open()
        return self._workers

    def _check_open(self) -> None:
        if self._closed:
            raise ShuttingDown("the client is closed: connect() anew")

    # --- a board, from asking to giving back
    def reserve(
        self,
        caps: Mapping[str, str],
        *,
        timeout: float | None = None,
        priority: Priority = defaults.PRIORITY,
        job_timeout: float | None = None,
        groups: Sequence[str] = (),
        note: str = "",
        bound: bool = True,
        unservable: str | None = None,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
    ) -> Opening[Reservation]:
        """A board with these capabilities: ``await`` it, or ``async with`` it.

        Args:
            caps: what the board must have, by the grammar of capabilities.
            timeout: seconds to wait for a board; None: as long as it takes.
            priority: 1 (most important) .. 16.
            job_timeout: seconds that the job may take.
            groups: worker groups that may serve it; none: any.
            note: what it is for, shown in lists.
            bound: it ends with this client's session.
            unservable: what becomes of a request that no known board could serve: "wait",
                "invalid" or "refuse"; None: as the server is set.
            valid_after: not before; aware UTC.
            deadline: no longer wanted then; aware UTC.

        Raises:
            TimedOut: no board came within `timeout`, or before the deadline.
            Unservable: no known board could ever serve it.
        """
        from boruta.reserving import reserve

        async def make() -> Reservation:
            self._check_open()
            return await reserve(
                self,
                caps,
                timeout=timeout,
                priority=priority,
                owner=UserInfo(groups=tuple(groups)),
                job_timeout=job_timeout,
                note=note,
                bound=bound,
                unservable=unservable,
                valid_after=valid_after,
                deadline=deadline,
            )

        return Opening(make)

    def attach(self, req_id: ReqID, *, timeout: float | None = None) -> Opening[Reservation]:
        """The board of a request that exists; closing it leaves the request as it is.

        Raises:
            WorkerNotAssigned: the request has ended.
            TimedOut: it still waits after `timeout` seconds.
        """
        from boruta.reserving import attach

        async def make() -> Reservation:
            self._check_open()
            return await attach(self, req_id, timeout)

        return Opening(make)

    def keep(self, reservation: Reservation) -> None:
        """The reservation ends with the client."""
        self._reservations.add(reservation)

    def drop(self, reservation: Reservation) -> None:
        """The reservation has ended."""
        self._reservations.discard(reservation)

    # --- the server
    async def subscribe(
        self,
        deliver: Callable[[Change], None],
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
    ) -> Subscription:
        """Calls `deliver` on this loop with each change; `close()` of the answer ends it.

        Raises:
            BadRequest: this client has no feed.
            Busy: the key has as many subscriptions as are allowed.
        """
        self._check_open()
        if self._feed is None:
            raise BadRequest("this client was made without a feed of changes")
        inner = await self._feed.subscribe(deliver, kinds=kinds, requests=requests, workers=workers)
        return _Subscribed(inner, self._subscriptions)

    async def info(self) -> Mapping[str, Any]:
        """Plain facts about the server."""
        self._check_open()
        return {} if self._info is None else await self._info()

    async def history(
        self,
        *,
        request: ReqID | None = None,
        worker: WorkerUUID | None = None,
        before: int | None = None,
        limit: int = defaults.HISTORY_PAGE,
    ) -> Sequence[Event]:
        """Who did what, when and why; see `boruta.domain.history.History`."""
        self._check_open()
        if self._history is None:
            return ()
        return await self._history(request=request, worker=worker, before=before, limit=limit)

    # --- the end
    async def close(self) -> None:
        """Gives bound boards back and closes the connection; idempotent."""
        if self._closed:
            return
        held = [one.end() for one in tuple(self._reservations)]
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_WITHIN_S):
                await asyncio.gather(*held, return_exceptions=True)
        self.watch.close()
        for subscription in tuple(self._subscriptions):
            subscription.close()
        if self._on_close is not None:
            await self._on_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Subscribed:
    def __init__(self, inner: Subscription, among: set[Subscription]) -> None:
        self._inner = inner
        self._among = among
        among.add(self)

    def close(self) -> None:
        self._among.discard(self)
        self._inner.close()


def connect(
    url: str | Sequence[str] | None = None,
    *,
    server_key: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    timeout: float | None = CONNECT_WITHIN_S,
    data: str | os.PathLike[str] | None = None,
) -> Opening[Client]:
    """A client of a server: ``await`` it, or ``async with`` it.

    What is not given comes from the environment, the client's config file, or the data directory
    of a server on this machine (see `boruta.connecting`).

    Args:
        url: address(es) of the server, e.g. ``tcp://farm:7175``.
        server_key: the server's public key, 40 characters or a file.
        key: the file of the user's own key (``NAME.key_secret``).
        profile: a name in the client's config file.
        timeout: seconds within which the server must have answered.
        data: the data directory of a server on this machine.

    Raises:
        Unreachable: no server there; the text says what was looked at and what to do.
        NotPermitted: the server does not admit the key.
        BadConfig: a file or value that cannot be used.
    """
    from boruta.connecting import find, open_client

    async def make() -> Client:
        found = find(url, server_key, key, profile, data, os.environ)
        return await open_client(found, timeout)

    return Opening(make)


def __getattr__(name: str) -> Any:
    if name == "Reservation":
        from boruta.holding import Reservation

        return Reservation
    if name == "Farm":
        from boruta.aiofarm import Farm

        return Farm
    raise AttributeError(f"module 'boruta.aio' has no attribute {name!r}")
