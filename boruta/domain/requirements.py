"""What capabilities a request may ask for, and whether a worker has them.

The grammar, as words of a command line and as values of a caps map::

    arch=arm64        "arm64"        equal
    arch=a|b  a,b     "a|b"          any of
    volt=1.5..3.6     "1.5..3.6"     a range of numbers, ends included; also 2..  and  ..4
    volt=1.5-3.6      "1.5-3.6"      the same, if both sides are numbers and in order; else literal
    volt>=2  volt<=4  ">=2"  "<=4"   the same as 2..  and  ..4
    arch!=mips        "!=mips"       no member equals; an absent key passes
    hdmi              "*"            present, whatever its value
    !hdmi             "!*"           absent

A worker's value may be a list with commas: one member must match. A member written ``low..high``
stands for every number between. A value that is literally equal always matches (the original's
rule, 5.6), whatever the grammar makes of it. Numbers are plain decimals: ``-40``, ``3.3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias

from boruta.domain.caps_limits import check_caps_limits
from boruta.domain.errors import BadCaps
from boruta.domain.types import Capabilities

PRESENT: Final = "*"
ABSENT: Final = "!*"

_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?"
_IS_NUMBER: Final = re.compile(_NUMBER)
_DASHED: Final = re.compile(rf"({_NUMBER})-({_NUMBER})")
_WORD: Final = re.compile(r"([^=<>!|,]+)(?:(!=|>=|<=|=)(.*))?", re.DOTALL)
_SHARED_ENTRIES: Final = 16  # longer maps are rare, and 1,024 of them would be remembered
_FORMS: Final = "key=value, key=a|b, key=low..high, key>=N, key<=N, key!=value, key, !key"

Range: TypeAlias = tuple[Decimal | None, Decimal | None]


class _Malformed(Exception):
    """What is wrong with a value; the caller knows the key."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a request asks of one capability.

    `text` is the value as it stands in the map. A positive requirement is met by one of
    `literals`, or by a number in one of `ranges`; a negated one if neither is there.
    """

    key: str
    text: str
    literals: frozenset[str] = frozenset()
    numbers: tuple[Decimal, ...] = ()
    ranges: tuple[Range, ...] = ()
    negated: bool = False

    @property
    def word(self) -> str:
        """The same as a word of the command line."""
        return cap_word(self.key, self.text)

    def fits(self, value: str | None) -> bool:
        """Whether a worker with `value` meets it; None is a worker without the key."""
        if value is None:
            return self.negated
        text = self.text
        if value == text or text == PRESENT:
            return True
        if text == ABSENT:
            return False
        return self._meets(value) is not self.negated

    def _meets(self, value: str) -> bool:
        members, numbers, ranges = _offered(value)
        if not members.isdisjoint(self.literals):
            return True
        for low, high in self.ranges:
            for number in numbers:
                if (low is None or low <= number) and (high is None or number <= high):
                    return True
            for first, last in ranges:
                if (low is None or last is None or low <= last) and (
                    high is None or first is None or first <= high
                ):
                    return True
        for first, last in ranges:
            for number in self.numbers:
                if (first is None or first <= number) and (last is None or number <= last):
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Requirements:
    """All that a request asks for; read once, asked often."""

    parts: tuple[Requirement, ...] = ()

    def fits(self, worker: Mapping[str, str]) -> bool:
        """Whether a worker with these capabilities meets all of it."""
        return all(part.fits(worker.get(part.key)) for part in self.parts)

    def of(self, key: str) -> Requirement | None:
        """What is asked of one capability, if anything."""
        for part in self.parts:
            if part.key == key:
                return part
        return None


def parse_caps(caps: Mapping[str, str], *, lenient: bool = False) -> Requirements:
    """Reads a caps map of a request.

    Args:
        caps: values by the grammar above.
        lenient: what the grammar refuses is a literal. HTTP v1 knows no grammar, so its requests
            are read like this, and so are all that were accepted once.

    Raises:
        BadCaps: a value does not follow the grammar; the text names it and what is allowed.
    """
    parts = []
    for key, text in caps.items():
        if not key and not lenient:
            raise BadCaps("caps: a key is empty (want key=value)")
        try:
            parts.append(_parsed(key, text))
        except _Malformed as error:
            if not lenient:
                raise BadCaps(
                    f"caps: {cap_word(key, text)!r}: {error}", key=key, value=text
                ) from None
            parts.append(Requirement(key, text, frozenset((text.strip(), text))))
    return Requirements(tuple(parts))


def parse_cap_words(words: Iterable[str]) -> Capabilities:
    """Reads capabilities from a command line into a caps map.

    Raises:
        BadCaps: a word does not follow the grammar, or names a key that was named before.
    """
    found: dict[str, str] = {}
    for word in words:
        key, value = _split_word(word)
        if key in found:
            raise BadCaps(
                f"caps: {word!r}: {key!r} is given twice (want each key once; any of several: "
                f"{key}=a|b)",
                key=key,
            )
        found[key] = value
        parse_caps({key: value})
    return Capabilities(found)


def cap_word(key: str, value: str) -> str:
    """How an entry of a caps map is written on a command line."""
    if value == PRESENT:
        return key
    if value == ABSENT:
        return f"!{key}"
    if value.startswith(("!=", ">=", "<=")):
        return key + value
    return f"{key}={value}"


def accepted(caps: Mapping[str, str]) -> Capabilities:
    """What a request may ask for, checked and read once for all that ask for the same.

    They share one map, which is found faster and takes no room of its own.

    Raises:
        TooLarge, BadRequest, BadCaps: see `check_caps_limits` and `parse_caps`.
    """
    items = tuple(caps.items())
    try:
        return _accepted(items) if len(items) <= _SHARED_ENTRIES else _checked(items)
    except TypeError:  # something in it cannot be hashed, so it is no text
        return _checked(items)


def _checked(items: Iterable[tuple[str, str]]) -> Capabilities:
    caps = Capabilities(dict(items))
    check_caps_limits(caps)
    parse_caps(caps)
    return caps


_accepted: Final = lru_cache(maxsize=1024)(_checked)


def members(value: str) -> frozenset[str]:
    """The members of a worker's value, and the value itself."""
    return _offered(value)[0] | {value}


