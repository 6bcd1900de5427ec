"""The calls and notices of protocol 1: what each lets through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain import defaults as d
from boruta.domain.errors import (
    BadPage,
    BadRequest,
    BadSort,
    BadTime,
    PriorityOutOfBounds,
    TooLarge,
    UsageError,
)
from boruta.domain.types import ReqState, WorkerState
from tests.transport.values import FIXED, NOON, wild, year
from transport import wire
from transport.checker import Check, Optional, shape
from transport.codec import Call, decode, encode
from transport.wire import DRYAD_CALLS, HELLO, NOTICES, USER_CALLS, WORKER_CALLS, sent_again

CHECKS: dict[str, Check] = {
    "hello": HELLO.body,
    "hello reply": HELLO.reply,
    **dict(NOTICES),
    **{
        name: check
        for calls in (USER_CALLS, WORKER_CALLS, DRYAD_CALLS)
        for kind, call in calls.items()
        for name, check in ((kind, call.body), (f"{kind} reply", call.reply))
    },
}
NEW: dict[str, Any] = {"caps": {"arch": "arm"}, "priority": 8}


def _names(check: Check) -> set[str]:
    found = shape(check)
    names = set(found.fields or ())
    for field in (found.fields or {}).values():
        names |= _names(field.check if isinstance(field, Optional) else field)
    return names | (_names(found.item) if found.item else set())


def all_names() -> list[str]:
    return sorted(set().union(*(_names(check) for check in CHECKS.values())))


@pytest.mark.parametrize("kind", CHECKS)
def test_an_empty_body_is_taken_where_nothing_is_needed_and_refused_elsewhere(kind: str) -> None:
    fields = shape(CHECKS[kind]).fields or {}
    if all(isinstance(field, Optional) for field in fields.values()):
        assert CHECKS[kind]({}, "body") == {}
    else:
        with pytest.raises(BadRequest, match="is missing"):
            CHECKS[kind]({}, "body")


@pytest.mark.parametrize("name", [*all_names(), *USER_CALLS, *NOTICES])
def test_names_are_snake_case(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?", name)


@FIXED
@given(st.dictionaries(st.sampled_from(all_names()), wild, max_size=8))
def test_any_body_is_taken_or_refused_with_a_usage_error(body: dict[str, Any]) -> None:
    for check in CHECKS.values():
        try:
            found = check(body, "body")
        except UsageError:
            continue
        assert check(found, "body") == found  # what was taken is taken again


def test_every_name_of_a_time_or_duration_says_so() -> None:
    for check in CHECKS.values():
        for name, field in (shape(check).fields or {}).items():
            says = shape(field.check if isinstance(field, Optional) else field).says
            if says.startswith("finite number"):
                assert name.endswith("_s"), name


# --- bad input, each with its stable code
def new(**more: Any) -> Mapping[str, Any]:
    call = decode(encode(Call(1, "requests.new", {**NEW, **more})))
    assert isinstance(call, Call)
    found: Mapping[str, Any] = USER_CALLS["requests.new"].body(call.body, "body")
    return found


BAD_NEW: list[tuple[dict[str, Any], type[UsageError]]] = [
    ({"caps": None}, BadRequest),
    ({"caps": []}, BadRequest),
    ({"caps": {"a": 1}}, BadRequest),
    ({"caps": {"k" * (d.CAP_KEY_BYTES + 1): ""}}, TooLarge),
    ({"caps": {"k": "v" * (d.CAP_VALUE_BYTES + 1)}}, TooLarge),
    ({"caps": {str(at): "" for at in range(d.CAPS_ENTRIES + 1)}}, TooLarge),
    ({"priority": "high"}, PriorityOutOfBounds),
    ({"priority": 8.0}, PriorityOutOfBounds),
    ({"priority": True}, PriorityOutOfBounds),
    ({"priority": 1 << 63}, PriorityOutOfBounds),
    ({"valid_after": "tomorrow"}, BadTime),
    ({"deadline": 1.5e9}, BadTime),
    ({"deadline": year(30_000)}, BadTime),
    ({"job_timeout_s": float("nan")}, BadTime),
    ({"job_timeout_s": "1h"}, BadTime),
    ({"groups": "lab"}, BadRequest),
    ({"groups": [""]}, BadRequest),
    ({"groups": ["g"] * (d.GROUPS_ENTRIES + 1)}, TooLarge),
    ({"note": "n" * (d.NOTE_BYTES + 1)}, TooLarge),
    ({"token": "t" * (d.TOKEN_BYTES + 1)}, TooLarge),
    ({"token": ""}, BadRequest),
    ({"bound": 1}, BadRequest),
]


@pytest.mark.parametrize(("more", "kind"), BAD_NEW, ids=lambda v: repr(v)[:40])
def test_a_bad_request_is_refused_with_its_code(
    more: dict[str, Any], kind: type[UsageError]
) -> None:
    with pytest.raises(UsageError) as caught:
        new(**more)
    assert type(caught.value) is kind


def test_a_request_at_every_limit_is_taken() -> None:
    caps = {f"{at:0{d.CAP_KEY_BYTES}}": "v" * d.CAP_VALUE_BYTES for at in range(d.CAPS_ENTRIES)}
    body = {
        "caps": caps,
        "priority": 17,  # whether it may be is the engine's to say
        "valid_after": NOON,
        "deadline": NOON,
        "job_timeout_s": 1,
        "groups": ["g" * d.GROUP_BYTES] * d.GROUPS_ENTRIES,
        "note": "n" * d.NOTE_BYTES,
        "token": "t" * d.TOKEN_BYTES,
        "bound": True,
    }
    assert new(**body) == body


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ({"limit": d.WIRE_PAGE + 1}, BadPage),
        ({"limit": -1}, BadPage),
        ({"limit": "10"}, BadPage),
        ({"direction": "sideways"}, BadPage),
        ({"id": "x"}, BadRequest),
    ],
)
def test_a_bad_page_is_refused_with_its_code(page: dict[str, Any], kind: type[UsageError]) -> None:
    with pytest.raises(UsageError) as caught:
        USER_CALLS["requests.list"].body({"page": page}, "body")
    assert type(caught.value) is kind


def test_a_bad_order_is_refused_with_its_code() -> None:
    with pytest.raises(BadSort):
        USER_CALLS["workers.list"].body({"sort": {"item": "uuid", "order": "up"}}, "body")


@pytest.mark.parametrize("number", [0, -1, 1 << 40])
def test_an_id_that_cannot_be_is_asked_for_all_the_same(number: int) -> None:
    # The engine says not_found, as it does in process.
    assert USER_CALLS["requests.get"].body({"id": number}, "body") == {"id": number}


@pytest.mark.parametrize("epoch", [[1], [1, 2, 3], [1, -1], [1, "2"], "12", {}])
def test_an_epoch_is_a_pair(epoch: object) -> None:
    with pytest.raises(UsageError):
        DRYAD_CALLS["dryad.end_session"].body({"epoch": epoch, "reason": ""}, "body")


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_session_has_16_bytes(size: int) -> None:
    hello = {"role": "user", "protocols": [1], "software": "x", "session": bytes(size)}
    with pytest.raises(BadRequest, match="16 bytes"):
        HELLO.body(hello, "body")


def test_states_that_a_newer_server_knows_pass_the_wire() -> None:
    worker = {"worker_uuid": "u", "state": "ON HOLIDAY"}
    assert USER_CALLS["workers.get"].reply({"worker": worker}, "body")["worker"] == worker
    longest = max(len(state) for state in [*ReqState, *WorkerState])
    assert longest <= 32


# --- what is sent again
def test_what_changes_nothing_or_has_its_effect_once_is_sent_again() -> None:
    again = {kind for kind in USER_CALLS if sent_again(kind, {})}
    assert again == {
        "requests.close", "requests.update", "requests.get", "requests.list", "requests.acquire",
        "workers.list", "workers.get", "server.info", "ping", "events.history",
        "events.subscribe",
    }  # fmt: skip
    assert not sent_again("events.subscribe", {"after_seq": "life-7"})


@pytest.mark.parametrize("kind", ["requests.new", "requests.prolong"])
def test_what_has_a_token_is_sent_again_and_without_one_never(kind: str) -> None:
    assert sent_again(kind, {"token": "t"})
    assert not sent_again(kind, {})
    assert not sent_again(kind, {"token": None})


@pytest.mark.parametrize("kind", ["superviser.register", "hello", "no.such", "workers.set_state"])
def test_the_rest_is_never_sent_again(kind: str) -> None:
    assert not sent_again(kind, {"token": "t"})


def test_the_protocol_is_1() -> None:
    assert wire.PROTOCOLS == (1,)
