from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from boruta.domain.changes import Change, Gap
from boruta.domain.errors import BadPage, BadRequest
from boruta.domain.listing import RequestFilter, WorkerFilter
from boruta.domain.types import (
    ListDirection,
    ListInfo,
    Page,
    ReqInfo,
    ReqState,
    Role,
    SortInfo,
    SortOrder,
    UserInfo,
    WorkerInfo,
    WorkerState,
)
from tests.transport.engine import AT
from tests.transport.fake import eventually, place, refused, run
from transport.remote_requests import RemoteFeed, RemoteHistory, RemoteRequests, RemoteWorkers


def test_a_list_over_1000_is_fetched_page_by_page_and_looks_like_one() -> None:
    async def story() -> None:
        async with place() as there:
            infos = {n: ReqInfo(n, 1 + n % 16, note="n" * 500) for n in range(1, 3201)}
            there.front.infos = infos
            requests = RemoteRequests(await there.user())
            found, info = await requests.list_requests()
            assert [one.id for one in found] == list(range(1, 3201))
            assert info == ListInfo(3200, 0)
            for direction in ListDirection:
                for limit in (0, 1, 1500):
                    sort = SortInfo("priority", SortOrder.DESCENDING)
                    page = Page(1700, direction, limit)
                    wanted = await there.front.requests(_anyone()).list_requests(None, sort, page)
                    assert await requests.list_requests(None, sort, page) == wanted

    run(story)


def test_history_travels_and_what_is_too_long_is_cut() -> None:
    async def story() -> None:
        async with place() as there:
            history = RemoteHistory(await there.user())
            (event,) = await history(worker="b1", before=42)
            asked = {"worker": "b1", "before": 42, "limit": 200}
            assert there.front.of("history") == [("history", asked)]
            assert (event.id, event.at, event.kind) == (41, AT, "request.changed")
            assert (event.request_id, event.worker_uuid, event.old_state) == (7, None, "")
            assert event.by == "\u00e9" * 126 + "..."
            assert event.reason == "x" * 1021 + "..."
            assert isinstance(await refused(history(limit=201)), BadPage)

    run(story)


def _anyone() -> Any:
    from boruta.domain.types import Caller

    return Caller("x", Role.ADMIN)


def test_filters_travel_and_a_custom_one_works_in_process_only() -> None:
    class Mine:
        def match(self, _: Any) -> bool:
            return True

    async def story() -> None:
        async with place() as there:
            there.front.infos = {
                n: ReqInfo(n, n, UserInfo("ann" if n % 2 else "bob"), state=state)
                for n, state in enumerate([ReqState.WAIT, ReqState.DONE, ReqState.WAIT], 1)
            }
            there.front.workers_ = {
                u: WorkerInfo(u, WorkerState.IDLE, (g,)) for u, g in [("u1", "a"), ("u2", "b")]
            }
            link = await there.user()
            requests, workers = RemoteRequests(link), RemoteWorkers(link)
            for chosen, ids in [
                (RequestFilter(ids=(1, 2)), [1, 2]),
                (RequestFilter(priorities=(3,)), [3]),
                (RequestFilter(states=(ReqState.DONE,)), [2]),
                (RequestFilter(owners=("ann",), states=("WAITING",)), [1, 3]),
            ]:
                assert [one.id for one in (await requests.list_requests(chosen))[0]] == ids
            found, _ = await workers.list_workers(WorkerFilter(groups=("b",)))
            assert [one.worker_uuid for one in found] == ["u2"]
            for listing in (requests.list_requests(Mine()), workers.list_workers(Mine())):
                error = await refused(listing)
                assert error.code == "bad_request"
                assert "in process only" in str(error)

    run(story)


@pytest.mark.parametrize("limit", [-1, 65_536])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    async def story() -> None:
        async with place() as there:
            requests = RemoteRequests(await there.user())
            assert (await refused(requests.list_requests(page=Page(limit=limit)))).code == (
                "bad_page"
            )

    run(story)


def test_an_unknown_border_is_not_found_and_bad_sort_is_told() -> None:
    async def story() -> None:
        async with place() as there:
            requests = RemoteRequests(await there.user())
            assert (await refused(requests.list_requests(page=Page(77)))).code == "not_found"
            error = await refused(requests.list_requests(sort=SortInfo("colour")))
            assert error.code == "bad_sort"

    run(story)


