"""Bytes of protocol 1: one frame, one msgpack map, one message. No I/O.

Whatever the bytes are, `decode` gives a message or raises BadFrame, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgpack

from boruta.domain.defaults import FRAME_BYTES
from boruta.domain.errors import BadFrame, BadRequest, BorutaError, TooLarge, error_from

VERSION: Final = 1
_MOST_ITEMS: Final = 1000  # of an array or a map; 1 MB of 0x80 is 70 MB of objects otherwise
_MOST_EXT: Final = 12  # the largest timestamp
_ID_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Call:
    """Wants a reply with the same number."""

    id: int
    type: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answers the call `re`."""

    re: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """Answers the call `re`: refused, or failed. `re` is 0 where no call could be told."""

    re: int
    error: BorutaError


@dataclass(frozen=True, slots=True)
class Notice:
    """Wants no reply."""

    type: str
    body: dict[str, Any]


Message: TypeAlias = Call | Reply | ErrorReply | Notice


class Unreadable(BadFrame):
    """A frame that is no message; `re` is the call to answer, None where none may be."""

    def __init__(self, message: str, re: int | None = 0) -> None:
        super().__init__(message)
        self.re = re


def _no_ext(code: int, _: bytes) -> object:
    raise ValueError(f"extension type {code}")


_pack = msgpack.Packer(use_bin_type=True, datetime=True, autoreset=True).pack


def pack(value: object) -> bytes:
    """msgpack of plain values, times among them.

    Raises:
        BadRequest: a value that msgpack cannot hold.
    """
    try:
        return _pack(value)  # type: ignore[no-any-return]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadRequest(f"this cannot be sent: {error}") from None


def _frame(message: Mapping[str, object]) -> bytes:
    frame = pack(message)
    if len(frame) > FRAME_BYTES:
        raise TooLarge(
            f"a frame of {len(frame)} bytes: at most {FRAME_BYTES} go over the wire",
            limit=FRAME_BYTES,
        )
    return frame


def encode(message: Message) -> bytes:
    """The frame of a message.

    Raises:
        TooLarge: it is over 1 MiB.
        BadRequest: it holds what msgpack cannot.
    """
    match message:
        case Call():
            return _frame(
                {"v": VERSION, "id": message.id, "type": message.type, "body": message.body}
            )
        case Reply():
            return _frame({"v": VERSION, "re": message.re, "body": message.body})
        case Notice():
            return _frame({"v": VERSION, "type": message.type, "body": message.body})
        case ErrorReply():
            error = message.error
            return _frame({"v": VERSION, "re": message.re, "error": {
                "code": error.code, "message": error.message, "details": _sendable(error.details),
            }})


def _sendable(details: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in details.items():
        try:
            if len(pack(value)) <= FRAME_BYTES // 8:
                kept[key] = value
        except BadRequest:
            kept[key] = str(value)
    return kept


def unpack(frame: bytes) -> object:
    """Plain values of msgpack bytes, within the limits of the protocol.

    Raises:
        Unreadable: anything else.
    """
    if len(frame) > FRAME_BYTES:
        raise Unreadable(f"a frame of {len(frame)} bytes: at most {FRAME_BYTES} are allowed")
    try:
        return msgpack.unpackb(
            frame,
            raw=False,
            timestamp=3,
            strict_map_key=True,
            ext_hook=_no_ext,
            max_str_len=FRAME_BYTES,
            max_bin_len=FRAME_BYTES,
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_ITEMS,
            max_ext_len=_MOST_EXT,
        )
    except RecursionError:
        raise Unreadable("not msgpack within limits: nested too deep") from None
    except (ValueError, TypeError, OverflowError, ArithmeticError, msgpack.UnpackException) as e:
        raise Unreadable(f"not msgpack within limits: {type(e).__name__}: {e!s:.100}") from None


def decode(frame: bytes) -> Message:
    """The message of a frame.

    Raises:
        Unreadable: it is none.
    """
    found = unpack(frame)
    if not isinstance(found, dict):
        raise Unreadable(f"a message is a map, this is a {type(found).__name__}")
    if "re" in found:
        return _reply(found)
    if "id" in found:
        number = found["id"]
        if type(number) is not int or not 0 < number <= _ID_MOST:
            raise Unreadable("id: want a whole number above 0")
        return Call(number, *_said(found, number))
    return Notice(*_said(found, None))


def _version(found: Mapping[str, Any], re: int | None) -> None:
    version = found.get("v")
    if type(version) is not int or version != VERSION:
        raise Unreadable(f"v: want {VERSION}, got {version!r:.40}", re)


def _said(found: Mapping[str, Any], re: int | None) -> tuple[str, dict[str, Any]]:
    _version(found, re)
    kind, body = found.get("type"), found.get("body", {})
    if not isinstance(kind, str) or not 0 < len(kind) <= 64:
        raise Unreadable("type: want text of 1 to 64 characters", re)
    if not isinstance(body, dict):
        raise Unreadable("body: want a map", re)
    return kind, body


def _reply(found: Mapping[str, Any]) -> Reply | ErrorReply:
    _version(found, None)
    re = found["re"]
    if type(re) is not int or not 0 <= re <= _ID_MOST:
        raise Unreadable("re: want the number of a call", None)
    if "error" not in found:
        body = found.get("body", {})
        if not isinstance(body, dict):
            raise Unreadable("body: want a map", None)
        return Reply(re, body)
    error = found["error"]
    if not isinstance(error, dict):
        raise Unreadable("error: want a map", None)
    code, message, details = error.get("code"), error.get("message", ""), error.get("details", {})
    if not isinstance(code, str) or not isinstance(message, str) or not isinstance(details, dict):
        raise Unreadable("error: want code and message as text, details as a map", None)
    return ErrorReply(re, error_from(code, message, dict(details)))
