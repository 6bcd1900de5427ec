"""Frames that are no message of protocol 1: each is refused, and answered where it may be."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.defaults import FRAME_BYTES
from tests.transport.test_codec import messages
from tests.transport.values import FIXED, raw, said, wild, year
from transport.codec import (
    Call,
    ErrorReply,
    Message,
    Notice,
    Reply,
    Unreadable,
    decode,
    encode,
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
