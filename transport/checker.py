"""Typed validation of what came over the wire: the same small checker at both ends.

A check is a function of (value, path) that gives the value back or raises. Nothing is coerced;
what a record does not name is ignored, so that a newer peer may say more.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from boruta.domain.errors import BadRequest, TooLarge

Check: TypeAlias = Callable[[object, str], Any]
INT_LEAST: Final = -(1 << 63)
INT_MOST: Final = (1 << 63) - 1


def _wrong(path: str, wanted: str, value: object) -> BadRequest:
    shown = repr(value) if isinstance(value, (bool, int, float)) else ""
    shown = shown if len(shown) <= 40 else ""
    kind = "nothing" if value is None else f"{type(value).__name__} {shown}".rstrip()
    return BadRequest(f"{path}: want {wanted}, got {kind}", field=path)


def too_large(path: str, most: int, unit: str, got: int) -> TooLarge:
    """The error of a field over its limit."""
    return TooLarge(f"{path}: at most {most} {unit}, got {got}", field=path, limit=most)


def text(most: int, least: int = 0) -> Check:
    """Text of `least` to `most` bytes in UTF-8."""

    def check(value: object, path: str) -> str:
        if not isinstance(value, str):
            raise _wrong(path, "text", value)
        size = len(value)
        # Most texts are short: bytes are counted only where characters do not settle it.
        if size * 4 > most:
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise _wrong(path, "text that UTF-8 can hold", value) from None
            if size > most:
                raise too_large(path, most, "bytes", size)
        if size < least:
            raise _wrong(path, f"text of at least {least} characters", value)
        return value

    return check


def data(size: int) -> Check:
    """Exactly `size` bytes."""

    def check(value: object, path: str) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise _wrong(path, f"{size} bytes", value)
        return value

    return check


def integer(least: int = INT_LEAST, most: int = INT_MOST) -> Check:
    """A whole number; true and false are none."""

    def check(value: object, path: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _wrong(path, f"a whole number from {least} to {most}", value)
        return value

    return check


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """A finite number."""

    def check(value: object, path: str) -> float:
        if type(value) not in (int, float):
            raise _wrong(path, "a number", value)
        assert isinstance(value, (int, float))
        if not math.isfinite(value) or not least <= value <= most:
            raise _wrong(path, f"a finite number from {least:g} to {most:g}", value)
        return value

    return check


def boolean(value: object, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def instant(value: object, path: str) -> datetime:
    """A time with its zone."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _wrong(path, "a time with its zone", value)
    return value


def anything(value: object, path: str) -> object:
    """Whatever it is."""
    return value


def choice(kind: type[enum.StrEnum]) -> Check:
    """A member of `kind`, by its value."""
    members = {str(member.value): member for member in kind}
    allowed = ", ".join(members)

    def check(value: object, path: str) -> enum.StrEnum:
        found = members.get(value) if isinstance(value, str) else None
        if found is None:
            raise BadRequest(f"{path}: want one of {allowed}, got {value!r:.60}", field=path)
        return found

    return check


def list_of(item: Check, most: int, least: int = 0) -> Check:
    """A list of `least` to `most` items."""

    def check(value: object, path: str) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise _wrong(path, "a list" + (f" of {least} or more" if least else ""), value)
        if len(value) > most:
            raise too_large(path, most, "items", len(value))
        return [item(one, f"{path}[{at}]") for at, one in enumerate(value)]

    return check


def map_of(key: Check, item: Check, most: int) -> Check:
    """A map of at most `most` entries."""

    def check(value: object, path: str) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(path, "a map", value)
        if len(value) > most:
            raise too_large(path, most, "entries", len(value))
        return {
            key(name, f"a key of {path}"): item(one, f"{path}[{name!r:.40}]")
            for name, one in value.items()
        }

    return check


@dataclass(frozen=True, slots=True)
class Optional:
    """A field that may be left out; nil means the same."""

    check: Check


def record(**fields: Check | Optional) -> Check:
    """A map with these fields. Others are ignored and do not come out."""
    needed = [(name, field) for name, field in fields.items() if not isinstance(field, Optional)]
    others = [
        (name, field.check) for name, field in fields.items() if isinstance(field, Optional)
    ]

    def check(value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(path, "a map", value)
        found: dict[str, Any] = {}
        for name, field in needed:
            one = value.get(name)
            if one is None and name not in value:
                raise BadRequest(f"{path}.{name}: is missing", field=f"{path}.{name}")
            found[name] = field(one, f"{path}.{name}")
        for name, field in others:
            one = value.get(name)
            if one is not None:
                found[name] = field(one, f"{path}.{name}")
        return found

    return check


def open_record(value: object, path: str) -> dict[str, Any]:
    """A map of names to anything."""
    if not isinstance(value, Mapping):
        raise _wrong(path, "a map", value)
    for name in value:
        if not isinstance(name, str):
            raise _wrong(f"a key of {path}", "text", name)
    return dict(value)
