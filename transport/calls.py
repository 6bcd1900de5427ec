"""What a user may call: each call's type leads to a method of the engine's ports."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from boruta.domain import defaults
from boruta.domain.errors import ActionRefused, Busy
from boruta.domain.listing import RequestFilter, WorkerFilter
from boruta.domain.ports import Front
from boruta.domain.types import Caller, ReqID, ReqInfo, UserInfo
from transport import maps
from transport.codec import Packed
from transport.events import Watching
from transport.paging import packed_page

Body: TypeAlias = dict[str, Any]
Answer: TypeAlias = Body | Awaitable[Body] | Awaitable[Packed]

# What one repeated close may ask about; the oldest go first.
_CLOSES_KEPT: Final = 10_000
_OWN_EFFECT: Final = frozenset({"closed", "cancelled"})


class Closes:
    """Who closed what over which connection, so that a close sent again finds its own effect."""

    def __init__(self) -> None:
        self._by: OrderedDict[tuple[str, bytes, ReqID], int] = OrderedDict()

    def done(self, caller: Caller, req_id: ReqID, connection: int) -> None:
        """This session has closed the request."""
        self._by[caller.name, caller.session, req_id] = connection
        if len(self._by) > _CLOSES_KEPT:
            self._by.popitem(last=False)

    def is_own(self, caller: Caller, req_id: ReqID, connection: int) -> bool:
        """Whether this session closed it over an earlier connection."""
        found = self._by.get((caller.name, caller.session, req_id))
        return found is not None and found != connection


class Acquires:
    """How many acquires of each key wait; at most so many (SAFETY, C11)."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}

    def enter(self, name: str) -> None:
        """One more.

        Raises:
            Busy: that is one too many.
        """
        waiting = self._waiting.get(name, 0)
        if waiting >= defaults.WAITING_ACQUIRES_A_KEY:
            raise Busy(
                f"{waiting} calls of {name} wait to acquire already, which is the limit",
                retry_after_s=5.0,
            )
        self._waiting[name] = waiting + 1

    def leave(self, name: str) -> None:
        """One less."""
        left = self._waiting.get(name, 1) - 1
        if left > 0:
            self._waiting[name] = left
        else:
            self._waiting.pop(name, None)


