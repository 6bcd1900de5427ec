"""Lists that begin, go on in slices and are given up, while requests come, change and go."""

from __future__ import annotations

from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from boruta.domain.listing import RequestFilter
from boruta.domain.rows import Remove, RequestRow, Write
from boruta.domain.slices import Sliced
from boruta.domain.types import ListInfo, Page, ReqState, SortInfo
from tests.domain.test_catalogue import (
    FIELDS,
    FORWARD,
    QUESTIONS,
    Farm,
    _small_blocks,
    described,
    naive,
)

__all__ = ["_small_blocks"]  # the fixture that makes a few rows many blocks
Question = tuple[RequestFilter, SortInfo, tuple[float, Any, int]]


class Asked(NamedTuple):
    """A list that somebody reads, and each answer that was right since he asked."""

    work: Sliced[tuple[list[RequestRow], ListInfo]]
    chosen: RequestFilter
    sort: SortInfo
    page: Page
    moments: list[tuple[list[RequestRow], ListInfo]]


class ListingMachine(RuleBasedStateMachine):
    """The store's lists beside a sort and a filter of everything."""

    lists = Bundle("lists")

    def __init__(self) -> None:
        super().__init__()
        self.farm = Farm()
        self.open: list[Asked] = []

    def _row(self, number: int) -> RequestRow | None:
        rows = self.farm.store.requests()
        return rows[number % len(rows)] if rows else None

    def _changed(self) -> None:
        rows = self.farm.store.requests()
        for one in self.open:
            one.moments.append(naive(rows, one.chosen, one.sort, one.page))

    @rule(count=st.integers(1, 8))
    def come(self, count: int) -> None:
        for _ in range(count):
            self.farm.add()
        self._changed()

    @rule(number=st.integers(0, 99), field=st.sampled_from(sorted(FIELDS.values())))
    def changes(self, number: int, field: str) -> None:
        row = self._row(number)
        if row is not None:
            new = row._replace(rev=row.rev + 1, **{field: self.farm.fields()[field]})
            assert self.farm.store.commit((Write(new, row.rev),)) is None
            self._changed()

    @rule(number=st.integers(0, 99))
    def ends_and_goes(self, number: int) -> None:
        row = self._row(number)
        if row is not None:
            done = row._replace(rev=row.rev + 1, state=ReqState.DONE)
            assert self.farm.store.commit((Write(done, row.rev),)) is None
            assert self.farm.store.commit((Remove(RequestRow, row.id, done.rev),)) is None
            self._changed()

    @rule(target=lists, question=QUESTIONS)
    def begins(self, question: Question) -> Asked:
        chosen, sort, (where, direction, limit) = question
        rows = self.farm.store.requests()
        at = int(where * 2 * len(rows))  # half of the pages have a border
        page = Page(rows[at].id if at < len(rows) else None, direction, limit)
        work = self.farm.store.page_of_requests(chosen, sort, page, described)
        asked = Asked(work, chosen, sort, page, [naive(rows, chosen, sort, page)])
        self.open = [*self.open[-2:], asked]
        return asked

    @rule(asked=lists, slices=st.integers(1, 9))
    def goes_on(self, asked: Asked, slices: int) -> None:
        while slices and asked in self.open and self._step(asked):
            slices -= 1

    def _step(self, asked: Asked) -> bool:
        try:
            next(asked.work)
        except StopIteration as done:
            answer = done.value
        else:
            return True
        assert answer in asked.moments
        self.open.remove(asked)
        return False

    @rule(asked=consumes(lists))
    def comes_to_its_end(self, asked: Asked) -> None:
        while asked in self.open:
            self._step(asked)

    @rule(asked=consumes(lists))
    def is_given_up(self, asked: Asked) -> None:
        asked.work.close()
        if asked in self.open:
            self.open.remove(asked)

    @invariant()
    def a_whole_list_is_all_there_is(self) -> None:
        rows = self.farm.store.requests()
        page = Page(None, FORWARD, 1000)
        found = self.farm.page(None, None, page)
        assert found == naive(rows, RequestFilter(), SortInfo("id"), page)


@pytest.fixture(autouse=True)
def _blocks(_small_blocks: None) -> None:
    pass


TestListing = ListingMachine.TestCase
TestListing.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
