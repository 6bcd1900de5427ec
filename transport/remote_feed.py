"""News from afar: one subscription over a link, kept up over reconnects, for any who watch."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from boruta.domain.changes import Change, Gap, RequestChanged
from boruta.domain.errors import BorutaError, Busy
from boruta.domain.types import ReqID, WorkerUUID
from transport.client import Link
from transport.maps import change_from

log = logging.getLogger("boruta.link")
_RESUME_AFTER_S: Final = 5.0


class Watch:
    """Who watches; `close` ends it."""

    def __init__(
        self,
        feed: RemoteFeed,
        deliver: Callable[[Change], None],
        kinds: Sequence[str] | None,
        requests: Sequence[ReqID] | None,
        workers: Sequence[WorkerUUID] | None,
    ) -> None:
        self._feed = feed
        self.deliver = deliver
        self.kinds = None if kinds is None else frozenset(kinds)
        self.ids = requests is not None or workers is not None
        self.requests = frozenset(requests or ())
        self.workers = frozenset(workers or ())

    def wants(self, change: Change) -> bool:
        """Whether the change is for this one."""
        if isinstance(change, Gap):
            return True
        if self.kinds is not None and change.kind not in self.kinds:
            return False
        if not self.ids:
            return True
        if isinstance(change, RequestChanged):
            return change.request.id in self.requests
        return change.worker.worker_uuid in self.workers

    def close(self) -> None:
        """Delivers no more; idempotent."""
        self._feed.forget(self)


class RemoteFeed:
    """Changes over a link.

    The wire has one subscription a connection: it asks for whatever any watch wants.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._watches: list[Watch] = []
        self._seq: str | None = None
        # From the reply to `events.subscribe` to the end of the connection. What the server says
        # before, after a reconnect, is in its catching up again.
        self._live = False
        self._tasks: set[asyncio.Task[None]] = set()
        link.on_notice.append(self._noticed)
        link.on_up.append(self._came_up)
        link.on_down.append(self._went_down)

    async def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
    ) -> Watch:
        """Delivers each change from now on, a Gap where some were lost.

        Raises:
            Busy: too many subscriptions by this key.
        """
        watch = Watch(self, deliver, kinds, requests, workers)
        self._watches.append(watch)
        try:
            reply = await self._link.call(
                "events.subscribe", self._wanted(), on_reply=self._subscribed
            )
        except BaseException:
            watch.close()
            raise
        if self._seq is None:
            self._seq = reply["seq"]
        return watch

    def _wanted(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        kinds = [watch.kinds for watch in self._watches]
        if None not in kinds:
            body["kinds"] = sorted({kind for some in kinds for kind in some or ()})
        if all(watch.ids for watch in self._watches):
            body["requests"] = sorted({one for watch in self._watches for one in watch.requests})
            body["workers"] = sorted({one for watch in self._watches for one in watch.workers})
        return body

    async def _came_up(self, _: dict[str, Any]) -> None:
        if not self._watches:
            self._seq = None
            return
        try:
            await self._resume()
        except Busy as error:
            # Its key has too many elsewhere; what it missed meanwhile it gets then.
            log.warning("subscription_waits: %s", error)
            self._do(self._resume_later())

    async def _resume(self) -> None:
        body = self._wanted()
        if self._seq is not None:
            body["after_seq"] = self._seq
        reply = await self._link.call("events.subscribe", body, on_reply=self._subscribed)
        if self._seq is None:
            self._seq = reply["seq"]

    async def _resume_later(self) -> None:
        with contextlib.suppress(BorutaError):  # the next connection resumes by itself
            while self._watches and self._link.connected and not self._live:
                await asyncio.sleep(_RESUME_AFTER_S)
                with contextlib.suppress(Busy):
                    await self._resume()

    def _subscribed(self, _: dict[str, Any]) -> None:
        self._live = True

    def _went_down(self, _: BorutaError) -> None:
        self._live = False

    def _noticed(self, kind: str, body: dict[str, Any]) -> None:
        if not self._live or kind not in ("event", "event_gap"):
            return
        change = change_from(kind, body)
        self._seq = change.seq
        for watch in tuple(self._watches):
            if watch.wants(change):
                watch.deliver(change)

    def forget(self, watch: Watch) -> None:
        """It wants no more; the last one ends the subscription."""
        if watch not in self._watches:
            return
        self._watches.remove(watch)
        if self._watches or not self._link.connected:
            return
        self._seq = None
        with contextlib.suppress(RuntimeError):  # no loop runs: nothing is left to tell
            self._do(self._end())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        except RuntimeError:
            work.close()
            raise
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        if self._watches:
            return
        with contextlib.suppress(BorutaError):
            await self._link.call("events.unsubscribe", {}, timeout=5.0)
