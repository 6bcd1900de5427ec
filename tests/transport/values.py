"""Values and frames for tests of the wire."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
from hypothesis import settings
from hypothesis import strategies as st

FIXED = settings(derandomize=True, max_examples=100, deadline=None)

moments = st.datetimes(timezones=st.just(UTC))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | words
    | st.binary(max_size=20)
    | moments,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
bodies = st.dictionaries(words, plain, max_size=6)
stamps = st.builds(
    msgpack.Timestamp, st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 999_999_999)
)
# Whatever msgpack can say, also what protocol 1 does not allow.
wild: st.SearchStrategy[Any] = st.recursive(
    plain
    | stamps
    | st.just(math.nan)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(words | st.binary(max_size=3) | st.integers(0, 9), inner, max_size=5)
    ),
    max_leaves=12,
)


def raw(value: object) -> bytes:
    """msgpack without any rule of ours."""
    packed: bytes = msgpack.packb(value, datetime=True, strict_types=False)
    return packed


def said(**fields: object) -> bytes:
    """A frame of these top-level fields."""
    return raw({"v": 1, **fields})


def year(number: int) -> msgpack.Timestamp:
    """A time in that year, which may be one that no datetime holds."""
    return msgpack.Timestamp(int((number - 1970) * 365.2425 * 86400), 0)


NOON = datetime(2030, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
