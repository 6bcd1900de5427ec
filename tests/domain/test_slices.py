"""Long lists are put in order in slices, and come out as if at once."""

from __future__ import annotations

from operator import itemgetter

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain import slices
from boruta.domain.rows import RequestRow
from boruta.domain.slices import chunks, leading, whole

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers()), max_size=300)


@given(rows=PAIRS, limit=st.integers(1, 400), down=st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_leading_rows_are_those_of_a_stable_sort(
    rows: list[tuple[int, int]], limit: int, down: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(slices, "ROWS", 7)
        patched.setattr(slices, "_PARTS", 4)
        patched.setattr(slices, "_SAMPLE", 3)
        found = whole(leading(rows, itemgetter(0), limit, down=down))
    assert found == sorted(rows, key=itemgetter(0), reverse=down)[:limit]


@pytest.mark.parametrize("limit", [100, 50_000])
def test_a_long_list_is_put_in_order_in_many_slices(limit: int) -> None:
    rows = [(number * 7919 % 100_003, number) for number in range(50_000)]
    work = leading(rows, itemgetter(0), limit)
    assert sum(1 for _ in work) >= len(rows) // slices.ROWS


def test_chunks_are_all_rows_in_order() -> None:
    rows = list(range(10))
    assert [list(chunk) for chunk in chunks(rows, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [list(chunk) for chunk in chunks(rows, 10)] == [rows]


def test_rows_of_the_store_are_tuples_so_that_keys_are_found_by_place() -> None:
    assert issubclass(RequestRow, tuple)
