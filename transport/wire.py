"""What is said in protocol 1: every call and notice, its fields, and whether it is sent again.

docs/protocol.md says the same for people; a test compares the two.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from boruta.domain import defaults as d
from boruta.domain.errors import BadPage, BadSort, PriorityOutOfBounds, StateNotAllowed
from boruta.domain.types import ListDirection, SortOrder, WorkerState
from transport.checker import (
    INT_MOST,
    Check,
    Optional,
    boolean,
    choice,
    data,
    instant,
    integer,
    list_of,
    map_of,
    number,
    open_record,
    record,
    seconds,
    text,
)
from transport.swift import swift

PROTOCOLS: Final = (1,)
SESSION_BYTES: Final = 16


class Again(enum.Enum):
    """Whether a call that got no answer is sent again after a reconnect."""

    ALWAYS = "always"
    TOKENED = "tokened"
    ANEW = "anew"  # unless it goes on after something: that may have come meanwhile
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CallType:
    """One kind of call: what its body and its reply hold."""

    body: Check
    reply: Check
    again: Again = Again.NEVER


def sent_again(kind: str, body: Mapping[str, object]) -> bool:
    """Whether this call is sent again, under a new id, after a reconnect."""
    call = USER_CALLS.get(kind)
    if call is None or call.again is Again.NEVER:
        return False
    if call.again is Again.ANEW:
        return body.get("after_seq") is None
    return call.again is Again.ALWAYS or body.get("token") is not None


FRAME: Final = d.FRAME_BYTES
_nothing: Final = record()
_id: Final = integer(1)
_any_id: Final = integer()  # in a question: what cannot be is not found, as in process
_ids: Final = list_of(_any_id, d.WIRE_PAGE)
_count: Final = integer(0)
_name: Final = text(256)
_uuid: Final = text(d.CAP_VALUE_BYTES, 1)
_any_uuid: Final = text(d.CAP_VALUE_BYTES)
_uuids: Final = list_of(_any_uuid, d.WIRE_PAGE)
_reason: Final = text(d.REASON_BYTES)
_seconds: Final = seconds(0.0)
_priority: Final = integer(kind=PriorityOutOfBounds)
_token: Final = text(d.TOKEN_BYTES, 1)
_groups: Final = list_of(text(d.GROUP_BYTES, 1), d.GROUPS_ENTRIES)
_caps: Final = map_of(text(d.CAP_KEY_BYTES), text(d.CAP_VALUE_BYTES), d.CAPS_ENTRIES)
_epoch: Final = list_of(integer(0), 2, 2)
# What an agent reports is counted on from: there must be room above it.
_seen_epoch: Final = list_of(integer(0, 10**15), 2, 2)
_line: Final = text(16 << 10)  # a key, or what an agent is told: it must not fail for its length
_address: Final = text(512)
_states: Final = list_of(text(32), 16)
_names: Final = list_of(_name, d.WIRE_PAGE)
_kinds: Final = list_of(text(64), 64)
_sort: Final = record(item=Optional(text(64)), order=Optional(choice(SortOrder, BadSort)))


def _page(border: Check) -> Check:
    return record(
        id=Optional(border),
        direction=Optional(choice(ListDirection, BadPage)),
        limit=Optional(integer(0, d.WIRE_PAGE, BadPage)),
    )


REQUEST: Final = swift(
    record(
        id=_id,
        priority=integer(),
        owner=record(name=Optional(_name), groups=Optional(list_of(_name, d.WIRE_PAGE))),
        state=text(32),
        note=Optional(text(FRAME)),
        caps=Optional(map_of(text(FRAME), text(FRAME), d.WIRE_PAGE)),
        valid_after=Optional(instant),
        deadline=Optional(instant),
        job_timeout_s=Optional(_seconds),
        bound=Optional(boolean),
        reason=Optional(text(FRAME)),
        reason_code=Optional(_name),
        created=Optional(instant),
        started=Optional(instant),
        ended=Optional(instant),
        prolongs_left=Optional(integer()),
        job=Optional(record(worker_uuid=_uuid, timeout=instant, epoch=Optional(integer()))),
        queue=Optional(
            record(
                position=integer(),
                estimate_s=Optional(number()),
                why=Optional(text(FRAME)),
                why_code=Optional(_name),
                holders=Optional(_names),
            )
        ),
    )
)
WORKER: Final = swift(
    record(
        worker_uuid=_uuid,
        state=text(32),
        groups=Optional(list_of(_name, d.WIRE_PAGE)),
        caps=Optional(map_of(text(FRAME), text(FRAME), d.WIRE_PAGE)),
        reason=Optional(text(FRAME)),
        reason_code=Optional(_name),
        online=Optional(boolean),
        since=Optional(instant),
        last_seen=Optional(instant),
        request=Optional(_id),
    )
)
ACCESS: Final = record(
    host=text(512),
    port=integer(1, 65535),
    username=text(256),
    key=_line,
    host_keys=Optional(list_of(_line, 16)),
    expires=Optional(instant),
)
EVENT: Final = record(
    id=_count,
    at=instant,
    kind=text(64),
    request=Optional(_id),
    worker=Optional(_uuid),
    epoch=Optional(_count),
    old_state=Optional(text(32)),
    new_state=Optional(text(32)),
    by=Optional(_name),
    reason=Optional(text(d.REASON_BYTES)),
)
_checks: Final = list_of(record(name=_name, ok=boolean, detail=Optional(text(4096))), d.WIRE_PAGE)
_kept_job: Final = record(id=_id, epoch=_count, remaining_s=number(), end_rev=_count)

HELLO: Final = CallType(
    record(
        role=text(32),
        protocols=list_of(integer(), 64, 1),
        software=text(256),
        session=data(SESSION_BYTES),
    ),
    record(
        protocol=integer(1),
        server=_name,
        epoch=_count,
        session_kept=boolean,
        heartbeat_s=number(0.01),
        name=_name,
        role=text(32),
    ),
)
PING: Final = CallType(_nothing, _nothing, Again.ALWAYS)

USER_CALLS: Final[Mapping[str, CallType]] = {
    "requests.new": CallType(
        record(
            caps=_caps,
            priority=_priority,
            valid_after=Optional(instant),
            deadline=Optional(instant),
            job_timeout_s=Optional(seconds()),
            groups=Optional(_groups),
            note=Optional(text(d.NOTE_BYTES)),
            token=Optional(_token),
            bound=Optional(boolean),
            unservable=Optional(text(16)),
            owner=Optional(_name),
        ),
        record(id=_id),
        Again.TOKENED,
    ),
    "requests.close": CallType(record(id=_any_id), _nothing, Again.ALWAYS),
    "requests.update": CallType(
        record(
            id=_any_id,
            priority=Optional(_priority),
            valid_after=Optional(instant),
            deadline=Optional(instant),
        ),
        _nothing,
        Again.ALWAYS,
    ),
    "requests.get": CallType(record(id=_any_id), record(request=REQUEST), Again.ALWAYS),
    "requests.list": CallType(
        record(
            filter=Optional(
                record(
                    ids=Optional(_ids),
                    priorities=Optional(list_of(integer(), 64)),
                    states=Optional(_states),
                    owners=Optional(_names),
                )
            ),
            sort=Optional(_sort),
            page=Optional(_page(_any_id)),
        ),
        record(requests=list_of(REQUEST, d.WIRE_PAGE), total=_count, remaining=_count),
        Again.ALWAYS,
    ),
    "requests.acquire": CallType(
        record(id=_any_id, timeout_s=Optional(_seconds)), record(access=ACCESS), Again.ALWAYS
    ),
    "requests.prolong": CallType(
        record(id=_any_id, token=Optional(_token)),
        record(timeout=instant, prolongs_left=integer()),
        Again.TOKENED,
    ),
    "workers.list": CallType(
        record(
            filter=Optional(
                record(groups=Optional(_names), caps=Optional(_caps), states=Optional(_states))
            ),
            sort=Optional(_sort),
            page=Optional(_page(_any_uuid)),
        ),
        record(workers=list_of(WORKER, d.WIRE_PAGE), total=_count, remaining=_count),
        Again.ALWAYS,
    ),
    "workers.get": CallType(record(worker_uuid=_any_uuid), record(worker=WORKER), Again.ALWAYS),
    "workers.set_state": CallType(
        record(
            worker_uuid=_any_uuid,
            state=choice(WorkerState, StateNotAllowed),
            reason=Optional(_reason),
            drain=Optional(boolean),
        ),
        _nothing,
    ),
    "workers.set_groups": CallType(record(worker_uuid=_any_uuid, groups=_groups), _nothing),
    "workers.check": CallType(record(worker_uuid=_any_uuid), record(checks=_checks)),
    "workers.deregister": CallType(record(worker_uuid=_any_uuid), _nothing),
    "events.subscribe": CallType(
        record(
            kinds=Optional(_kinds),
            requests=Optional(_ids),
            workers=Optional(_uuids),
            after_seq=Optional(text(128)),
        ),
        record(seq=text(128)),
        Again.ANEW,
    ),
    "events.unsubscribe": CallType(_nothing, _nothing),
    "events.history": CallType(
        record(
            request=Optional(_any_id),
            worker=Optional(_any_uuid),
            before=Optional(_any_id),
            limit=Optional(integer(1, d.HISTORY_PAGE, BadPage)),
        ),
        record(events=list_of(EVENT, d.HISTORY_PAGE)),
        Again.ALWAYS,
    ),
    "server.info": CallType(_nothing, open_record, Again.ALWAYS),
    "ping": PING,
}

WORKER_CALLS: Final[Mapping[str, CallType]] = {
    "superviser.register": CallType(
        record(
            caps=_caps,
            dryad_address=Optional(_address),
            ssh_address=_address,
            epoch=Optional(_seen_epoch),
            job=Optional(_kept_job),
            ended=Optional(record(id=_id, epoch=_count, reason_code=text(64))),
        ),
        record(worker=WORKER, epoch=_epoch, job=Optional(_kept_job), first=Optional(boolean)),
    ),
    "superviser.set_fail": CallType(record(worker_uuid=_any_uuid, reason=_reason), _nothing),
    "ping": PING,
}

DRYAD_CALLS: Final[Mapping[str, CallType]] = {
    "dryad.prepare": CallType(
        record(epoch=_epoch, key=_line, default_lease_s=_seconds),
        record(username=text(32), host_keys=list_of(_line, 16, 1)),
    ),
    "dryad.lease": CallType(
        record(epoch=_epoch, id=_id, remaining_s=number(), end_rev=integer(0, INT_MOST)), _nothing
    ),
    "dryad.put_in_maintenance": CallType(record(epoch=_epoch, msg=_line), _nothing),
    "dryad.healthcheck": CallType(_nothing, record(checks=_checks)),
    "dryad.end_session": CallType(record(epoch=_epoch, reason=_line), _nothing),
    "ping": PING,
}

NOTICES: Final[Mapping[str, Check]] = {
    "heartbeat": record(job=Optional(record(id=_id, epoch=_count))),
    "event": record(
        seq=text(128),
        kind=text(64),
        at=instant,
        request=Optional(REQUEST),
        worker=Optional(WORKER),
    ),
    "event_gap": record(seq=text(128), at=instant),
    "goodbye": record(reason=Optional(text(1024)), retry_after_s=Optional(number())),
}
