"""Requests and workers from afar: the interfaces of the domain over a link."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from boruta.domain import defaults
from boruta.domain.errors import BadPage, BadRequest, BorutaError, NotFoundError
from boruta.domain.history import Event
from boruta.domain.interfaces import WorkerListFilter
from boruta.domain.listing import RequestFilter, WorkerFilter
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Check,
    ListDirection,
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
from transport import maps
from transport.client import Link
from transport.remote_feed import RemoteFeed

__all__ = ["RemoteFeed", "RemoteHistory", "RemoteRequests", "RemoteWorkers"]

# How long the server's own answer to a time-out may take before ours is given.
_ANSWER_WITHIN_S: Final = 2.0


class RemoteRequests:
    """`AsyncRequests` over a link."""

    def __init__(self, link: Link) -> None:
        self._link = link

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
        """Queues a request; its id is given after the store has it."""
        body = maps.known(
            caps=dict(caps),
            priority=priority,
            valid_after=_aware(valid_after, "valid_after"),
            deadline=_aware(deadline, "deadline"),
            job_timeout_s=job_timeout,
            groups=list(owner.groups) or None,
            note=note or None,
            # A token lets the call survive a reconnect: it has its effect once.
            token=token if token is not None else secrets.token_hex(16),
            bound=bound or None,
            unservable=unservable,
            owner=owner.name or None,
        )
        req_id: ReqID = (await self._link.call("requests.new", body))["id"]
        return req_id

    async def close_request(self, req_id: ReqID) -> None:
        """Cancels what waits, ends what runs."""
        await self._link.call("requests.close", _id(req_id))

    async def update_request(self, req_info: ReqInfo) -> None:
        """Changes priority, valid_after and deadline of a waiting request."""
        body = maps.known(
            **_id(req_info.id),
            priority=req_info.priority or None,
            valid_after=_aware(req_info.valid_after, "valid_after"),
            deadline=_aware(req_info.deadline, "deadline"),
        )
        await self._link.call("requests.update", body)

    async def get_request_info(self, req_id: ReqID) -> ReqInfo:
        """The request; one that waits says why."""
        found = await self._link.call("requests.get", _id(req_id))
        return maps.request_from(found["request"])

    async def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]:
        """The requests that match; as many calls as that takes."""
        said = None
        if filter is not None:
            if not isinstance(filter, RequestFilter):
                raise _in_process_only()
            said = maps.known(
                ids=list(filter.ids) or None,
                priorities=list(filter.priorities) or None,
                states=[str(one) for one in filter.states] or None,
                owners=list(filter.owners) or None,
            )
        found, info = await pages(self._link, "requests", "id", said, sort, page)
        return [maps.request_from(one) for one in found], info

    async def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        """Waits while the request waits, then tells how to reach its board."""
        within = None if timeout is None else max(0.0, timeout)
        found = await self._link.call(
            "requests.acquire",
            maps.known(**_id(req_id), timeout_s=within),
            None if within is None else within + _ANSWER_WITHIN_S,
        )
        return maps.access_from(found["access"])

    async def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits."""
        body = {**_id(req_id), "token": token if token is not None else secrets.token_hex(16)}
        done = await self._link.call("requests.prolong", body)
        return Prolonged(done["timeout"], done["prolongs_left"])

    async def info(self) -> dict[str, Any]:
        """Facts of the server."""
        return await self._link.call("server.info", {})


