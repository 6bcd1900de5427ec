"""Filters, sorting and pages of both lists (the original, chapter 7)."""

from __future__ import annotations

import pytest

from boruta.domain.listing import RequestFilter, WorkerFilter
from boruta.domain.types import (
    ListDirection,
    Page,
    ReqState,
    SortInfo,
    SortOrder,
    WorkerState,
)
from tests.conformance.lab import ANY, Lab, Party, refused

DOWN = SortOrder.DESCENDING
BACK = ListDirection.BACKWARD


@pytest.fixture
def sixteen(alice: Party) -> list[int]:
    """Sixteen requests, of priorities 1, 2, 3, 4, 1, 2, ..."""
    return [alice.requests.new_request({"n": str(n)}, n % 4 + 1) for n in range(16)]


def ids(party: Party, **options: object) -> list[int]:
    return [one.id for one in party.requests.list_requests(**options)[0]]  # type: ignore[arg-type]


def test_without_a_filter_all_are_listed_by_id(alice: Party, sixteen: list[int]) -> None:
    found, info = alice.requests.list_requests()
    assert [one.id for one in found] == sixteen
    assert (info.total, info.remaining) == (16, 0)
    assert [one.caps["n"] for one in found] == [str(n) for n in range(16)]
    assert all(one.queue is not None and one.queue.why for one in found)


def test_fields_of_a_filter_are_anded_and_their_values_ored(
    alice: Party, sixteen: list[int]
) -> None:
    alice.requests.close_request(sixteen[0])
    first = RequestFilter(priorities=(1, 2))
    assert ids(alice, filter=first) == [one for n, one in enumerate(sixteen) if n % 4 < 2]
    both = RequestFilter(priorities=(1,), states=(ReqState.CANCEL, ReqState.DONE))
    assert ids(alice, filter=both) == sixteen[:1]
    assert ids(alice, filter=RequestFilter(ids=(sixteen[3], 4711))) == [sixteen[3]]
    assert len(ids(alice, filter=RequestFilter(owners=("alice",)))) == 16
    assert ids(alice, filter=RequestFilter(owners=("bob",))) == []
    assert ids(alice, filter=RequestFilter(priorities=(99,))) == []


def test_every_item_sorts_and_ties_go_by_id_the_same_way(alice: Party, sixteen: list[int]) -> None:
    by_priority = sorted(sixteen, key=lambda one: ((sixteen.index(one)) % 4, one))
    assert ids(alice, sort=SortInfo("priority")) == by_priority
    assert ids(alice, sort=SortInfo("PRIORITY", DOWN)) == by_priority[::-1]
    assert ids(alice, sort=SortInfo("", DOWN)) == sixteen[::-1]
    assert ids(alice, sort=SortInfo("validafter")) == sixteen
    assert ids(alice, sort=SortInfo("deadline")) == sixteen
    alice.requests.close_request(sixteen[5])
    assert ids(alice, sort=SortInfo("state"))[0] == sixteen[5]


def test_an_unknown_item_is_refused(alice: Party) -> None:
    with refused("bad_sort"):
        alice.requests.list_requests(sort=SortInfo("caps"))
    with refused("bad_sort"):
        alice.workers.list_workers(sort=SortInfo("id"))


@pytest.mark.parametrize(
    ("direction", "want", "remaining"),
    [(ListDirection.FORWARD, (4, 3, 2), 1), (BACK, (8, 7, 6), 8)],
)
def test_pages_lie_on_either_side_of_their_border(
    alice: Party, sixteen: list[int], direction: ListDirection, want: tuple[int, ...],
    remaining: int,
) -> None:  # fmt: skip
    found, info = alice.requests.list_requests(
        sort=SortInfo("id", DOWN), page=Page(sixteen[4], direction, 3)
    )
    assert [one.id for one in found] == [sixteen[n - 1] for n in want]
    assert (info.total, info.remaining) == (16, remaining)


def test_backward_without_a_border_is_the_last_page(alice: Party, sixteen: list[int]) -> None:
    found, info = alice.requests.list_requests(page=Page(None, BACK, 5))
    assert [one.id for one in found] == sixteen[11:]
    assert info.remaining == 11


