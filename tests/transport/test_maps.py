from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from boruta.domain.changes import Gap, RequestChanged, WorkerChanged
from boruta.domain.commands import (
    Checks,
    Done,
    EndedJob,
    EndSession,
    Healthcheck,
    KeptJob,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
    Registered,
    Registration,
)
from boruta.domain.errors import BadRequest, UnknownType
from boruta.domain.types import (
    AccessInfo,
    Capabilities,
    Check,
    Epoch,
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
from transport import agent_maps, maps
from transport.codec import Notice, decode, encode
from transport.wire import ACCESS, DRYAD_CALLS, NOTICES, REQUEST, USER_CALLS, WORKER, WORKER_CALLS

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
LEAST = ReqInfo(1)
MOST = ReqInfo(
    2,
    16,
    UserInfo("ann", ("g", "h")),
    "note",
    Capabilities(arch="x86"),
    AT,
    AT,
    7.5,
    True,
    ReqState.INPROGRESS,
    "why",
    "closed",
    AT,
    AT,
    AT,
    9,
    JobInfo("u1", AT, 4),
    QueueInfo(1, 2.5, "busy", "all_busy", ("bob",)),
)
BOARD = WorkerInfo(
    "u1", WorkerState.FAIL, ("g",), Capabilities(UUID="u1"), "why", "lost", True, AT, AT, 2
)


def over_the_wire(body: dict[str, Any]) -> dict[str, Any]:
    message = decode(encode(Notice("x", body)))
    assert isinstance(message, Notice)
    return message.body


@pytest.mark.parametrize("info", [LEAST, MOST])
def test_a_request_comes_back_as_it_was(info: ReqInfo) -> None:
    found = REQUEST(over_the_wire(maps.request_map(info)), "request")
    assert maps.request_from(found) == info


@pytest.mark.parametrize("info", [WorkerInfo("u1", WorkerState.IDLE), BOARD])
def test_a_worker_comes_back_as_it_was(info: WorkerInfo) -> None:
    found = WORKER(over_the_wire(maps.worker_map(info)), "worker")
    assert maps.worker_from(found) == info


def test_access_comes_back_as_it_was() -> None:
    access = AccessInfo("host", 22, "board", "KEY", ("ssh-ed25519 AAAA",), AT)
    assert maps.access_from(ACCESS(over_the_wire(maps.access_map(access)), "access")) == access


@pytest.mark.parametrize(
    "change",
    [RequestChanged("s", "k", AT, MOST), WorkerChanged("s", "k", AT, BOARD), Gap("s", AT)],
)
def test_a_change_comes_back_as_it_was(change: Any) -> None:
    kind, body = maps.change_map(change)
    assert maps.change_from(kind, NOTICES[kind](over_the_wire(body), "body")) == change


def test_an_event_of_nothing_and_a_state_that_is_none_are_refused() -> None:
    with pytest.raises(BadRequest):
        maps.change_from("event", {"seq": "s", "kind": "k", "at": AT})
    with pytest.raises(BadRequest, match="WAITING"):
        maps.request_from({"id": 1, "priority": 1, "owner": {}, "state": "SLEEPING"})


def test_sort_and_page_come_back_as_they_were() -> None:
    sort, page = SortInfo("priority", SortOrder.DESCENDING), Page(7, ListDirection.BACKWARD, 9)
    body = over_the_wire({"sort": maps.sort_map(sort), "page": maps.page_map(page)})
    found = USER_CALLS["requests.list"].body(body, "body")
    assert maps.sort_from(found["sort"]) == sort
    assert maps.page_from(found["page"], 1000) == page
    assert maps.page_from(None, 1000) == Page(limit=1000)
    assert maps.sort_from(None) is None


@pytest.mark.parametrize(
    "command",
    [
        Prepare(Epoch(1, 2), "ssh-ed25519 AAAA", 60.0),
        Lease(Epoch(1, 2), 7, 12.5, 3),
        PutInMaintenance(Epoch(1, 2), "why"),
        EndSession(Epoch(1, 2), "why"),
        Healthcheck(),
    ],
)
def test_a_command_comes_back_as_it_was(command: Any) -> None:
    kind, body = agent_maps.command_map(command)
    assert (
        agent_maps.command_from(kind, DRYAD_CALLS[kind].body(over_the_wire(body), "body"))
        == command
    )


def test_a_command_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownType):
        agent_maps.command_from("dryad.dance", {})


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("dryad.prepare", PrepareDone("board", ("ssh-ed25519 AAAA",))),
        ("dryad.healthcheck", Checks((Check("disk", ok=False, detail="full"),))),
        ("dryad.lease", Done()),
    ],
)
def test_an_answer_to_a_command_comes_back_as_it_was(kind: str, reply: Any) -> None:
    body = DRYAD_CALLS[kind].reply(over_the_wire(agent_maps.command_reply_map(reply)), "reply")
    assert agent_maps.command_reply_from(kind, body) == reply


@pytest.mark.parametrize(
    "said",
    [
        Registration(Capabilities(UUID="u"), ":22"),
        Registration(
            Capabilities(UUID="u", a="b"),
            ":22",
            "dryad:1",
            Epoch(3, 4),
            KeptJob(1, 2, 3.5, 4),
            EndedJob(5, 6, "time_up"),
        ),
    ],
)
def test_a_registration_comes_back_as_it_was(said: Registration) -> None:
    body = over_the_wire(agent_maps.registration_map(said))
    found = WORKER_CALLS["superviser.register"].body(body, "body")
    assert agent_maps.registration_from(found, said.ssh_address, b"") == said


BOARD = WorkerInfo("u", WorkerState.IDLE)


@pytest.mark.parametrize(
    "done",
    [
        Registered(BOARD, Epoch(1, 2)),
        Registered(BOARD, Epoch(1, 2), KeptJob(1, 2, 3.5, 4), first=True),
    ],
)
def test_the_answer_to_a_registration_comes_back_as_it_was(done: Registered) -> None:
    body = over_the_wire(agent_maps.registered_map(done))
    found = WORKER_CALLS["superviser.register"].reply(body, "reply")
    assert agent_maps.registered_from(found) == done
