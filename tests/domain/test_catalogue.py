"""Pages from sorted indexes, beside a naive model, while requests come, change and go."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain import catalogue, orders, sortedrows
from boruta.domain.errors import BadPage, BadSort, NotFoundError
from boruta.domain.listing import RequestFilter
from boruta.domain.rows import Remove, RequestRow, Write
from boruta.domain.slices import whole
from boruta.domain.types import (
    Capabilities,
    ListDirection,
    ListFilter,
    ListInfo,
    Page,
    ReqInfo,
    ReqState,
    SortInfo,
    SortOrder,
)
from boruta.store.memory import MemoryStore

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ITEMS = ("id", "priority", "deadline", "validafter", "state")
FORWARD, BACKWARD = ListDirection.FORWARD, ListDirection.BACKWARD
FIELDS = {
    "priority": "priority",
    "deadline": "deadline",
    "validafter": "valid_after",
    "state": "state",
}


class Farm:
    """A store whose rows change at random."""

    def __init__(self, seed: int = 0) -> None:
        self.store = MemoryStore()
        self.random = random.Random(seed)

    def fields(self) -> dict[str, Any]:
        hours = self.random.randint(0, 9)
        return {
            "state": self.random.choice(list(ReqState)[:4]),
            "priority": self.random.randint(1, 3),
            "deadline": NOON + timedelta(hours=hours),
            "valid_after": NOON - timedelta(hours=self.random.randint(0, 9)),
            "note": str(self.random.random()),
        }

    def add(self, **more: Any) -> RequestRow:
        number = self.store.next_request()
        fields = {"owner_name": self.random.choice(("ann", "bob", "cis")), **self.fields(), **more}
        row = RequestRow(
            id=number, rev=1, queue_seq=number, caps=Capabilities(), job_timeout_s=1.0,
            created=NOON, **fields,
        )  # fmt: skip
        assert self.store.commit((Write(row, 0),)) is None
        return row

    def change(self, times: int = 1) -> None:
        for _ in range(times):
            rows = self.store.requests()
            row = self.random.choice(rows) if rows else None
            what = self.random.random()
            if row is None or what < 0.4:
                self.add()
                continue
            if what < 0.6:
                change: Write | Remove = Remove(RequestRow, row.id, row.rev)
            else:
                fields = self.fields()
                kept = self.random.sample(sorted(fields), 3)
                new = row._replace(rev=row.rev + 1, **{name: fields[name] for name in kept})
                change = Write(new, row.rev)
            assert self.store.commit((change,)) is None

    def page(
        self, chosen: ListFilter | None, sort: SortInfo | None, page: Page | None
    ) -> tuple[list[RequestRow], ListInfo]:
        return whole(self.store.page_of_requests(chosen, sort, page, described))


def described(row: RequestRow) -> ReqInfo:
    return ReqInfo(row.id, priority=row.priority)


def naive(
    rows: Sequence[RequestRow], chosen: RequestFilter, sort: SortInfo, page: Page
) -> tuple[list[RequestRow], ListInfo]:
    """The rules of chapter 7, word by word."""

    def key(row: RequestRow) -> tuple[Any, ...]:
        return (row.id,) if sort.item == "id" else (getattr(row, FIELDS[sort.item]), row.id)

    def matches(row: RequestRow) -> bool:
        return (
            (not chosen.ids or row.id in chosen.ids)
            and (not chosen.priorities or row.priority in chosen.priorities)
            and (not chosen.states or row.state.value in chosen.states)
            and (not chosen.owners or row.owner_name in chosen.owners)
        )

    line = sorted(rows, key=key, reverse=sort.order is SortOrder.DESCENDING)
    at = next((at for at, row in enumerate(line) if row.id == page.id), None)
    before = [row for row in line[: len(line) if at is None else at] if matches(row)]
    after = [row for row in line[0 if at is None else at + 1 :] if matches(row)]
    total = sum(map(matches, line))
    if page.direction is FORWARD:
        return after[: page.limit], ListInfo(total, max(0, len(after) - page.limit))
    found = before[max(0, len(before) - page.limit) :]
    return found, ListInfo(total, len(before) - len(found))


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """A few rows are many blocks, parts and slices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sortedrows, "_BLOCK", 4)
        patch.setattr(sortedrows, "_MERGED", 8)
        patch.setattr(sortedrows, "_RUNS", 10)
        patch.setattr(orders, "_A_STEP", 1)
        patch.setattr(orders, "_A_LOOK", 3)
        patch.setattr(orders, "NEWS", 20)
        patch.setattr(catalogue, "NEWS", 20)
        yield