class UserCalls:
    """The calls of one connection of a user.

    Args:
        front: the engine.
        caller: who calls, with his session.
        reached_at: the host by which he reached the server.
        connection: what tells this connection from his earlier ones.
        closes: shared by all connections.
        acquires: shared by all connections.
        watching: the connection's subscription.
        info: facts of the server.
    """

    def __init__(
        self,
        front: Front,
        caller: Caller,
        reached_at: str,
        connection: int,
        closes: Closes,
        acquires: Acquires,
        watching: Watching,
        info: Callable[[], Body],
    ) -> None:
        self._requests = front.requests(caller, reached_at)
        self._workers = front.workers(caller)
        self._history = front.history
        self._caller = caller
        self._connection = connection
        self._closes = closes
        self._acquires = acquires
        self.watching = watching
        self._table: Mapping[str, Callable[[Body], Answer]] = {
            "requests.new": self._new,
            "requests.close": self._close,
            "requests.update": self._update,
            "requests.get": self._get,
            "requests.list": self._list,
            "requests.acquire": self._acquire,
            "requests.prolong": self._prolong,
            "workers.list": self._list_workers,
            "workers.get": self._get_worker,
            "workers.set_state": self._set_state,
            "workers.set_groups": self._set_groups,
            "workers.check": self._check,
            "workers.deregister": self._deregister,
            "events.subscribe": self._subscribe,
            "events.unsubscribe": self._unsubscribe,
            "events.history": self._read_history,
            "server.info": lambda _: info(),
            "ping": lambda _: {},
        }

    def answer(self, kind: str, body: Body) -> Answer:
        """The answer to a call whose body was checked, or what gives it."""
        return self._table[kind](body)

    # --- requests
    async def _new(self, body: Body) -> Body:
        req_id = await self._requests.new_request(
            body["caps"],
            body["priority"],
            UserInfo(body.get("owner", ""), tuple(body.get("groups", ()))),
            body.get("valid_after"),
            body.get("deadline"),
            job_timeout=body.get("job_timeout_s"),
            note=body.get("note", ""),
            token=body.get("token"),
            bound=body.get("bound", False),
            unservable=body.get("unservable"),
        )
        return {"id": req_id}

    async def _close(self, body: Body) -> Body:
        req_id: ReqID = body["id"]
        try:
            await self._requests.close_request(req_id)
        except ActionRefused as error:
            own = self._closes.is_own(self._caller, req_id, self._connection)
            if not own or error.details.get("reason_code", "closed") not in _OWN_EFFECT:
                raise
        # Also if it was sent again: it finds its effect once over each connection.
        self._closes.done(self._caller, req_id, self._connection)
        return {}

    async def _update(self, body: Body) -> Body:
        await self._requests.update_request(
            ReqInfo(
                id=body["id"],
                priority=body.get("priority", 0),
                valid_after=body.get("valid_after"),
                deadline=body.get("deadline"),
            )
        )
        return {}

    async def _get(self, body: Body) -> Body:
        return {"request": maps.request_map(await self._requests.get_request_info(body["id"]))}

    async def _list(self, body: Body) -> Packed:
        said = body.get("filter")
        page = maps.page_from(body.get("page"), defaults.WIRE_PAGE)
        found, info = await self._requests.list_requests(
            None if said is None else RequestFilter(**said), maps.sort_from(body.get("sort")), page
        )
        return await packed_page("requests", found, maps.request_map, info, page.direction)

    async def _acquire(self, body: Body) -> Body:
        self._acquires.enter(self._caller.name)
        try:
            access = await self._requests.acquire_worker(body["id"], body.get("timeout_s"))
        finally:
            self._acquires.leave(self._caller.name)
        return {"access": maps.access_map(access)}

    async def _prolong(self, body: Body) -> Body:
        done = await self._requests.prolong_access(body["id"], token=body.get("token"))
        return {"timeout": done.timeout, "prolongs_left": done.prolongs_left}

    # --- workers
    async def _list_workers(self, body: Body) -> Packed:
        said = body.get("filter")
        page = maps.page_from(body.get("page"), defaults.WIRE_PAGE)
        found, info = await self._workers.list_workers(
            None if said is None else WorkerFilter(**said), maps.sort_from(body.get("sort")), page
        )
        return await packed_page("workers", found, maps.worker_map, info, page.direction)

    async def _get_worker(self, body: Body) -> Body:
        found = await self._workers.get_worker_info(body["worker_uuid"])
        return {"worker": maps.worker_map(found)}

    async def _set_state(self, body: Body) -> Body:
        await self._workers.set_state(
            body["worker_uuid"],
            body["state"],
            reason=body.get("reason", ""),
            drain=body.get("drain", False),
        )
        return {}

    async def _set_groups(self, body: Body) -> Body:
        await self._workers.set_groups(body["worker_uuid"], body["groups"])
        return {}

    async def _check(self, body: Body) -> Body:
        return maps.checks_map(await self._workers.check(body["worker_uuid"]))

    async def _deregister(self, body: Body) -> Body:
        await self._workers.deregister(body["worker_uuid"])
        return {}

    # --- news
    def _subscribe(self, body: Body) -> Body:
        seq = self.watching.subscribe(body)
        # After the reply, which goes out in this turn of the loop.
        asyncio.get_running_loop().call_soon(self.watching.release)
        return {"seq": seq}

    def _unsubscribe(self, _: Body) -> Body:
        self.watching.unsubscribe()
        return {}

    async def _read_history(self, body: Body) -> Body:
        return {"events": [maps.event_map(one) for one in await self._history(**body)]}
