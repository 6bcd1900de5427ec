"""Keeps an eye on the requests that a client holds, so that a lost board is noticed at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from boruta.domain.changes import Change, Gap, RequestChanged
from boruta.domain.errors import BoardLost, BorutaError, NotFoundError
from boruta.domain.interfaces import AsyncRequests
from boruta.domain.ports import Feed, Subscription
from boruta.domain.types import ReqID, ReqInfo, WorkerUUID

POLL_S: Final = 10.0  # a net under the feed: nothing said in time is asked for
POLL_ALONE_S: Final = 2.0  # without a feed (none there, or all subscriptions taken)
KINDS: Final = ("ended", "out_of_reach", "back", "job_ending", "prolonged")

Notice = Callable[["ReqInfo | BorutaError", str], None]


class AsyncFeed(Protocol):
    """Changes, from afar or from this process."""

    async def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
    ) -> Subscription:
        """Delivers each change from now on, on the loop."""
        ...


class LocalFeed:
    """The feed of an engine on this loop, as an `AsyncFeed`."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
    ) -> Subscription:
        """Delivers each change from now on."""
        return self._feed.subscribe(deliver, kinds=kinds, requests=requests, workers=workers)[1]


@dataclass(slots=True)
class _Watched:
    notice: Notice
    told: ReqInfo | None = None


class Watch:
    """One subscription for all requests that a client holds; polls where there is none.

    Args:
        requests: whom to ask.
        feed: who tells; None: asking must do.
    """

    def __init__(self, requests: AsyncRequests, feed: AsyncFeed | None) -> None:
        self._requests = requests
        self._feed = feed
        self._watched: dict[ReqID, _Watched] = {}
        self._subscription: Subscription | None = None
        self._covered: frozenset[ReqID] = frozenset()
        self._subscribing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()

    async def add(self, req_id: ReqID, notice: Notice) -> None:
        """Tells `notice` of each change: (the request, the kind), or (an error, "gone")."""
        self._watched[req_id] = _Watched(notice)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        await self._subscribe()
        self._look.set()  # what happened before the subscription is asked for

    def remove(self, req_id: ReqID) -> None:
        """Tells no more of it."""
        self._watched.pop(req_id, None)
        if not self._watched:
            self.close()

    def close(self) -> None:
        """Tells no more of anything."""
        self._watched.clear()
        if self._subscription is not None:
            self._subscription.close()
            self._subscription, self._covered = None, frozenset()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _subscribe(self) -> None:
        """One subscription that covers all; the old one ends when the new one stands."""
        if self._feed is None:
            return
        async with self._subscribing:
            wanted = frozenset(self._watched)
            if not wanted or (self._subscription is not None and wanted <= self._covered):
                return
            try:
                fresh = await self._feed.subscribe(
                    self._deliver, kinds=KINDS, requests=sorted(wanted)
                )
            except BorutaError:
                return  # busy or out of reach: it asks meanwhile, and tries again
            old, self._subscription = self._subscription, fresh
            self._covered = wanted
            if old is not None:
                old.close()
            if not self._watched:
                self.close()

    def _deliver(self, change: Change) -> None:
        if isinstance(change, RequestChanged):
            self._tell(change.request, change.kind)
        elif isinstance(change, Gap):
            self._look.set()

    def _tell(self, info: ReqInfo, kind: str) -> None:
        watched = self._watched.get(info.id)
        if watched is None:
            return
        watched.told = info
        watched.notice(info, kind)

    async def _run(self) -> None:
        while True:
            every = POLL_ALONE_S if self._subscription is None else POLL_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._look.wait()
            self._look.clear()
            await self._subscribe()
            for req_id in tuple(self._watched):
                await self._ask(req_id)

    async def _ask(self, req_id: ReqID) -> None:
        try:
            info = await self._requests.get_request_info(req_id)
        except NotFoundError as error:
            watched = self._watched.get(req_id)
            if watched is not None:
                watched.notice(error, "gone")
            return
        except BorutaError:
            return  # the server is out of reach; it tells when it is back
        if info.state.ended:
            self._tell(info, "ended")


def lost(info: ReqInfo) -> BoardLost:
    """Why a request that ended does not hold its board any more."""
    worker = "" if info.job is None else info.job.worker_uuid
    return BoardLost(
        f"request {info.id} is {info.state.value} and holds board {worker} no more: {info.reason}",
        request=info.id,
        worker=worker,
        state=info.state.value,
        reason_code=info.reason_code,
    )
