"""Typed validation of what came over the wire: the same small checker at both ends.

A check is a function of (value, path) that gives the value back or raises a UsageError: BadRequest
where it says nothing else. Nothing is coerced; what a record does not name is ignored, so that a
newer peer may say more.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from boruta.domain.errors import BadRequest, BadTime, TooLarge, UsageError

# Where a value stands: a text, or a part of something. Put together only for an error.
Path: TypeAlias = "str | tuple[Path, str | int]"
Check: TypeAlias = Callable[[object, Path], Any]
INT_LEAST: Final = -(1 << 63)
INT_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Optional:
    """A field that may be left out; nil means the same."""

    check: Check


@dataclass(frozen=True, slots=True)
class Shape:
    """What a check lets through: for people in `says`; the fields of a record, what lists hold.

    `plain` is an expression of `one`, true only of what passes as it is: most of what comes. It is
    empty where that is not so easily told.
    """

    says: str
    fields: Mapping[str, Check | Optional] | None = None
    item: Check | None = None
    plain: str = ""


_SHAPES: Final[dict[Check, Shape]] = {}  # one for each check, made when the modules load


def shape(check: Check) -> Shape:
    """What a check of this module lets through."""
    return _SHAPES[check]


def same(known: Check, check: Check) -> Check:
    """`check` lets through what `known` does."""
    _SHAPES[check] = _SHAPES[known]
    return check


def _known(check: Check, says: str, **more: Any) -> Check:
    _SHAPES[check] = Shape(says, **more)
    return check


def shown(path: Path) -> str:
    """The path as people read it: ``body.caps['arch']``, ``body.groups[2]``."""
    if isinstance(path, str):
        return path
    whole, part = path
    before = shown(whole)
    if isinstance(part, int):
        return f"{before}[{part}]"
    if part.startswith("["):
        return before + part
    return f"{before}.{part}" if before else part


def _wrong(
    path: Path, wanted: str, value: object, kind: type[UsageError] = BadRequest
) -> UsageError:
    # A repr of anything else could be huge, or nested deeper than Python can follow.
    seen = repr(value) if isinstance(value, (bool, float)) else ""
    if type(value) is int:
        seen = str(value) if INT_LEAST <= value <= INT_MOST else "of more than 64 bits"
    what = "nothing" if value is None else f"{type(value).__name__} {seen}".rstrip()
    where = shown(path)
    return kind(f"{where}: want {wanted}, got {what}", field=where)


def too_large(path: Path, most: int, unit: str, got: int) -> TooLarge:
    """The error of a field over its limit."""
    where = shown(path)
    return TooLarge(f"{where}: at most {most} {unit}, got {got}", field=where, limit=most)


def _between(least: float, most: float) -> str:
    low = "" if least in (INT_LEAST, -math.inf) else f" from {least:.15g}"
    high = "" if most in (INT_MOST, math.inf) else f" to {most:.15g}"
    return low + high


def _amount(least: int, most: int) -> str:
    if least == most:
        return str(most)
    return f"{least} to {most}" if least else f"at most {most}"


def text(most: int, least: int = 0) -> Check:
    """Text of `least` to `most` bytes in UTF-8. TooLarge where it has more."""

    def check(value: object, path: Path) -> str:
        if not isinstance(value, str):
            raise _wrong(path, "text", value)
        size = len(value)
        # Most texts are ASCII, and known by it to be: only others are encoded.
        if value.isascii():
            if least <= size <= most:
                return value
        else:
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise _wrong(path, "text that UTF-8 can hold", value) from None
        if size > most:
            raise too_large(path, most, "bytes", size)
        if size < least:
            raise _wrong(path, f"text of at least {least} bytes", value)
        return value

    plain = f"type(one) is str and {least} <= len(one) <= {most} and one.isascii()"
    return _known(check, f"text of {_amount(least, most)} bytes", plain=plain)


def data(size: int) -> Check:
    """Exactly `size` bytes."""

    def check(value: object, path: Path) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise _wrong(path, f"{size} bytes", value)
        return value

    return _known(check, f"{size} bytes")


def integer(
    least: int = INT_LEAST, most: int = INT_MOST, kind: type[UsageError] = BadRequest
) -> Check:
    """A whole number, else `kind`; true and false are none."""
    says = "whole number" + _between(least, most)

    def check(value: object, path: Path) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _wrong(path, f"a {says}", value, kind)
        return value

    return _known(check, says, plain=f"type(one) is int and {least} <= one <= {most}")


def number(
    least: float = -math.inf, most: float = math.inf, kind: type[UsageError] = BadRequest
) -> Check:
    """A finite number, else `kind`."""
    says = "finite number" + _between(least, most)

    def check(value: object, path: Path) -> float:
        if type(value) is float:
            fine = math.isfinite(value) and least <= value <= most
        else:
            # A double holds all that msgpack can say; an int of our own could be larger.
            fine = type(value) is int and -(1 << 64) < value < 1 << 64 and least <= value <= most
        if not fine:
            raise _wrong(path, f"a {says}", value, kind)
        return value  # type: ignore[return-value]

    # What is no number, or infinite, is not even equal to itself less itself.
    plain = "type(one) is float and one - one == 0"
    if least > -math.inf:
        plain += f" and {least!r} <= one"
    if most < math.inf:
        plain += f" and one <= {most!r}"
    return _known(check, says, plain=plain)


def seconds(least: float = -math.inf) -> Check:
    """A duration; BadTime where it is none."""
    return number(least, kind=BadTime)


def boolean(value: object, path: Path) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def instant(value: object, path: Path) -> datetime:
    """A time with its zone; BadTime where it is none."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _wrong(path, "a time with its zone, in the years 1 to 9999", value, BadTime)
    return value


