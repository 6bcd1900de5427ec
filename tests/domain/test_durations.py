"""Times and durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.durations import format_duration, parse_duration, parse_time
from boruta.domain.errors import BadTime

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("30m", 1800),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1d2h3m4.5s", 93784.5),
        ("1.5", 1.5),
        (" 10s ", 10),
        (12, 12),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_read_in_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "30 m", "30min", "1m1h", "1h1h", "-5", "-5m", "1e3", "inf", "nan", "٣", "1,5",
     "100000000000", "9" * 400, True, float("nan"), float("inf"), -1],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_its_code(text: str | float) -> None:
    with pytest.raises(BadTime) as caught:
        parse_duration(text)
    assert caught.value.code == "bad_time"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (3600, "1h"), (0.5, "0.5s"), (0.004, "0s"), (59.999, "1m"),
     (3599.7, "1h"), (90061, "1d1h1m1s"), (-61, "-1m1s")],
)  # fmt: skip
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("+1h30m", NOW + timedelta(hours=1.5)),
        ("+90", NOW + timedelta(seconds=90)),
        ("2026-05-01T12:00:00Z", NOW),
        ("2026-05-01 14:00:00+02:00", NOW),
        ("2026-05-01t12:00:00.1234567z", NOW + timedelta(microseconds=123456)),
    ],
)
def test_a_time_is_absolute_or_counts_from_now(text: str, when: datetime) -> None:
    found = parse_time(text, NOW)
    assert found == when
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "+", "tomorrow", "2026-05-01", "2026-05-01T12:00:00", "2026-13-01T12:00:00Z",
     "2026-05-01T12:00:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00",
     "10000-01-01T00:00:00Z", "2026-05-01T12:00:00+25:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadTime):
        parse_time(text, NOW)


def test_a_duration_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(BadTime, match="9999"):
        parse_time("+20d", datetime(9999, 12, 31, tzinfo=UTC))