QUESTIONS = st.tuples(
    st.builds(
        RequestFilter,
        ids=st.just(()) | st.lists(st.integers(1, 60), max_size=30),
        priorities=st.sets(st.integers(1, 4), max_size=2).map(tuple),
        states=st.sets(st.sampled_from([*ReqState]).map(str), max_size=3).map(tuple),
        owners=st.sets(st.sampled_from(["ann", "bob", "nobody"]), max_size=2).map(tuple),
    ),
    st.builds(SortInfo, st.sampled_from(ITEMS), st.sampled_from(SortOrder)),
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(ListDirection), st.integers(1, 40)
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1000),
    first=st.integers(0, 60),
    questions=st.lists(st.tuples(st.integers(0, 30), st.booleans(), QUESTIONS), max_size=12),
)
def test_any_page_is_the_one_that_the_rules_say_whatever_changed_before(
    seed: int, first: int, questions: list[tuple[int, bool, Any]]
) -> None:
    farm = Farm(seed)
    for _ in range(first):
        farm.add()
    for changes, whole_list, (chosen, sort, (where, direction, limit)) in questions:
        farm.change(changes)
        rows = farm.store.requests()
        at = int(where * 2 * len(rows))  # half of the pages have a border
        page = Page(rows[at].id if at < len(rows) else None, direction, limit)
        found = farm.page(None if whole_list else chosen, sort, page)
        assert found == naive(rows, RequestFilter() if whole_list else chosen, sort, page)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    item=st.sampled_from(ITEMS),
    changes=st.integers(0, 3),
    others=st.booleans(),
)
def test_a_page_is_of_one_moment_while_rows_change_between_its_slices(
    seed: int, item: str, changes: int, others: bool
) -> None:
    farm = Farm(seed)
    for _ in range(40):
        farm.add()
    chosen, sort = RequestFilter(states=("WAITING", "DONE")), SortInfo(item)
    page = Page(None, FORWARD, 15)
    work = farm.store.page_of_requests(chosen, sort, page, described)
    other = farm.store.page_of_requests(None, sort, page, described)
    moments = [naive(farm.store.requests(), chosen, sort, page)]
    found = None
    for _ in range(5000):
        try:
            next(work)
        except StopIteration as done:
            found = done.value
            break
        if others:
            next(other, None)
        farm.change(changes if len(moments) < 60 else 0)
        moments.append(naive(farm.store.requests(), chosen, sort, page))
    assert found in moments


def test_a_list_that_is_given_up_half_way_harms_no_other() -> None:
    farm = Farm()
    for _ in range(30):
        farm.add()
    work = farm.store.page_of_requests(None, None, None, described)
    next(work)
    next(work)
    work.close()
    farm.change(10)
    assert farm.page(None, None, None)[0] == farm.store.requests()


def test_an_index_that_nobody_asks_for_while_much_changes_is_dropped() -> None:
    farm = Farm()
    for _ in range(30):
        farm.add()
    farm.page(None, None, None)
    assert farm.store._catalogue.kept
    farm.change(200)
    assert not farm.store._catalogue.kept
    assert farm.page(None, None, None)[0] == farm.store.requests()


def test_an_index_that_is_asked_for_stays_and_what_all_have_seen_is_forgotten() -> None:
    farm = Farm()
    for _ in range(30):
        farm.add()
    farm.page(None, SortInfo("deadline"), None)  # nobody asks for this one again
    for _ in range(40):
        farm.change(10)
        assert farm.page(None, None, None)[0] == farm.store.requests()
    assert list(farm.store._catalogue._orders) == [("id", False)]
    assert len(farm.store._catalogue._news) <= 60


def test_changes_cost_nothing_before_the_first_list() -> None:
    farm = Farm()
    farm.change(50)
    assert not farm.store._catalogue.kept


def test_a_copy_of_an_image_shares_no_index_with_it() -> None:
    farm, twin = Farm(), Farm()
    for _ in range(20):
        farm.add()
    farm.page(None, None, None)
    for name, value in vars(farm.store).items():
        setattr(twin.store, name, copy.copy(value))
    farm.change(10)
    assert twin.page(None, None, None)[0] == twin.store.requests()


def test_a_filter_of_ones_own_still_looks_at_everything() -> None:
    class Odd(RequestFilter):
        def match(self, req: ReqInfo) -> bool:
            return req.id % 2 == 1

        def choose(self, rows: Any) -> Any:
            return [row for row in rows if row.id % 2]

    class Even:
        def match(self, req: ReqInfo) -> bool:
            return req.id % 2 == 0

    farm = Farm()
    rows = [farm.add() for _ in range(9)]
    assert farm.page(Odd(), None, Page(4, FORWARD, 9)) == (rows[4::2], ListInfo(5, 0))
    assert farm.page(Even(), None, Page(3, FORWARD, 2)) == ([rows[3], rows[5]], ListInfo(4, 1))


def test_what_is_wrong_is_said_in_the_order_of_the_original() -> None:
    farm = Farm()
    farm.add()
    with pytest.raises(BadSort):
        farm.page(None, SortInfo("x"), Page(99))
    with pytest.raises(BadPage):
        farm.page(None, None, Page(99, limit=-1))
    for chosen in (None, RequestFilter(ids=(1,)), RequestFilter(owners=("ann",))):
        for border in (99, "x", 1.0):
            with pytest.raises(NotFoundError, match=f"request {border} not found"):
                farm.page(chosen, None, Page(border))  # type: ignore[arg-type]