class RemoteHistory:
    """`History` over a link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def __call__(
        self,
        *,
        request: ReqID | None = None,
        worker: WorkerUUID | None = None,
        before: int | None = None,
        limit: int = defaults.HISTORY_PAGE,
    ) -> list[Event]:
        """The newest events of a request, of a board, or of all; the oldest of them first."""
        body = maps.known(request=request, worker=worker, before=before, limit=limit)
        reply = await self._link.call("events.history", body)
        return [maps.event_from(one) for one in reply["events"]]


class RemoteWorkers:
    """`AsyncWorkers` over a link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]:
        """The workers that match; as many calls as that takes."""
        said = None
        if filter is not None:
            if not isinstance(filter, WorkerFilter):
                raise _in_process_only()
            said = maps.known(
                groups=list(filter.groups) or None,
                caps=dict(filter.caps) or None,
                states=[str(one) for one in filter.states] or None,
            )
        found, info = await pages(self._link, "workers", "worker_uuid", said, sort, page)
        return [maps.worker_from(one) for one in found], info

    async def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        found = await self._link.call("workers.get", _uuid(uuid))
        return maps.worker_from(found["worker"])

    async def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        """Sends the worker towards IDLE or MAINTENANCE."""
        body = maps.known(
            **_uuid(uuid), state=str(state), reason=reason or None, drain=drain or None
        )
        await self._link.call("workers.set_state", body)

    async def set_groups(self, uuid: WorkerUUID, groups: Sequence[str]) -> None:
        """Replaces the worker's groups."""
        await self._link.call("workers.set_groups", {**_uuid(uuid), "groups": list(groups)})

    async def check(self, uuid: WorkerUUID) -> tuple[Check, ...]:
        """Runs the agent's healthcheck now."""
        return maps.checks_from(await self._link.call("workers.check", _uuid(uuid)))

    async def deregister(self, uuid: WorkerUUID) -> None:
        """Forgets a worker in MAINTENANCE or FAILED."""
        await self._link.call("workers.deregister", _uuid(uuid))


async def pages(
    link: Link,
    what: str,
    border: str,
    said: Mapping[str, Any] | None,
    sort: SortInfo | None,
    page: Page | None,
) -> tuple[list[dict[str, Any]], ListInfo]:
    """One page as the caller means it, from as many of the wire as that takes.

    Args:
        link: to the server.
        what: requests or workers.
        border: the field that stands for an item as a border.
        said: the filter as a map.
        sort: by what.
        page: None: the first 65,535.
    """
    page = page or Page()
    if not 0 <= page.limit <= defaults.FULL_PAGE:
        raise BadPage(f"page limit {page.limit}: want 0 to {defaults.FULL_PAGE}")
    backward = page.direction == ListDirection.BACKWARD
    left = page.limit or defaults.FULL_PAGE
    found: list[dict[str, Any]] = []
    at, total = page.id, 0
    while True:
        wanted = Page(at, page.direction, min(left, defaults.WIRE_PAGE))
        body = maps.known(
            filter=said or None,
            sort=None if sort is None else maps.sort_map(sort),
            page=maps.page_map(wanted),
        )
        try:
            reply = await link.call(f"{what}.list", body)
        except NotFoundError:
            if not found:
                raise
            # The border is gone meanwhile: what was read is what there is to say.
            return found, ListInfo(total, 0)
        items, remaining = reply[what], reply["remaining"]
        total = reply["total"]
        found = items + found if backward else found + items
        left -= len(items)
        if not items or not remaining or left <= 0:
            return found, ListInfo(total, remaining)
        at = items[0 if backward else -1][border]


def _aware(when: datetime | None, name: str) -> datetime | None:
    if when is not None and when.tzinfo is None:
        raise BadRequest(f"{name}: want a time with its zone", field=name)
    return when


def _id(req_id: ReqID) -> dict[str, Any]:
    # Only ids from 1 on exist: others are not found, as in process.
    if type(req_id) is int and req_id < 1:
        raise NotFoundError(f"request {req_id} not found", id=req_id)
    return {"id": req_id}


def _uuid(uuid: WorkerUUID) -> dict[str, Any]:
    if uuid == "":
        raise NotFoundError("worker '' not found", worker_uuid="")
    return {"worker_uuid": uuid}


def _in_process_only() -> BorutaError:
    return BadRequest("filter: a filter of one's own works in process only")