def test_at_the_ends_a_page_is_empty(alice: Party, sixteen: list[int]) -> None:
    for border, direction in ((sixteen[0], BACK), (sixteen[-1], ListDirection.FORWARD)):
        found, info = alice.requests.list_requests(page=Page(border, direction, 3))
        assert (found, info.total, info.remaining) == ([], 16, 0)


def test_a_border_that_does_not_match_the_filter_still_is_one(
    alice: Party, sixteen: list[int]
) -> None:
    found, info = alice.requests.list_requests(
        RequestFilter(priorities=(1,)), page=Page(sixteen[1], limit=2)
    )
    assert [one.id for one in found] == [sixteen[4], sixteen[8]]
    assert (info.total, info.remaining) == (4, 1)


def test_a_border_that_is_not_there_is_not_found(alice: Party, sixteen: list[int]) -> None:
    with refused("not_found"):
        alice.requests.list_requests(page=Page(4711, limit=2))
    with refused("not_found"):
        alice.workers.list_workers(page=Page("nobody", limit=2))


@pytest.mark.parametrize("limit", [-1, 65_536])
def test_a_limit_out_of_range_is_refused(alice: Party, limit: int) -> None:
    with refused("bad_page"):
        alice.requests.list_requests(page=Page(limit=limit))


def test_walking_the_pages_finds_each_request_once(alice: Party, sixteen: list[int]) -> None:
    seen: list[int] = []
    border: int | None = None
    while True:
        found, info = alice.requests.list_requests(page=Page(border, limit=5))
        seen += [one.id for one in found]
        if not info.remaining:
            break
        border = seen[-1]
    assert seen == sixteen


def test_more_than_one_page_of_the_wire_comes_whole(alice: Party) -> None:
    made = [alice.requests.new_request(ANY, 8) for _ in range(1_203)]
    found, info = alice.requests.list_requests()
    assert [one.id for one in found] == made
    assert (info.total, info.remaining) == (1_203, 0)
    found, info = alice.requests.list_requests(page=Page(None, BACK, 1_100))
    assert [one.id for one in found] == made[103:]
    assert info.remaining == 103


@pytest.fixture
def three_boards(lab: Lab) -> Lab:
    """Boards in several groups and states."""
    lab.board("b-1", arch="arm", groups=("night", "lab"))
    lab.board("b-2", arch="arm", ram="1024", groups=("lab",))
    lab.register("b-3", arch="riscv64")
    return lab


def uuids(party: Party, **options: object) -> list[str]:
    found = party.workers.list_workers(**options)[0]  # type: ignore[arg-type]
    return [one.worker_uuid for one in found]


def test_workers_are_filtered_by_groups_caps_and_states(three_boards: Lab) -> None:
    alice = three_boards.user()
    assert uuids(alice) == ["b-1", "b-2", "b-3"]
    assert uuids(alice, filter=WorkerFilter(groups=("night", "day"))) == ["b-1"]
    assert uuids(alice, filter=WorkerFilter(caps={"arch": "arm"})) == ["b-1", "b-2"]
    assert uuids(alice, filter=WorkerFilter(caps={"arch": "arm", "ram": "512.."})) == ["b-2"]
    assert uuids(alice, filter=WorkerFilter(states=(WorkerState.MAINTENANCE,))) == ["b-3"]
    assert uuids(alice, filter=WorkerFilter(groups=("lab",), caps={"arch": "riscv64"})) == []


def test_workers_are_sorted_and_paged(three_boards: Lab) -> None:
    alice = three_boards.user()
    assert uuids(alice, sort=SortInfo("", DOWN)) == ["b-3", "b-2", "b-1"]
    assert uuids(alice, sort=SortInfo("state")) == ["b-1", "b-2", "b-3"]
    assert uuids(alice, sort=SortInfo("groups")) == ["b-3", "b-2", "b-1"]
    assert uuids(alice, page=Page("b-1", limit=1)) == ["b-2"]