def anything(value: object, path: Path) -> object:
    """Whatever it is."""
    return value


def choice(kind: type[enum.StrEnum], error: type[UsageError] = BadRequest) -> Check:
    """A member of `kind`, by its value, else `error`."""
    members = {str(member.value): member for member in kind}
    allowed = ", ".join(members)

    def check(value: object, path: Path) -> enum.StrEnum:
        if not isinstance(value, str):
            raise _wrong(path, f"one of {allowed}", value, error)
        found = members.get(value)
        if found is None:
            where = shown(path)
            raise error(f"{where}: want one of {allowed}, got {value!r:.60}", field=where)
        return found

    return _known(check, f"one of {allowed}")


def list_of(item: Check, most: int, least: int = 0) -> Check:
    """A list of `least` to `most` items. TooLarge where it has more."""
    wanted = "a list" + (f" of {least} or more" if least else "")

    def check(value: object, path: Path) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise _wrong(path, wanted, value)
        if len(value) > most:
            raise too_large(path, most, "items", len(value))
        return [item(one, (path, at)) for at, one in enumerate(value)]

    plain = shape(item).plain
    if plain:
        plain = (
            f"type(one) is list and {least} <= len(one) <= {most} "
            f"and (not one or all([{plain} for one in one]))"
        )
    says = f"list of {_amount(least, most)}: {shape(item).says}"
    return _known(check, says, item=item, plain=plain)


def map_of(key: Check, item: Check, most: int) -> Check:
    """A map of at most `most` entries. TooLarge where it has more."""

    def check(value: object, path: Path) -> dict[Any, Any]:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise _wrong(path, "a map", value)
        if len(value) > most:
            raise too_large(path, most, "entries", len(value))
        found = {}
        for name, one in value.items():
            known = key(name, (path, "[a key]"))
            try:
                found[known] = item(one, path)
            except UsageError:
                item(one, (path, f"[{name!r:.40}]"))  # again, so that the error names the entry
                raise
        return found

    names, values, plain = shape(key).plain, shape(item).plain, ""
    if names and values:
        plain = (
            f"type(one) is dict and len(one) <= {most} and all([{names} for one in one]) "
            f"and all([{values} for one in one.values()])"
        )
    says = f"map of at most {most}: {shape(key).says} to {shape(item).says}"
    return _known(check, says, plain=plain)


def record(**fields: Check | Optional) -> Check:
    """A map with these fields. Others are ignored and do not come out."""
    needed = frozenset(name for name, field in fields.items() if not isinstance(field, Optional))
    checks = {
        name: field.check if isinstance(field, Optional) else field
        for name, field in fields.items()
    }
    find = checks.get

    def check(value: object, path: Path) -> dict[str, Any]:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise _wrong(path, "a map", value)
        if not needed <= value.keys():
            where = shown((path, next(name for name in checks if name in needed - value.keys())))
            raise BadRequest(f"{where}: is missing", field=where)
        found: dict[str, Any] = {}
        for name, one in value.items():
            field = find(name)
            if field is not None and (one is not None or name in needed):
                found[name] = field(one, (path, name))
        return found

    return _known(check, "map", fields=fields)


def open_record(value: object, path: Path) -> dict[str, Any]:
    """A map of names to anything."""
    if type(value) is not dict and not isinstance(value, Mapping):
        raise _wrong(path, "a map", value)
    for name in value:
        if not isinstance(name, str):
            raise _wrong((path, "[a key]"), "text", name)
    return dict(value)


_known(boolean, "true or false", plain="type(one) is bool")
_known(instant, "time", plain="type(one) is datetime and one.tzinfo is not None")
_known(anything, "anything")
_known(open_record, "map")