def test_ids_that_cannot_exist_are_not_found() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            for req_id in (0, -1, 999):
                error = await refused(RemoteRequests(link).get_request_info(req_id))
                assert error.code == "not_found"
            assert (await refused(RemoteWorkers(link).get_worker_info(""))).code == "not_found"

    run(story)


def test_every_field_of_a_request_travels_both_ways() -> None:
    async def story() -> None:
        async with place() as there:
            requests = RemoteRequests(await there.user())
            await requests.new_request(
                {"a": "1"},
                2,
                UserInfo("", ("g",)),
                AT,
                AT,
                job_timeout=7.5,
                note="n",
                token="t",
                bound=True,
            )
            info = await requests.get_request_info(1)
            assert (info.owner.groups, info.valid_after, info.deadline) == (("g",), AT, AT)
            assert (info.job_timeout_s, info.note, info.bound) == (7.5, "n", True)
            assert list(there.front.tokens) == ["t"]
            await requests.update_request(ReqInfo(1, 5))
            assert (await requests.get_request_info(1)).priority == 5
            naive = datetime(2026, 1, 1)  # noqa: DTZ001
            with pytest.raises(BadRequest, match="zone"):
                await requests.new_request({}, 8, deadline=naive)

    run(story)


def test_acquire_waits_no_longer_than_it_is_told() -> None:
    async def story() -> None:
        async with place() as there:
            requests = RemoteRequests(await there.user())
            req_id = await requests.new_request({}, 8)
            error = await refused(requests.acquire_worker(req_id, 0.05))
            assert error.code == "timed_out"
            assert str(error) == "still waits", "the server's own words"

    run(story)


# --- news
def test_each_watch_gets_what_it_wants_over_one_subscription() -> None:
    async def story() -> None:
        async with place() as there:
            feed = RemoteFeed(await there.user())
            all_, ended, one = [], [], []
            first = await feed.subscribe(all_.append)
            await feed.subscribe(ended.append, kinds=["ended"])
            await feed.subscribe(one.append, requests=[2])
            for req_id, kind in [(1, "updated"), (2, "updated"), (1, "ended")]:
                there.front.change(req_id, kind)
            await eventually(lambda: len(all_) == 3)
            assert [c.kind for c in ended] == ["ended"]
            assert [c.request.id for c in one] == [2]
            assert len(there.front.watchers) == 1
            first.close()
            there.front.change(2, "ended")
            await eventually(lambda: len(one) == 2)
            assert len(all_) == 3

    run(story)


def test_after_a_reconnect_nothing_is_missed_and_nothing_comes_twice() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            feed = RemoteFeed(link)
            seen: list[Change] = []
            await feed.subscribe(seen.append)
            there.front.change(1)
            await eventually(lambda: len(seen) == 1)
            there.cut_all()
            there.front.change(2)
            there.front.change(3)
            await eventually(lambda: len(seen) == 3)
            there.front.change(4)
            await eventually(lambda: len(seen) == 4)
            assert [change.seq for change in seen] == ["x-1", "x-2", "x-3", "x-4"]

    run(story)


def test_a_server_that_does_not_know_the_seq_says_gap() -> None:
    async def story() -> None:
        async with place() as there:
            feed = RemoteFeed(await there.user())
            seen: list[Change] = []
            await feed.subscribe(seen.append)
            feed._seq = "another life-5"
            there.cut_all()
            await eventually(lambda: seen)
            assert isinstance(seen[0], Gap)
            await eventually(lambda: there.front.watchers)
            there.front.change(1)
            await eventually(lambda: len(seen) == 2)

    run(story)


def test_the_last_watch_that_closes_ends_the_subscription() -> None:
    async def story() -> None:
        async with place() as there:
            feed = RemoteFeed(await there.user())
            watch = await feed.subscribe(lambda _: None)
            watch.close()
            watch.close()
            await there.front.until(lambda: there.front.of("unsubscribed"))
            await eventually(lambda: not feed._tasks)
            seen: list[Change] = []
            await feed.subscribe(seen.append)
            there.front.change(1)
            await eventually(lambda: seen)

    run(story)


def test_facts_of_the_server() -> None:
    async def story() -> None:
        async with place() as there:
            info = await RemoteRequests(await there.user()).info()
            assert (info["software"], info["name"], info["role"]) == ("fake 1", "ann", "user")
            assert "wire" not in info, "counts are an admin's"
            admin = RemoteRequests(await there.user("root", Role.ADMIN))
            assert (await admin.info())["wire"]["peers"] == 2
            await asyncio.sleep(0)

    run(story)