def has_range(value: str) -> bool:
    """Whether a member of a worker's value stands for many numbers."""
    return bool(_offered(value)[2])


def _split_word(word: str) -> tuple[str, str]:
    text = word.strip()
    if text.startswith("!"):
        key = text[1:].strip()
        if key and not re.search(r"[=<>!|,\s]", key):
            return key, ABSENT
        raise BadCaps(f"caps: {word!r}: a capability that must be absent is written !key")
    shape = _WORD.fullmatch(text)
    if shape is None or not shape[1].strip():
        raise BadCaps(f"caps: {word!r} is no capability (want {_FORMS})")
    key, sign, value = shape[1].strip(), shape[2], (shape[3] or "").strip()
    if sign is None:
        return key, PRESENT
    if not value:
        raise BadCaps(f"caps: {word!r}: the value is empty (want {key}=value, {key} or !{key})")
    if sign == "=":
        if value.startswith("="):
            raise BadCaps(f"caps: {word!r}: one = is enough (want {key}={value.lstrip('=')})")
        return key, value
    return key, sign + value


@lru_cache(maxsize=4096)
def _parsed(key: str, text: str) -> Requirement:
    value = text.strip()
    if value in (PRESENT, ABSENT):
        if text != value:
            raise _Malformed(f"want {value} without spaces")
        return Requirement(key, text, negated=text == ABSENT)
    if value.startswith((">=", "<=")):
        bound = value[2:].strip()
        if not _IS_NUMBER.fullmatch(bound):
            raise _Malformed(f"{bound!r} is no number (want {value[:2]}N, e.g. {value[:2]}3.3)")
        end = Decimal(bound)
        return Requirement(key, text, ranges=((end, None) if value[0] == ">" else (None, end),))
    if value[:1] in ("<", ">") and _IS_NUMBER.fullmatch(value[1:].strip()):
        raise _Malformed(f"want {value[0]}= before a number, e.g. {value[0]}={value[1:].strip()}")
    if value.startswith("!="):
        return _any_of(key, text, value[2:], negated=True)
    if value.startswith("!"):
        raise _Malformed("after ! want =value (no member equals) or * (absent)")
    if not value:
        return Requirement(key, text, frozenset((text, value)))
    return _any_of(key, text, value, negated=False)


def _any_of(key: str, text: str, listed: str, *, negated: bool) -> Requirement:
    literals, numbers, ranges = set(), [], []
    for member in re.split(r"[|,]", listed):
        alternative = member.strip()
        if not alternative:
            raise _Malformed("a member is empty (want a|b)")
        span = _range(alternative)
        if span is not None:
            ranges.append(span)
        elif _IS_NUMBER.fullmatch(alternative):
            numbers.append(Decimal(alternative))
        literals.add(alternative)
    return Requirement(
        key, text, frozenset(literals), tuple(numbers), tuple(ranges), negated=negated
    )


def _range(member: str) -> Range | None:
    dashed = _DASHED.fullmatch(member)
    if dashed is not None:
        low, high = Decimal(dashed[1]), Decimal(dashed[2])
        return (low, high) if low <= high else None
    left, dots, right = member.partition("..")
    if not dots:
        return None
    left, right = left.strip(), right.strip()
    ends = [end for end in (left, right) if _IS_NUMBER.fullmatch(end)]
    if not ends:
        return None
    if len(ends) == 1 and left and right:
        wrong = right if ends == [left] else left
        raise _Malformed(f"{wrong!r} is no number (want low..high, low.. or ..high)")
    span = (Decimal(left) if left else None, Decimal(right) if right else None)
    if span[0] is not None and span[1] is not None and span[0] > span[1]:
        raise _Malformed("the range ends before it starts (want low..high)")
    return span


@lru_cache(maxsize=8192)
def _offered(value: str) -> tuple[frozenset[str], tuple[Decimal, ...], tuple[Range, ...]]:
    """A worker's value: its members, those that are numbers, those that are ranges."""
    listed = [member.strip() for member in value.split(",")]
    numbers, ranges = [], []
    for member in listed:
        if _IS_NUMBER.fullmatch(member):
            numbers.append(Decimal(member))
        elif ".." in member:
            try:
                span = _range(member)
            except _Malformed:
                span = None
            if span is not None:
                ranges.append(span)
    return frozenset(listed), tuple(numbers), tuple(ranges)
