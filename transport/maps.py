"""Domain data as maps of the wire, and back; the same at both ends.

Maps are what `wire.py` describes. What comes from the far end was checked by it before.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from boruta.domain.changes import Change, Gap, RequestChanged, WorkerChanged
from boruta.domain.defaults import REASON_BYTES
from boruta.domain.errors import BadRequest
from boruta.domain.history import Event
from boruta.domain.quick import quick
from boruta.domain.types import (
    AccessInfo,
    Capabilities,
    Check,
    JobInfo,
    ListDirection,
    Page,
    QueueInfo,
    ReqInfo,
    ReqState,
    SortInfo,
    SortOrder,
    UserInfo,
    WorkerInfo,
    WorkerState,
)

E = TypeVar("E", bound=enum.StrEnum)

_req_info: Final = quick(ReqInfo)
_queue_info: Final = quick(QueueInfo)
_user: Final = lru_cache(maxsize=100)(UserInfo)  # a long list is of few people
_STATES: Final = {state.value: state for state in ReqState}


def known(**fields: object) -> dict[str, Any]:
    """A map without what is not known."""
    return {name: value for name, value in fields.items() if value is not None}


def _member(kind: type[E], value: str, path: str) -> E:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise BadRequest(f"{path}: want one of {allowed}, got {value!r:.60}", field=path) from None


# --- requests and workers
def request_map(info: ReqInfo) -> dict[str, Any]:
    """A request for the wire."""
    owner = info.owner
    found: dict[str, Any] = {
        "id": info.id,
        "priority": info.priority,
        "owner": {"name": owner.name, "groups": list(owner.groups)},
        "state": str(info.state),
        "note": info.note,
        "caps": info.caps.as_dict(),
        "job_timeout_s": info.job_timeout_s,
        "bound": info.bound,
        "reason": info.reason,
        "reason_code": info.reason_code,
        "prolongs_left": info.prolongs_left,
    }
    # One by one, for a long list is made of them: a loop over their names takes twice as long.
    if info.valid_after is not None:
        found["valid_after"] = info.valid_after
    if info.deadline is not None:
        found["deadline"] = info.deadline
    if info.created is not None:
        found["created"] = info.created
    if info.started is not None:
        found["started"] = info.started
    if info.ended is not None:
        found["ended"] = info.ended
    if info.job is not None:
        job = info.job
        found["job"] = {
            "worker_uuid": job.worker_uuid, "timeout": job.timeout, "epoch": job.epoch,
        }
    queue = info.queue
    if queue is not None:
        said = found["queue"] = {
            "position": queue.position,
            "why": queue.why,
            "why_code": queue.why_code,
            "holders": list(queue.holders),
        }
        if queue.estimate_s is not None:
            said["estimate_s"] = queue.estimate_s
    return found


def request_from(found: Mapping[str, Any]) -> ReqInfo:
    """The request of a checked map.

    Raises:
        BadRequest: a state that this side does not know.
    """
    get = found.get
    job, queue = get("job"), get("queue")
    # In the order of the fields: by their names it takes twice as long.
    return _req_info(
        found["id"],
        found["priority"],
        user_from(found["owner"]),
        get("note", ""),
        Capabilities(get("caps")),
        get("valid_after"),
        get("deadline"),
        float(get("job_timeout_s", 0.0)),
        get("bound", False),
        _STATES.get(found["state"]) or _member(ReqState, found["state"], "state"),
        get("reason", ""),
        get("reason_code", ""),
        get("created"),
        get("started"),
        get("ended"),
        get("prolongs_left", 0),
        None if job is None else JobInfo(job["worker_uuid"], job["timeout"], job.get("epoch", 0)),
        None if queue is None else _queue_from(queue),
    )


def _queue_from(found: Mapping[str, Any]) -> QueueInfo:
    return _queue_info(
        found["position"],
        found.get("estimate_s"),
        found.get("why", ""),
        found.get("why_code", ""),
        tuple(found.get("holders", ())),
    )


def user_from(found: Mapping[str, Any]) -> UserInfo:
    """The user of a checked map."""
    return _user(found.get("name", ""), tuple(found.get("groups", ())))


def worker_map(info: WorkerInfo) -> dict[str, Any]:
    """A worker for the wire."""
    return known(
        worker_uuid=info.worker_uuid,
        state=info.state.value,
        groups=list(info.groups),
        caps=info.caps.as_dict(),
        reason=info.reason,
        reason_code=info.reason_code,
        online=info.online,
        since=info.since,
        last_seen=info.last_seen,
        request=info.request,
    )


def worker_from(found: Mapping[str, Any]) -> WorkerInfo:
    """The worker of a checked map.

    Raises:
        BadRequest: a state that this side does not know.
    """
    return WorkerInfo(
        worker_uuid=found["worker_uuid"],
        state=_member(WorkerState, found["state"], "state"),
        groups=tuple(found.get("groups", ())),
        caps=Capabilities(found.get("caps")),
        reason=found.get("reason", ""),
        reason_code=found.get("reason_code", ""),
        online=found.get("online", False),
        since=found.get("since"),
        last_seen=found.get("last_seen"),
        request=found.get("request"),
    )


def access_map(access: AccessInfo) -> dict[str, Any]:
    """Access to a board for the wire."""
    return known(
        host=access.host,
        port=access.port,
        username=access.username,
        key=access.key,
        host_keys=list(access.host_keys),
        expires=access.expires,
    )


def access_from(found: Mapping[str, Any]) -> AccessInfo:
    """The access of a checked map."""
    return AccessInfo(
        host=found["host"],
        port=found["port"],
        username=found["username"],
        key=found["key"],
        host_keys=tuple(found.get("host_keys", ())),
        expires=found.get("expires"),
    )


# --- lists
def sort_map(sort: SortInfo) -> dict[str, Any]:
    """An order for the wire."""
    return {"item": sort.item, "order": str(sort.order)}


def sort_from(found: Mapping[str, Any] | None) -> SortInfo | None:
    """The order of a checked map."""
    if found is None:
        return None
    return SortInfo(found.get("item", ""), found.get("order", SortOrder.ASCENDING))


def page_map(page: Page) -> dict[str, Any]:
    """A page for the wire."""
    return known(id=page.id, direction=str(page.direction), limit=page.limit)


def page_from(found: Mapping[str, Any] | None, most: int) -> Page:
    """The page of a checked map, of `most` items at most."""
    found = found or {}
    return Page(
        found.get("id"), found.get("direction", ListDirection.FORWARD), found.get("limit") or most
    )


# --- news
def change_map(change: Change) -> tuple[str, dict[str, Any]]:
    """The notice of a change: its type and body."""
    match change:
        case RequestChanged(seq=seq, kind=kind, at=at, request=request):
            return "event", {"seq": seq, "kind": kind, "at": at, "request": request_map(request)}
        case WorkerChanged(seq=seq, kind=kind, at=at, worker=worker):
            return "event", {"seq": seq, "kind": kind, "at": at, "worker": worker_map(worker)}
        case Gap(seq=seq, at=at):
            return "event_gap", {"seq": seq, "at": at}


def change_from(kind: str, body: Mapping[str, Any]) -> Change:
    """The change of a checked notice.

    Raises:
        BadRequest: it is of neither a request nor a worker.
    """
    if kind == "event_gap":
        return Gap(body["seq"], body["at"])
    if "request" in body:
        return RequestChanged(
            body["seq"], body["kind"], body["at"], request_from(body["request"])
        )
    if "worker" in body:
        return WorkerChanged(body["seq"], body["kind"], body["at"], worker_from(body["worker"]))
    raise BadRequest("event: want a request or a worker", field="event")


def checks_map(checks: tuple[Check, ...]) -> dict[str, Any]:
    """Findings of a healthcheck for the wire."""
    return {"checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in checks]}


def checks_from(found: Mapping[str, Any]) -> tuple[Check, ...]:
    """The findings of a checked map."""
    return tuple(Check(c["name"], c["ok"], c.get("detail", "")) for c in found["checks"])


# --- history
def event_map(event: Event) -> dict[str, Any]:
    """A line of the history for the wire; a reason that is too long ends in dots."""
    return known(
        id=event.id,
        at=event.at,
        kind=event.kind,
        request=event.request_id,
        worker=event.worker_uuid,
        epoch=event.epoch,
        old_state=event.old_state or None,
        new_state=event.new_state or None,
        by=_shortened(event.by, 256) or None,
        reason=_shortened(event.reason, REASON_BYTES) or None,
    )


def _shortened(text: str, most: int) -> str:
    data = text.encode()
    if len(data) <= most:
        return text
    return data[: most - 3].decode(errors="ignore") + "..."


def event_from(found: Mapping[str, Any]) -> Event:
    """The line of a checked map."""
    return Event(
        found["at"],
        found["kind"],
        found.get("request"),
        found.get("worker"),
        found.get("epoch"),
        found.get("old_state", ""),
        found.get("new_state", ""),
        found.get("by", ""),
        found.get("reason", ""),
        found["id"],
    )
