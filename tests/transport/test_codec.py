"""Frames of protocol 1: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.codes import CODES, error_from
from boruta.domain.defaults import FRAME_BYTES
from boruta.domain.errors import (
    BadRequest,
    BorutaError,
    InternalLogicError,
    NotFoundError,
    TooLarge,
)
from tests.transport.values import FIXED, NOON, bodies, plain, raw, said, words
from transport import codec
from transport.codec import (
    Call,
    ErrorReply,
    Notice,
    Reply,
    decode,
    encode,
    pack,
    unpack,
)

numbers = st.integers(1, (1 << 63) - 1)
kinds = st.text("abcdefghijklmnopqrstuvwxyz._", min_size=1, max_size=64)
messages = (
    st.builds(Call, numbers, kinds, bodies)
    | st.builds(Reply, st.integers(0, (1 << 63) - 1), bodies)
    | st.builds(Notice, kinds, bodies)
)


# --- round trips
@FIXED
@given(messages)
def test_what_is_encoded_is_decoded_to_the_same(message: Call | Reply | Notice) -> None:
    assert decode(encode(message)) == message


@FIXED
@given(st.sampled_from(sorted(CODES)), words, bodies)
def test_an_error_comes_back_with_its_code_text_and_details(
    code: str, text: str, details: dict[str, Any]
) -> None:
    sent = error_from(code, text, details)
    found = decode(encode(ErrorReply(7, sent)))
    assert isinstance(found, ErrorReply)
    assert (found.re, type(found.error)) == (7, type(sent))
    assert (found.error.message, found.error.details) == (text, sent.details)


@pytest.mark.parametrize(
    "when",
    [
        NOON,
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),  # past 32 bits of seconds
        datetime(2514, 5, 30, 1, 53, 4, 1, tzinfo=UTC),  # past 34
    ],
)
def test_times_keep_their_microseconds(when: datetime) -> None:
    found = decode(encode(Notice("x", {"at": when})))
    assert isinstance(found, Notice)
    assert found.body["at"] == when
    assert found.body["at"].utcoffset() == timedelta(0)


def test_digits_finer_than_microseconds_are_cut() -> None:
    found = unpack(raw(msgpack.Timestamp(5, 999_999_999)))
    assert found == datetime(1970, 1, 1, 0, 0, 5, 999999, tzinfo=UTC)


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert unpack(pack(there)) == NOON


# --- what cannot be sent
@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        1 << 64,
        -(1 << 63) - 1,
        datetime(2030, 1, 1),  # noqa: DTZ001
        "\ud800",
        lambda: None,
    ],
)
def test_what_msgpack_cannot_hold_is_a_bad_request(value: object) -> None:
    with pytest.raises(BadRequest):
        encode(Call(1, "x", {"it": value}))
    assert decode(encode(Call(1, "x", {}))) == Call(1, "x", {})  # the next one is unhurt


def test_a_value_that_holds_itself_is_a_bad_request() -> None:
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(BadRequest):
        pack(ring)


def test_a_frame_has_one_mebibyte_and_not_one_byte_more() -> None:
    rest = len(encode(Call(1, "x", {"it": bytes(70_000)}))) - 70_000
    assert len(encode(Call(1, "x", {"it": bytes(FRAME_BYTES - rest)}))) == FRAME_BYTES
    with pytest.raises(TooLarge) as caught:
        encode(Call(1, "x", {"it": bytes(FRAME_BYTES - rest + 1)}))
    assert caught.value.details["limit"] == FRAME_BYTES


@FIXED
@given(words, st.dictionaries(st.text(max_size=5), plain | st.text(max_size=5) | st.builds(object)))
def test_an_error_reply_can_always_be_sent(text: str, details: dict[str, Any]) -> None:
    found = decode(encode(ErrorReply(3, NotFoundError(text, **details))))
    assert isinstance(found, ErrorReply)
    assert isinstance(found.error, NotFoundError)


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("\ud800 half a character"),
        BadRequest("x" * (3 << 20)),
        BadRequest("many", **{f"d{at}": "x" * 100_000 for at in range(30)}),
        BadRequest("huge", it=bytes(2 << 20), small=1),
        BadRequest("strange", **{"\ud800": 1, "it": {1, 2}, "self": 2, "message": 3}),
    ],
    ids=["surrogate", "long", "many", "huge", "strange"],
)
def test_an_error_too_large_to_send_loses_its_details_but_not_its_code(error: BadRequest) -> None:
    found = decode(encode(ErrorReply(3, error)))
    assert isinstance(found, ErrorReply)
    assert isinstance(found.error, BadRequest)
    assert found.error.message[:1] in (error.message[0], "?")


def test_threads_encode_at_the_same_time() -> None:
    wrong: list[object] = []

    def work(mark: int) -> None:
        message = Call(mark + 1, "x", {"it": [mark] * 200, "at": NOON})
        wrong.extend(1 for _ in range(300) if decode(encode(message)) != message)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- what a newer or sloppier peer may say
def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    frame = b"\x84\xa1v\x01\xa2id\x07\xa4type\xa1x\xa4body\x82\xa1a\x01\xa1a\x02"
    assert decode(frame) == Call(7, "x", {"a": 2})


def test_what_a_newer_peer_adds_is_ignored() -> None:
    assert decode(said(id=1, type="x", body={}, trace="abc", at=NOON)) == Call(1, "x", {})
    assert decode(said(re=1, body={}, trace="abc")) == Reply(1, {})


def test_a_body_left_out_is_empty_and_nil_is_left_out() -> None:
    assert decode(said(id=1, type="x")) == decode(said(id=1, type="x", body=None))
    assert decode(said(id=1, type="x")) == Call(1, "x", {})
    assert decode(said(type="x", body=None, re=None)) == Notice("x", {})
    assert decode(said(re=1, body=None, error=None)) == Reply(1, {})
    found = decode(said(re=1, error={"code": "busy", "message": None, "details": None}))
    assert isinstance(found, ErrorReply)
    assert found.error.code == "busy"


def test_an_error_code_of_a_newer_peer_is_an_internal_error_with_its_text() -> None:
    found = decode(said(re=1, error={"code": "on_fire", "message": "run"}))
    assert isinstance(found, ErrorReply)
    assert type(found.error) is InternalLogicError
    assert str(found.error) == "run"


def test_details_may_have_any_names() -> None:
    details = {"self": 1, "message": 2, "re": 3, "kind": 4, "code": 5}
    found = decode(said(re=1, error={"code": "bad_frame", "message": "m", "details": details}))
    assert isinstance(found, ErrorReply)
    assert isinstance(found.error, BorutaError)
    assert found.error.details == details
    assert (found.error.message, found.error.code) == ("m", "bad_frame")


def test_an_errors_text_has_a_bound() -> None:
    found = decode(said(re=1, error={"code": "internal", "message": "x" * 500_000}))
    assert isinstance(found, ErrorReply)
    assert len(found.error.message) == codec.ERROR_TEXT
