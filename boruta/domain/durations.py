"""Times and durations as people write them: `90`, `1h30m`, `+20m`, RFC 3339."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from boruta.domain.errors import BadTime

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PARTS: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
# Longer ones are typing errors, and no sum with a date may leave the calendar unnoticed.
MOST_S: Final = 100 * 366 * 86400.0
_ALLOWED: Final = "want seconds (90) or units in order d, h, m, s (30m, 1h30m)"


def parse_duration(text: str | float) -> float:
    """The seconds that a text or a number stands for.

    Args:
        text: ``90`` (seconds), ``30m``, ``1h30m``, ``2d``, ``1.5s``; or a plain number.

    Raises:
        BadTime: it is none of these, negative, or longer than a century.
    """
    seconds = _seconds(text)
    if not 0 <= seconds <= MOST_S:  # false for nan too
        raise BadTime(f"duration {text!r}: out of range (0 to 100 years)")
    return seconds


def _seconds(text: str | float) -> float:
    if isinstance(text, bool):
        raise BadTime(f"duration {text!r}: {_ALLOWED}")
    if isinstance(text, int | float):
        return float(text)
    plain = text.strip()
    if _NUMBER.fullmatch(plain):
        return float(plain)
    found = _PARTS.fullmatch(plain)
    if not plain or found is None:
        raise BadTime(f"duration {text!r}: {_ALLOWED}")
    return sum(
        float(part) * unit
        for part, unit in zip(found.groups(), _UNITS.values(), strict=True)
        if part is not None
    )


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as these seconds, to a hundredth.

    A negative duration (something is overdue) has a leading minus.
    """
    if not math.isfinite(seconds):
        return "for ever"
    sign = "-" if seconds < 0 else ""
    # Of a long one nobody wants the fractions.
    left = round(abs(seconds), 2) if abs(seconds) < 60 else float(round(abs(seconds)))
    if not left:
        return "0s"
    parts = []
    for name, unit in _UNITS.items():
        if name == "s":
            if left:
                parts.append(f"{left:.2f}".rstrip("0").rstrip(".") + "s")
            break
        whole, left = divmod(left, unit)
        if whole:
            parts.append(f"{whole:.0f}{name}")
    return sign + "".join(parts)


def parse_time(text: str, now: datetime) -> datetime:
    """The moment that a text stands for, in UTC.

    Args:
        text: RFC 3339 (``2026-05-01T12:00:00Z``, ``2026-05-01 14:00:00+02:00``) or ``+DURATION``
            from now.
        now: aware; what ``+DURATION`` counts from.

    Raises:
        BadTime: it is neither, has no offset from UTC, or lies outside the calendar.
    """
    plain = text.strip()
    if plain.startswith("+"):
        try:
            return now.astimezone(UTC) + timedelta(seconds=parse_duration(plain[1:]))
        except OverflowError:
            raise BadTime(f"time {text!r}: beyond the year 9999") from None
    found = _RFC3339.fullmatch(plain)
    if found is None:
        raise BadTime(f"time {text!r}: want 2026-05-01T12:00:00Z or +DURATION, as +1h30m")
    date, clock, fraction, offset = found.groups()
    if offset is None:
        raise BadTime(f"time {text!r}: no offset from UTC; add Z, or one as +02:00")
    # Domain times have microseconds; finer digits are cut.
    digits = "." + fraction[:6].ljust(6, "0") if fraction else ""
    offset = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{date}T{clock}{digits}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadTime(f"time {text!r}: {error}") from None
