"""Lists by the rules of the original's chapter 7, and beside a naive model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain.errors import BadCaps, BadPage, BadSort, NotFoundError
from boruta.domain.listing import (
    RequestFilter,
    WorkerFilter,
    list_requests,
    list_workers,
    page_of_requests,
)
from boruta.domain.rows import RequestRow
from boruta.domain.slices import whole
from boruta.domain.types import (
    Capabilities,
    ListDirection,
    ListInfo,
    Page,
    ReqInfo,
    ReqState,
    SortInfo,
    SortOrder,
    UserInfo,
    WorkerInfo,
    WorkerState,
)

UP, DOWN = SortOrder.ASCENDING, SortOrder.DESCENDING
FORWARD, BACKWARD = ListDirection.FORWARD, ListDirection.BACKWARD
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
STATES = list(ReqState)


def request(id_: int, **fields: object) -> ReqInfo:
    return ReqInfo(id_, **fields)  # type: ignore[arg-type]


def worker(uuid: str, state: WorkerState = WorkerState.IDLE, **fields: object) -> WorkerInfo:
    return WorkerInfo(uuid, state, **fields)  # type: ignore[arg-type]


SIXTEEN = [request(n, priority=n, state=STATES[n % 3]) for n in range(1, 17)]


def ids(
    rows: list[ReqInfo], sort: SortInfo | None = None, page: Page | None = None
) -> tuple[list[int], int]:
    found, info = list_requests(rows, None, sort, page)
    assert info.total == len(rows)
    return [one.id for one in found], info.remaining


@pytest.mark.parametrize(
    ("sort", "page", "expected"),
    [
        (SortInfo("id", DOWN), Page(5, FORWARD, 3), ([4, 3, 2], 1)),
        (SortInfo("id", DOWN), Page(5, BACKWARD, 3), ([8, 7, 6], 8)),
        (SortInfo("id"), Page(None, BACKWARD, 5), ([12, 13, 14, 15, 16], 11)),
        (SortInfo("id"), Page(0, BACKWARD, 5), ([12, 13, 14, 15, 16], 11)),
        (SortInfo("id"), Page(1, BACKWARD, 5), ([], 0)),
        (SortInfo("id"), Page(16, FORWARD, 5), ([], 0)),
        (None, Page(None, FORWARD, 2), ([1, 2], 14)),
        (SortInfo(""), Page(14, FORWARD, 5), ([15, 16], 0)),
        (SortInfo("PRIORITY"), Page(3, FORWARD, 2), ([4, 5], 11)),
    ],
)
def test_the_examples_of_the_original_come_out(
    sort: SortInfo | None, page: Page, expected: tuple[list[int], int]
) -> None:
    assert ids(SIXTEEN, sort, page) == expected


def test_a_limit_of_0_is_65535() -> None:
    many = [request(n) for n in range(1, 65535 + 17)]
    found, info = list_requests(many, page=Page(limit=0))
    assert (len(found), info.remaining) == (65535, 16)
    assert len(list_requests(many)[0]) == 65535


def test_ties_go_by_id_in_the_direction_of_the_main_order() -> None:
    rows = [request(n, priority=n % 2) for n in (3, 1, 4, 2)]
    assert ids(rows, SortInfo("priority"))[0] == [2, 4, 1, 3]
    assert ids(rows, SortInfo("priority", DOWN))[0] == [3, 1, 4, 2]


def test_states_are_sorted_as_they_are_written_on_the_wire() -> None:
    rows = [request(n, state=state) for n, state in enumerate(ReqState, 1)]
    found, _ = list_requests(rows, sort=SortInfo("state"))
    assert [one.state.value for one in found] == sorted(state.value for state in ReqState)


def test_a_time_that_is_missing_comes_first() -> None:
    rows = [request(1, deadline=NOON), request(2), request(3, deadline=NOON - timedelta(1))]
    assert ids(rows, SortInfo("deadline"))[0] == [2, 3, 1]
    assert ids(rows, SortInfo("validafter"))[0] == [1, 2, 3]


def test_the_border_gives_a_place_even_if_the_filter_does_not_match_it() -> None:
    odd = RequestFilter(ids=(1, 3, 5, 7))
    found, info = list_requests(SIXTEEN, odd, None, Page(4, FORWARD, 1))
    assert [one.id for one in found] == [5]
    assert info == ListInfo(total=4, remaining=1)
    found, info = list_requests(SIXTEEN, odd, None, Page(5, FORWARD, 9))
    assert ([one.id for one in found], info) == ([7], ListInfo(4, 0))


def test_filters_are_and_across_fields_and_or_within_one() -> None:
    rows = [
        request(1, priority=1, owner=UserInfo("ann")),
        request(2, priority=2, owner=UserInfo("bob"), state=ReqState.DONE),
        request(3, priority=2, owner=UserInfo("ann"), state=ReqState.DONE),
    ]

    def chosen(**fields: object) -> list[int]:
        return [one.id for one in list_requests(rows, RequestFilter(**fields))[0]]  # type: ignore[arg-type]

    assert chosen() == [1, 2, 3]
    assert chosen(priorities=(1, 2), owners=("ann",)) == [1, 3]
    assert chosen(states=("DONE", "WAITING"), ids=(2, 3, 9), owners=("bob",)) == [2]
    assert chosen(states=("done",)) == [], "any case is the command line's matter"
    assert chosen(priorities=(99,)) == []


def test_a_filter_of_ones_own_sees_what_the_list_shows() -> None:
    class Even:
        def match(self, req: ReqInfo) -> bool:
            return req.id % 2 == 0 and req.note == "described"

    rows = [row(n) for n in range(1, 7)]
    found, info = list_requests(
        rows, Even(), describe=lambda one: request(one.id, note="described")
    )
    assert ([one.id for one in found], info.total) == ([2, 4, 6], 3)
    plain, _ = list_requests([request(2, note="described"), request(4)], Even())
    assert [one.id for one in plain] == [2]


def row(id_: int, priority: int = 8, owner: str = "") -> RequestRow:
    return RequestRow(
        id_, 1, ReqState.WAIT, priority, id_, Capabilities(), NOON, NOON, 1.0, NOON, owner
    )


def test_only_the_rows_of_the_page_are_described() -> None:
    described: list[int] = []

    def describe(one: RequestRow) -> ReqInfo:
        described.append(one.id)
        return request(one.id)

    rows = [row(n, owner="ann" if n % 2 else "bob") for n in range(1, 1001)]
    found, info = list_requests(
        rows, RequestFilter(owners=("ann",)), None, Page(limit=3), describe=describe, by_id=True
    )
    assert [one.id for one in found] == described == [1, 3, 5]
    assert info == ListInfo(500, 497)
    kept, _ = whole(page_of_requests(rows, page=Page(500, FORWARD, 1), describe=describe))
    assert kept == [rows[500]]
    assert len(described) == 3


@pytest.mark.parametrize("item", ["uuid", "name", "id "])
def test_an_unknown_item_is_refused_and_the_known_ones_are_named(item: str) -> None:
    with pytest.raises(BadSort, match="allowed: id, priority, deadline, validafter, state"):
        list_requests(SIXTEEN, sort=SortInfo(item))
    with pytest.raises(BadSort, match="allowed: uuid, state, groups"):
        list_workers([], sort=SortInfo("id"))


def test_an_unknown_order_direction_or_limit_is_refused() -> None:
    with pytest.raises(BadSort, match="ascending, descending"):
        list_requests(SIXTEEN, sort=SortInfo("id", "down"))  # type: ignore[arg-type]
    with pytest.raises(BadPage, match="forward, backward"):
        list_requests(SIXTEEN, page=Page(direction="up"))  # type: ignore[arg-type]
    for limit in (-1, 65536, True, 1.5):
        with pytest.raises(BadPage, match="65535"):
            list_requests(SIXTEEN, page=Page(limit=limit))  # type: ignore[arg-type]


def test_an_unknown_border_is_not_found_and_the_first_error_is_the_originals() -> None:
    with pytest.raises(NotFoundError, match="request 99 not found"):
        list_requests(SIXTEEN, page=Page(99))
    with pytest.raises(NotFoundError):
        list_requests(SIXTEEN, page=Page("x"))
    with pytest.raises(BadSort):
        list_requests(SIXTEEN, sort=SortInfo("x"), page=Page(99))
    with pytest.raises(NotFoundError, match="worker nobody not found"):
        list_workers([], sort=SortInfo("x"), page=Page("nobody"))


def test_workers_are_sorted_by_groups_element_by_element_then_shorter_then_uuid() -> None:
    boards = [
        worker("d", groups=("a", "b")),
        worker("c", groups=("a",)),
        worker("b", groups=("B",)),
        worker("a", groups=("a",)),
        worker("e"),
    ]
    found, _ = list_workers(boards, sort=SortInfo("groups"))
    assert [one.worker_uuid for one in found] == ["e", "b", "a", "c", "d"]
    found, info = list_workers(boards, None, SortInfo("uuid", DOWN), Page("d", FORWARD, 2))
    assert ([one.worker_uuid for one in found], info) == (["c", "b"], ListInfo(5, 1))


def test_workers_are_chosen_by_groups_caps_and_states() -> None:
    boards = [
        worker("a", groups=("x",), caps=Capabilities(arch="arm", volt="3.3")),
        worker("b", groups=("y", "z"), caps=Capabilities(arch="mips")),
        worker("c", WorkerState.FAIL, caps=Capabilities(arch="arm")),
    ]

    def chosen(**fields: object) -> list[str]:
        wanted = WorkerFilter(**fields)  # type: ignore[arg-type]
        return [one.worker_uuid for one in list_workers(boards, wanted)[0]]

    assert chosen() == ["a", "b", "c"]
    assert chosen(groups=("x", "z")) == ["a", "b"]
    assert chosen(caps={"arch": "arm"}) == ["a", "c"]
    assert chosen(caps={"arch": "arm|mips", "volt": "!*"}) == ["b", "c"]
    assert chosen(caps={"volt": "3..4"}, states=("IDLE",)) == ["a"]
    assert chosen(states=("FAILED", "BUSY")) == ["c"]
    with pytest.raises(BadCaps):
        WorkerFilter(caps={"volt": "4..3"})


def naive(
    rows: list[ReqInfo], chosen: RequestFilter, item: str, order: SortOrder, page: Page
) -> tuple[list[int], ListInfo]:
    """The rules of chapter 7, word by word."""
    keys = {
        "id": lambda one: (one.id,),
        "priority": lambda one: (one.priority, one.id),
        "deadline": lambda one: (one.deadline, one.id),
        "state": lambda one: (one.state.value, one.id),
    }
    line = sorted(rows, key=keys[item], reverse=order is DOWN)
    before, after = [], []
    side = after if not page.id else before
    for one in line:
        if one.id == page.id:
            side = after
        elif chosen.match(one):
            side.append(one.id)
    if not page.id:
        before = after
    total = sum(chosen.match(one) for one in line)
    if page.direction is FORWARD:
        return after[: page.limit], ListInfo(total, max(0, len(after) - page.limit))
    found = before[max(0, len(before) - page.limit) :]
    return found, ListInfo(total, len(before) - len(found))


@settings(max_examples=150, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from(STATES))),
    item=st.sampled_from(["id", "priority", "deadline", "state"]),
    order=st.sampled_from(SortOrder),
    direction=st.sampled_from(ListDirection),
    limit=st.sampled_from([1, 2, 7, 60]),
    border=st.integers(0, 80),
    only=st.sets(st.integers(1, 3)),
)
def test_any_page_is_the_one_that_the_rules_say(
    kinds: list[tuple[int, int, ReqState]],
    item: str,
    order: SortOrder,
    direction: ListDirection,
    limit: int,
    border: int,
    only: set[int],
) -> None:
    kinds = kinds * 3  # long enough for pages that are picked, not sorted out
    rows = [
        request(n, priority=priority, deadline=NOON + timedelta(hours), state=state)
        for n, (priority, hours, state) in enumerate(kinds, 1)
    ]
    chosen = RequestFilter(priorities=tuple(only))
    page = Page(border if border <= len(rows) else None, direction, limit)
    found, info = list_requests(rows[::-1], chosen, SortInfo(item, order), page)
    assert ([one.id for one in found], info) == naive(rows, chosen, item, order, page)
