"""Frames of protocol 1: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import struct
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.defaults import FRAME_BYTES
from boruta.domain.errors import (
    CODES,
    BadRequest,
    BorutaError,
    InternalLogicError,
    NotFoundError,
    TooLarge,
    error_from,
)
from tests.transport.values import FIXED, NOON, bodies, plain, raw, said, wild, words, year
from transport import codec
from transport.codec import (
    Call,
    ErrorReply,
    Message,
    Notice,
    Reply,
    Unreadable,
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


def refused(frame: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        decode(frame)
    assert caught.value.code == "bad_frame"
    return caught.value


def read(frame: bytes) -> Message | Unreadable:
    """A message or Unreadable; any other exception fails the test."""
    try:
        return decode(frame)
    except Unreadable as error:
        return error


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


# --- what comes in
@FIXED
@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_unreadable(frame: bytes) -> None:
    read(frame)


@FIXED
@given(messages, st.data())
def test_a_damaged_message_is_a_message_or_unreadable(
    message: Call | Reply | Notice, how: st.DataObject
) -> None:
    frame = bytearray(encode(message))
    for _ in range(how.draw(st.integers(1, 4))):
        frame[how.draw(st.integers(0, len(frame) - 1))] = how.draw(st.integers(0, 255))
    cut = how.draw(st.integers(0, len(frame)))
    read(bytes(frame))
    read(bytes(frame[:cut]))


@FIXED
@given(wild | st.dictionaries(st.sampled_from(["v", "id", "re", "type", "body", "error"]), wild))
def test_whatever_msgpack_can_say_is_a_message_or_unreadable(value: object) -> None:
    found = read(raw(value))
    if isinstance(found, Unreadable):
        assert found.re is None or 0 <= found.re < 1 << 63


@FIXED
@given(st.dictionaries(st.sampled_from(["code", "message", "details"]), wild))
def test_whatever_stands_in_an_error_is_an_error_or_unreadable(error: dict[str, Any]) -> None:
    found = read(said(re=1, error=error))
    assert isinstance(found, (ErrorReply, Unreadable))


NASTY = {
    "nothing": b"",
    "10,000 nested maps": b"\x81\xa1a" * 10_000 + b"\xc0",
    "100,000 nested lists": b"\x91" * 100_000,
    "1 MB of 0x80": b"\x80" * FRAME_BYTES,
    "a list of 2^32-1": b"\xdd\xff\xff\xff\xff",
    "a map of 2^32-1": b"\xdf\xff\xff\xff\xff",
    "a text of 2^32-1": b"\xdb\xff\xff\xff\xff",
    "bytes of 2^32-1": b"\xc6\xff\xff\xff\xff",
    "an extension of 2^32-1": b"\xc9\xff\xff\xff\xff\xff",
    "the byte that msgpack never uses": b"\xc1",
    "not UTF-8": b"\x81\xa2\xff\xfe\x01",
    "a surrogate": b"\x81\xa3\xed\xa0\x80\x01",
    "a key that is a map": b"\x81\x80\x01",
    "a list": raw([1, 2, 3]),
    "a number": raw(1),
    "nil": raw(None),
    "a time": raw(msgpack.Timestamp(0, 0)),
    "a time far away": raw(msgpack.Timestamp(1 << 60, 0)),
}


@pytest.mark.parametrize("frame", NASTY.values(), ids=NASTY)
def test_what_is_no_message_is_refused(frame: bytes) -> None:
    assert refused(frame).re == 0


def test_two_messages_in_a_frame_are_none() -> None:
    assert refused(said(id=5, type="ping") * 2).re == 5
    assert refused(said(type="heartbeat") * 2).re is None


def test_a_frame_over_the_limit_is_refused_unread_and_is_one_too_many() -> None:
    error = refused(bytes(FRAME_BYTES + 1))
    assert error.fatal
    assert not refused(b"").fatal


UNANSWERABLE = [
    {"type": "x", "body": 5},  # a notice
    {"type": ""},
    {"type": "x" * 65},
    {"type": 5},
    {"v": 2, "type": "x"},
    {"re": "x"},
    {"re": -1},
    {"re": 1 << 63},
    {"re": True},
    {"re": 1, "body": []},
    {"re": 1, "error": "no"},
    {"re": 1, "error": {}},
    {"re": 1, "error": {"code": "x", "message": 5}},
    {"re": 1, "error": {"code": "x", "details": []}},
    {"re": 1, "v": 2},
    {"re": 1, "body": {"at": msgpack.ExtType(5, b"x")}},
    {"type": "x", "body": {"it": [0] * 1001}},
]


@pytest.mark.parametrize("fields", UNANSWERABLE, ids=repr)
def test_a_bad_reply_or_notice_is_never_answered(fields: dict[str, object]) -> None:
    assert refused(said(**fields)).re is None


@pytest.mark.parametrize(
    "number", [0, -1, 1 << 63, (1 << 64) - 1, 1.0, True, "1", b"1", None, [], year(30000)], ids=repr
)
def test_a_call_without_a_usable_id_is_answered_with_re_0(number: object) -> None:
    assert refused(said(id=number, type="ping")).re == 0


BAD_CALLS = {
    "another version": {"v": 2, "type": "ping"},
    "a version of another type": {"v": True, "type": "ping"},
    "no version": {"v": None, "type": "ping"},
    "no type": {},
    "an empty type": {"type": ""},
    "a body that is a list": {"type": "ping", "body": []},
    "an extension": {"type": "ping", "body": {"it": msgpack.ExtType(5, b"x")}},
    "a number as key": {"type": "ping", "body": {1: 2}},
    "a long list": {"type": "ping", "body": {"it": [0] * 1001}},
    "a long map": {"type": "ping", "body": {str(at): at for at in range(1001)}},
}


@pytest.mark.parametrize("fields", BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_is_answered_by_its_number(fields: dict[str, object]) -> None:
    assert refused(raw({"v": 1, "id": 77, **fields})).re == 77
    assert refused(raw({"v": 1, **fields, "id": 77})).re == 77  # wherever the id stands


@pytest.mark.parametrize(
    "stamp",
    [
        b"\xd7\xff" + struct.pack(">Q", 1_000_000_001 << 34),  # more than a second of nanoseconds
        b"\xc7\x03\xff\x00\x00\x00",  # three bytes
        b"\xc7\x0d\xff" + bytes(13),
    ],
)
def test_a_broken_time_spoils_its_frame_and_the_call_is_answered(stamp: bytes) -> None:
    frame = said(id=77, type="ping", body={"it": 0})
    assert refused(frame[:-1] + stamp).re == 77


@pytest.mark.parametrize("when", [0, 10_000, 30_000, -5, 1 << 33])
def test_a_year_that_no_datetime_holds_spoils_its_field_alone(when: int) -> None:
    frame = said(id=77, type="x", body={"at": [year(when)], "then": year(2000), "it": {"a": 1}})
    found = decode(frame)
    assert isinstance(found, Call)
    assert not isinstance(found.body["at"][0], datetime)  # no check takes it
    assert isinstance(found.body["then"], datetime)
    assert found.body["it"] == {"a": 1}


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
