"""Bytes of protocol 1: one frame, one msgpack map, one message. No I/O.

Whatever the bytes are, `decode` gives a message or raises Unreadable, and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgpack

from boruta.domain.codes import error_from
from boruta.domain.defaults import FRAME_BYTES
from boruta.domain.errors import BadFrame, BadRequest, BorutaError, TooLarge

VERSION: Final = 1
_MOST_ITEMS: Final = 1000  # of an array or a map; 1 MB of 0x80 is 70 MB of objects otherwise
_MOST_EXT: Final = 12  # the largest timestamp
_ID_MOST: Final = (1 << 63) - 1
ERROR_TEXT: Final = 4096  # characters of an error's message; it is for people
_LIMITS: Final = {
    "raw": False,
    "strict_map_key": True,
    "max_str_len": FRAME_BYTES,
    "max_bin_len": FRAME_BYTES,
    "max_array_len": _MOST_ITEMS,
    "max_map_len": _MOST_ITEMS,
    "max_ext_len": _MOST_EXT,
}


@dataclass(frozen=True, slots=True)
class Call:
    """Wants a reply with the same number."""

    id: int
    type: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """The body of a reply that is msgpack already."""

    data: bytes


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
    """A frame that is no message.

    `re` is the call to answer, 0 where it cannot be told, None where none may be answered;
    `fatal` says that this one frame is enough to part.
    """

    def __init__(self, message: str, re: int | None = 0, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.re = re
        self.fatal = fatal


def _no_ext(code: int, _: bytes) -> object:
    raise ValueError(f"extension type {code}")


class _Packers(threading.local):
    """One re-used Packer a thread: it must not be entered twice, and a new one costs as much."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer(use_bin_type=True, datetime=True, autoreset=True).pack


_packers: Final = _Packers()


def pack(value: object) -> bytes:
    """msgpack of plain values, times among them.

    Raises:
        BadRequest: a value that msgpack cannot hold.
    """
    try:
        return _packers.pack(value)  # type: ignore[no-any-return]
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise BadRequest(f"this cannot be sent: {error!s:.200}") from None


def _frame(message: Mapping[str, object]) -> bytes:
    return _bounded(pack(message))


def _bounded(frame: bytes) -> bytes:
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
            return _error_frame(message.re, message.error)


def encode_packed(re: int, body: Packed) -> bytes:
    """The frame of a reply whose body is packed.

    Raises:
        TooLarge: it is over 1 MiB.
    """
    head = pack({"v": VERSION, "re": re, "body": None})
    return _bounded(head[:-1] + body.data)  # nil is one byte


def _error_frame(re: int, error: BorutaError) -> bytes:
    said: dict[str, object] = {"code": error.code, "message": _printed(error.message, ERROR_TEXT)}
    try:
        return _frame({"v": VERSION, "re": re, "error": {**said, "details": error.details}})
    except (BadRequest, TooLarge):
        said["details"] = _sendable(error.details)
        return _frame({"v": VERSION, "re": re, "error": said})


def _printed(value: object, most: int) -> str:
    return str(value)[:most].encode("utf-8", "replace").decode()


def _sendable(details: Mapping[str, object]) -> dict[str, object]:
    """What can be sent of them, within half a frame; what msgpack cannot hold as text."""
    kept: dict[str, object] = {}
    room = FRAME_BYTES // 2
    for name, value in details.items():
        key = _printed(name, 100)
        try:
            size = len(pack({key: value}))
        except BadRequest:
            value = _printed(value, 200)
            size = len(pack({key: value}))
        if size <= room:
            kept[key] = value
            room -= size
    return kept


def unpack(frame: bytes) -> object:
    """Plain values of msgpack bytes, within the limits of the protocol.

    Raises:
        Unreadable: anything else.
    """
    if len(frame) > FRAME_BYTES:
        raise Unreadable(
            f"a frame of {len(frame)} bytes: at most {FRAME_BYTES} are allowed", fatal=True
        )
    try:
        try:
            return msgpack.unpackb(frame, timestamp=3, ext_hook=_no_ext, **_LIMITS)
        except (OverflowError, ValueError):
            # A time that no datetime holds is the fault of one field, not of the frame.
            found = msgpack.unpackb(frame, timestamp=0, ext_hook=_no_ext, **_LIMITS)
            return _with_times(found)
    except RecursionError:
        fault = "nested too deep"
    except (ValueError, TypeError, ArithmeticError, msgpack.UnpackException) as error:
        fault = f"{type(error).__name__}: {error!s:.100}"
    raise Unreadable(f"not msgpack within limits: {fault}", _whose(frame))


def _with_times(found: object) -> object:
    """The same with timestamps as times; those outside the years 1 to 9999 stay as they are.

    No check takes these, and its error names the field.
    """
    todo: list[Any] = [found] if isinstance(found, (dict, list)) else []
    while todo:
        whole = todo.pop()
        for at, one in whole.items() if isinstance(whole, dict) else enumerate(whole):
            if isinstance(one, msgpack.Timestamp):
                try:
                    whole[at] = one.to_datetime()
                except (OverflowError, ValueError):
                    pass
            elif isinstance(one, (dict, list)):
                todo.append(one)
    return found


def _whose(frame: bytes) -> int | None:
    """The call that an unreadable frame would have been: its id; 0 unknown; None for no call.

    Only the outer map is looked at: nothing is built of the rest, which may be over any limit.
    """
    ours: dict[str, object] = {}
    try:
        reader = msgpack.Unpacker(max_buffer_size=FRAME_BYTES, raw=False)
        reader.feed(frame)
        for _ in range(reader.read_map_header()):
            name = reader.unpack()
            if name in ("id", "re", "type"):
                ours[name] = reader.unpack()
            else:
                reader.skip()
    except Exception:  # as far as it could be read
        pass
    if ours.get("re") is not None or ("type" in ours and "id" not in ours):
        return None
    number = ours.get("id")
    return number if type(number) is int and 0 < number <= _ID_MOST else 0


def decode(frame: bytes) -> Message:
    """The message of a frame.

    Raises:
        Unreadable: it is none.
    """
    found = unpack(frame)
    if not isinstance(found, dict):
        raise Unreadable(f"a message is a map, this is a {type(found).__name__}")
    if found.get("re") is not None:
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
        raise Unreadable(f"v: want {VERSION}", re)


def _said(found: Mapping[str, Any], re: int | None) -> tuple[str, dict[str, Any]]:
    _version(found, re)
    kind, body = found.get("type"), found.get("body")
    if not isinstance(kind, str) or not 0 < len(kind) <= 64:
        raise Unreadable("type: want text of 1 to 64 characters", re)
    return kind, _map(body, "body", re)


def _map(value: object, what: str, re: int | None) -> dict[str, Any]:
    if value is None:  # nil is the same as left out, here as in bodies
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{what}: want a map", re)
    return value


def _reply(found: Mapping[str, Any]) -> Reply | ErrorReply:
    _version(found, None)
    re = found["re"]
    if type(re) is not int or not 0 <= re <= _ID_MOST:
        raise Unreadable("re: want the number of a call", None)
    error = found.get("error")
    if error is None:
        return Reply(re, _map(found.get("body"), "body", None))
    if not isinstance(error, dict):
        raise Unreadable("error: want a map", None)
    code, message = error.get("code"), error.get("message") or ""
    if not isinstance(code, str) or not isinstance(message, str):
        raise Unreadable("error: want code and message as text", None)
    details = _map(error.get("details"), "error.details", None)
    return ErrorReply(re, error_from(code, message[:ERROR_TEXT], details))
