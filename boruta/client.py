"""The blocking client: one facade over any `AsyncRequests` and `AsyncWorkers`.

A client may be used from any number of threads, and in Jupyter: its loop runs in a daemon thread
of its own. Ctrl-C ends a call that waits.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boruta import aio
from boruta.blocking import BlockingRequests, BlockingWorkers
from boruta.closing import Closing
from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.history import Event, History
from boruta.domain.interfaces import AsyncRequests, AsyncWorkers
from boruta.domain.ports import Feed, Subscription
from boruta.domain.types import Priority, ReqID, WorkerUUID
from boruta.loops import LoopThread
from boruta.watching import LocalFeed

if TYPE_CHECKING:
    from boruta.delivery import Delivery, Lane
    from boruta.reservation import Reservation

__all__ = ["Client", "connect"]

_open: set[Client] = set()  # those never closed are closed at exit


class Client(BlockingRequests, BlockingWorkers, Closing):
    """A user's way to a server; made by `connect` or by a `Farm`, closed by `close` or `with`.

    Every method raises ShuttingDown once the client is closed.
    """

    def __init__(self, core: aio.Client, loop: LoopThread) -> None:
        self._core = core
        self._loop = loop
        self._delivery: Delivery | None = None
        BlockingRequests.__init__(self, loop, lambda: core.requests)
        BlockingWorkers.__init__(self, loop, lambda: core.workers)
        self._requests = BlockingRequests(loop, lambda: core.requests)
        self._workers = BlockingWorkers(loop, lambda: core.workers)

    @classmethod
    def in_process(
        cls,
        requests: AsyncRequests,
        workers: AsyncWorkers,
        loop: asyncio.AbstractEventLoop,
        *,
        feed: Feed | None = None,
        info: Callable[[], Mapping[str, Any]] | None = None,
        history: History | None = None,
    ) -> Client:
        """A client of an engine in this process; `loop` is the engine's, and outlives it.

        Args:
            requests: the engine's requests for one caller.
            workers: its workers for the same.
            loop: where they run.
            feed: the engine's changes; None: reservations are watched by asking.
            info: gives the engine's facts.
            history: reads the engine's history; None: there is none.
        """

        async def facts() -> Mapping[str, Any]:
            return {} if info is None else dict(info())

        core = aio.Client(
            requests,
            workers,
            feed=None if feed is None else LocalFeed(feed),
            info=facts,
            history=history,
        )
        return cls(core, LoopThread(loop))

    @property
    def requests(self) -> BlockingRequests:
        """The seed's Requests."""
        return self._requests

    @property
    def workers(self) -> BlockingWorkers:
        """The seed's Workers."""
        return self._workers

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
    ) -> Reservation:
        """A board with these capabilities, to be closed after use (``with`` does it).

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
        from boruta.reservation import Reservation

        async def make() -> Any:
            return await self._core.reserve(
                caps,
                timeout=timeout,
                priority=priority,
                job_timeout=job_timeout,
                groups=groups,
                note=note,
                bound=bound,
                unservable=unservable,
                valid_after=valid_after,
                deadline=deadline,
            )

        return Reservation(self._loop.call(make, undo=lambda held: held.close()), self._loop)

    def attach(self, req_id: ReqID, *, timeout: float | None = None) -> Reservation:
        """The board of a request that exists; closing it leaves the request as it is.

        Raises:
            WorkerNotAssigned: the request has ended.
            TimedOut: it still waits after `timeout` seconds.
        """
        from boruta.reservation import Reservation

        async def make() -> Any:
            return await self._core.attach(req_id, timeout=timeout)

        return Reservation(self._loop.call(make, undo=lambda held: held.close()), self._loop)

    # --- the server
    def subscribe(
        self,
        deliver: Callable[[Change], None],
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
    ) -> Subscription:
        """Calls `deliver` with each change, on a thread that may call this client.

        One that is too slow gets a `Gap`. `close()` of what is returned ends it.
        """
        from boruta.delivery import Delivery

        if self._delivery is None:
            self._delivery = Delivery()
        lane = self._delivery.lane(deliver)
        inner = self._loop.call(lambda: self._core.subscribe(lane.put, kinds, requests, workers))
        return _Subscribed(self._loop, inner, lane)

    def info(self) -> Mapping[str, Any]:
        """Plain facts about the server."""
        return self._loop.call(self._core.info)

    def history(
        self,
        *,
        request: ReqID | None = None,
        worker: WorkerUUID | None = None,
        before: int | None = None,
        limit: int = defaults.HISTORY_PAGE,
    ) -> Sequence[Event]:
        """The newest events of a request, of a board, or of all; the oldest of them first.

        Args:
            request: of this request only.
            worker: of this board only.
            before: only those with an `id` below it: what a page before left off.
            limit: how many at most, up to 200.

        Raises:
            ActionRefused: the server keeps no history.
            StoreUnavailable: it cannot be read now.
        """
        return self._loop.call(
            lambda: self._core.history(request=request, worker=worker, before=before, limit=limit)
        )

    # --- the end
    def close(self) -> None:
        """Gives bound boards back and closes the connection; idempotent, also from atexit."""
        _open.discard(self)
        if not self._loop.usable:
            return
        try:
            self._loop.call(self._core.close)
        finally:
            self._loop.stop()
            if self._delivery is not None:
                self._delivery.close()


class _Subscribed:
    def __init__(self, loop: LoopThread, inner: Subscription, lane: Lane) -> None:
        self._loop = loop
        self._inner = inner
        self._lane = lane

    def close(self) -> None:
        self._lane.close()
        self._loop.tell(self._inner.close)


def connect(
    url: str | Sequence[str] | None = None,
    *,
    server_key: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    timeout: float | None = aio.CONNECT_WITHIN_S,
    data: str | os.PathLike[str] | None = None,
) -> Client:
    """Connects to a server.

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

    async def make() -> aio.Client:
        return await aio.connect(
            url, server_key=server_key, key=key, profile=profile, timeout=timeout, data=data
        )

    loop = LoopThread()
    try:
        client = Client(loop.call(make, undo=lambda core: core.close()), loop)
    except BaseException:
        loop.stop()
        raise
    _open.add(client)
    return client


@atexit.register
def _close_all() -> None:
    for client in tuple(_open):
        client.close()
