"""How a board is come by: a request, its turn in the queue, the access. What fails is undone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from boruta.domain.errors import (
    BorutaError,
    NotFoundError,
    Refused,
    TimedOut,
    Unavailable,
    Unservable,
    WorkerNotAssigned,
)
from boruta.domain.interfaces import AsyncRequests
from boruta.domain.types import AccessInfo, Priority, ReqID, ReqState, UserInfo
from boruta.holding import Reservation
from boruta.watching import lost

if TYPE_CHECKING:
    from boruta.aio import Client

log = logging.getLogger("boruta.reservation")
RELEASE_WITHIN_S: Final = 5.0  # a server out of reach frees a bound board by its lease


async def reserve(
    client: Client,
    caps: Mapping[str, str],
    *,
    timeout: float | None,
    priority: Priority,
    owner: UserInfo,
    job_timeout: float | None,
    note: str,
    bound: bool,
    unservable: str | None,
    valid_after: datetime | None,
    deadline: datetime | None,
) -> Reservation:
    """A new request and its board; whatever stops that closes the request. See `Client.reserve`."""
    loop = asyncio.get_running_loop()
    until = None if timeout is None else loop.time() + timeout
    asking = loop.create_task(
        client.requests.new_request(
            caps,
            priority,
            owner,
            valid_after,
            deadline,
            job_timeout=job_timeout,
            note=note,
            token=secrets.token_hex(16),
            bound=bound,
            unservable=unservable,
        )
    )
    try:
        req_id = await asyncio.shield(asking)
    except asyncio.CancelledError:
        await _undo(client.requests, asking, bound)
        raise
    try:
        left = None if until is None else max(0.0, until - loop.time())
        return await _take(client, req_id, left, owned=True)
    except TimedOut as late:
        if timeout is None or "state" in late.details:
            raise  # the request's own deadline passed, and ended it
        why = await _why_waiting(client.requests, req_id)
        await release(client.requests, req_id, bound)
        raise TimedOut(
            f"no board in {timeout:g} s{why}; request {req_id} is given up",
            **{**late.details, "id": req_id},
        ) from None
    except BaseException:
        # Also when cancelled: nobody would ever use what this request gets.
        await asyncio.shield(loop.create_task(release(client.requests, req_id, bound)))
        raise


async def attach(client: Client, req_id: ReqID, timeout: float | None) -> Reservation:
    """The board of a request that exists; the request is not ended with it."""
    return await _take(client, req_id, timeout, owned=False)


async def _take(
    client: Client, req_id: ReqID, timeout: float | None, *, owned: bool
) -> Reservation:
    requests = client.requests
    try:
        access: AccessInfo = await requests.acquire_worker(req_id, timeout)
    except WorkerNotAssigned as error:
        raise await _ended(requests, req_id, error) from None
    info = await requests.get_request_info(req_id)
    held = Reservation(client, info, access, owned=owned)
    try:
        await held.begin()
    except BaseException:
        client.watch.remove(req_id)
        client.drop(held)
        raise
    return held


async def _ended(requests: AsyncRequests, req_id: ReqID, error: WorkerNotAssigned) -> BorutaError:
    """The request ended before it had a board, or just after: why is what counts."""
    try:
        info = await requests.get_request_info(req_id)
    except BorutaError:
        return error
    text = f"request {req_id} is {info.state.value}: {info.reason}"
    details: dict[str, object] = {"id": req_id, "state": info.state.value}
    details["reason_code"] = info.reason_code
    match info.state:
        case ReqState.TIMEOUT:
            return TimedOut(text, **details)
        case ReqState.INVALID:
            return Unservable(text, **details)
        case ReqState.FAILED:
            return lost(info)
        case _:
            return error


async def _why_waiting(requests: AsyncRequests, req_id: ReqID) -> str:
    with contextlib.suppress(BorutaError, TimeoutError):
        async with asyncio.timeout(1.0):
            info = await requests.get_request_info(req_id)
        if info.queue is not None and info.queue.why:
            return f": {info.queue.why}"
    return ""


async def _undo(requests: AsyncRequests, asking: asyncio.Task[ReqID], bound: bool) -> None:
    """Cancelled while the request was being made: it may exist by now."""
    done, _ = await asyncio.wait({asking}, timeout=RELEASE_WITHIN_S)
    if not done:
        asking.cancel()
    elif not asking.cancelled() and asking.exception() is None:
        await asyncio.shield(
            asyncio.get_running_loop().create_task(release(requests, asking.result(), bound))
        )


async def release(requests: AsyncRequests, req_id: ReqID, bound: bool) -> None:
    """Closes the request. A bound one that cannot be closed now is freed by its lease.

    Raises:
        Unavailable: the server is out of reach, and nothing but a close ends the request.
    """
    try:
        async with asyncio.timeout(RELEASE_WITHIN_S):
            await requests.close_request(req_id)
    except (Refused, NotFoundError):
        return  # it has ended already
    except (Unavailable, TimeoutError) as error:
        if not bound:
            raise
        log.warning("release_late request=%s error=%s", req_id, error)
