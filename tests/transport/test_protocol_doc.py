"""docs/protocol.md says what the code does: every table, number and test vector."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from boruta.domain import defaults
from boruta.domain.codes import CODES, ERRORS
from boruta.domain.types import ReqState, WorkerState
from tests.transport import doc_page
from tests.transport.doc_page import Vector
from transport import wire
from transport.checker import Check, Optional, shape
from transport.codec import (
    Call,
    ErrorReply,
    Notice,
    Reply,
    Unreadable,
    decode,
    encode,
    pack,
    unpack,
)
from transport.wire import DRYAD_CALLS, HELLO, NOTICES, USER_CALLS, WORKER_CALLS, Again, CallType

PAGE = doc_page.read("protocol.md")
VECTORS = doc_page.vectors(PAGE)
MAPS = {"request": wire.REQUEST, "worker": wire.WORKER, "access": wire.ACCESS}
CALLS: Mapping[str, CallType] = {"hello": HELLO, **USER_CALLS, **WORKER_CALLS, **DRYAD_CALLS}
SECTIONS: Mapping[str, Mapping[str, CallType]] = {
    "hello": {"hello": HELLO},
    "User calls": USER_CALLS,
    # `ping` stands among the user calls; it is the same for all.
    "Worker calls": {kind: call for kind, call in WORKER_CALLS.items() if kind != "ping"},
    "Server calls to a worker": {k: call for k, call in DRYAD_CALLS.items() if k != "ping"},
}


def _map_name(check: Check) -> str | None:
    return next((name for name, known in MAPS.items() if known is check), None)


def _says(check: Check) -> str:
    found = shape(check)
    inner = None if found.item is None else _map_name(found.item)
    return _map_name(check) or (found.says if not inner else found.says.removesuffix("map") + inner)


def rows(check: Check, before: str = "") -> list[tuple[str, str, str]]:
    """(name, mark, type) of each field that a check names, those of inner maps too."""
    found: list[tuple[str, str, str]] = []
    for name, field in (shape(check).fields or {}).items():
        inner = field.check if isinstance(field, Optional) else field
        mark = "?" if isinstance(field, Optional) else ""
        found.append((before + name, mark, _says(inner)))
        if _map_name(inner) is None:
            found += rows(inner, f"{before}{name}.")
            item = shape(inner).item
            if item is not None and _map_name(item) is None:
                found += rows(item, f"{before}{name}[].")
    return found


# --- tables
@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_exactly_the_calls_of_the_code(title: str) -> None:
    found = doc_page.parts(doc_page.section(PAGE, title))
    assert [kind for kind in found if kind != "Sessions"] == list(SECTIONS[title])


def test_the_notices_are_exactly_those_of_the_code() -> None:
    assert list(doc_page.parts(doc_page.section(PAGE, "Notices"))) == list(NOTICES)


@pytest.mark.parametrize(
    ("title", "kind"), [(title, kind) for title, calls in SECTIONS.items() for kind in calls]
)
def test_a_call_has_exactly_the_fields_of_the_code(title: str, kind: str) -> None:
    text, call = doc_page.parts(doc_page.section(PAGE, title))[kind], CALLS[kind]
    assert doc_page.fields(text, "Body") == rows(call.body)
    assert doc_page.fields(text, "Reply") == rows(call.reply)


@pytest.mark.parametrize("kind", NOTICES)
def test_a_notice_has_exactly_the_fields_of_the_code(kind: str) -> None:
    text = doc_page.parts(doc_page.section(PAGE, "Notices"))[kind]
    assert doc_page.fields(text, "Body") == rows(NOTICES[kind])


@pytest.mark.parametrize("name", MAPS)
def test_a_map_has_exactly_the_fields_of_the_code(name: str) -> None:
    text = doc_page.parts(doc_page.section(PAGE, "Maps"))[name]
    assert doc_page.fields(text, "Fields") == rows(MAPS[name])


def test_what_is_sent_again_is_what_the_code_sends_again() -> None:
    words = {
        "yes": Again.ALWAYS,
        "yes, if it has a `token`": Again.TOKENED,
        "yes, if it has no `after_seq`": Again.ANEW,
    }
    table = doc_page.tables(doc_page.section(PAGE, "After a reconnect"))[0]
    said = {row[0].strip("`"): words[row[1]] for row in table[:-1]}
    assert said == {k: call.again for k, call in CALLS.items() if call.again is not Again.NEVER}
    assert table[-1][0] == "all others"


def test_the_error_table_has_exactly_the_codes_and_exit_statuses() -> None:
    table = doc_page.tables(doc_page.section(PAGE, "Errors"))[0]
    assert {row[0].strip("`"): int(row[1]) for row in table} == {
        code: ERRORS[code].exit_status for code in CODES
    }
    assert len(table) == len(CODES)


def test_the_states_are_exactly_those_of_the_code() -> None:
    requests, workers = doc_page.tables(doc_page.section(PAGE, "States", level=3))
    assert {row[0].strip("`") for row in requests} == set(ReqState)
    assert {row[0].strip("`") for row in workers} == set(WorkerState)


# --- numbers
NUMBERS = doc_page.numbers(PAGE)


@pytest.mark.parametrize(("name", "said"), NUMBERS, ids=[name for name, _ in NUMBERS])
def test_a_number_in_the_text_is_the_codes(name: str, said: tuple[float, ...]) -> None:
    value = getattr(defaults, name)
    assert said == (value if isinstance(value, tuple) else (value,))


def test_no_number_in_the_text_lacks_its_name() -> None:
    bold = re.findall(r"\*\*\d[^*\n]*\*\*", PAGE.split("## Test vectors")[0])
    assert len(bold) == len(NUMBERS) > 20


LIMITS = doc_page.tables(doc_page.section(PAGE, "Limits"))[0]


@pytest.mark.parametrize(("words", "name"), [(row[0], row[1].strip("`")) for row in LIMITS])
def test_a_limit_in_the_table_is_the_codes(words: str, name: str) -> None:
    assert int(words.split()[0]) == getattr(defaults, name)


# --- test vectors
def _check(vector: Vector) -> Check | None:
    kind, _, what = vector.kind.partition(" ")
    if what == "body":
        return CALLS[kind].body
    if what == "reply":
        return CALLS[kind].reply
    return NOTICES[kind] if what == "notice" else None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector_holds_in_both_directions(vector: Vector) -> None:
    assert unpack(vector.frame) == vector.message
    assert pack(vector.message).hex() == vector.frame.hex()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector_is_a_message_of_the_kind_that_it_says(vector: Vector) -> None:
    message = decode(vector.frame)
    assert encode(message).hex() == vector.frame.hex()
    kind, _, what = vector.kind.partition(" ")
    wanted = {"body": Call, "reply": Reply, "notice": Notice, "": ErrorReply}[what]
    assert type(message) is wanted
    if isinstance(message, (Call, Notice)):
        assert message.type == kind
    if isinstance(message, ErrorReply):
        assert message.error.code == vector.message["error"]["code"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_body_of_a_vector_passes_the_checks_whole(vector: Vector) -> None:
    check = _check(vector)
    if check is not None:
        body = vector.message["body"]
        assert check(body, "body") == body


def test_every_vector_of_the_page_is_read() -> None:
    assert len(VECTORS) == PAGE.count("```vector") > 40
    assert len({vector.name + vector.kind for vector in VECTORS}) == len(VECTORS)


def test_every_command_and_notice_has_a_vector() -> None:
    kinds = {vector.kind for vector in VECTORS}
    for kind in DRYAD_CALLS:
        assert {f"{kind} body", f"{kind} reply"} <= kinds
    for kind in ("hello", "requests.new", "requests.get", "superviser.register"):
        assert {f"{kind} body", f"{kind} reply"} <= kinds
    assert {f"{kind} notice" for kind in NOTICES} <= kinds
    assert "error" in kinds


def test_the_vectors_have_all_three_lengths_of_a_time() -> None:
    frames = b"".join(vector.frame for vector in VECTORS)
    for head in (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"):
        assert head in frames


# --- what the text says of the codec
def test_lists_and_maps_are_as_long_as_the_page_says() -> None:
    assert decode(encode(Notice("x", {"it": [0] * 1000}))) == Notice("x", {"it": [0] * 1000})
    with pytest.raises(Unreadable, match="exceeds"):
        decode(encode(Notice("x", {"it": [0] * 1001})))


def test_nesting_may_be_as_deep_as_the_page_says() -> None:
    deep: object = 0
    for _ in range(490):
        deep = [deep]
    assert unpack(pack(deep)) == deep
