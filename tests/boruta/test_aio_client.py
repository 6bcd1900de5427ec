"""The client as coroutines: its end, its watch over boards, its subscriptions, its farm."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from boruta import aio, reserving, watching
from boruta.domain.changes import RequestChanged
from boruta.domain.errors import (
    BadRequest,
    Busy,
    ShuttingDown,
    Unreachable,
)
from boruta.domain.types import AccessInfo, ReqState
from tests.boruta.board import START, LendingRequests, NoWorkers

ACCESS = AccessInfo("127.0.0.1", 1, "boruta-user", "PRIVATE KEY")


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


def client_of(requests: LendingRequests, **options: Any) -> aio.Client:
    return aio.Client(requests, NoWorkers(), **{"feed": requests, **options})


def test_closing_the_client_gives_bound_boards_back_and_leaves_the_others() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        await client.reserve({})
        await client.reserve({}, bound=False)
        await client.reserve({})
        await client.close()
        await client.close()
        assert sorted(requests.closed) == [1, 3]

    run(story())


def test_a_server_out_of_reach_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "_RELEASE_WITHIN_S", 0.05)

    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        await client.reserve({})

        async def never(_: int) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(requests, "close_request", never)
        await client.close()

    run(story())


def test_a_bound_board_that_cannot_be_given_back_now_is_freed_by_its_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        bound, free = await client.reserve({}), await client.reserve({}, bound=False)

        async def away(_: int) -> None:
            raise Unreachable("no answer")

        monkeypatch.setattr(requests, "close_request", away)
        await bound.close()
        with pytest.raises(Unreachable):
            await free.close()
        await client.close()

    run(story())


def test_an_attached_board_is_left_as_it_is() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        req_id = await client.new_request({}, 8)
        async with client.attach(req_id) as board:
            assert board.worker_uuid == "board-1"
        await client.close()
        assert requests.closed == []

    run(story())


def test_a_closed_client_says_so() -> None:
    async def story() -> None:
        client = client_of(LendingRequests(ACCESS))
        async with client:
            assert await client.info() == {}
        for call in (
            client.list_requests(),
            client.list_workers(),
            client.info(),
            client.reserve({}).__aenter__(),
            client.attach(1).__aenter__(),
            client.subscribe(print),
        ):
            with pytest.raises(ShuttingDown, match="connect"):
                await call

    run(story())


def test_one_subscription_watches_over_all_boards() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        boards = [await client.reserve({}) for _ in range(5)]
        assert len(requests.delivers) == 1
        requests.end(3, ReqState.FAILED, "board_lost", "gone")
        assert [board.lost is not None for board in boards] == [False, False, True, False, False]
        for board in boards:
            await board.close()
        assert requests.delivers == []
        await client.close()

    run(story())


def test_where_no_subscription_is_to_be_had_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_ALONE_S", 0.02)

    async def story() -> None:
        requests = LendingRequests(ACCESS)

        async def busy(*_: object, **__: object) -> None:
            raise Busy("20 subscriptions")

        monkeypatch.setattr(requests, "subscribe", busy)
        client = client_of(requests)
        board = await client.reserve({})
        requests.end(1, ReqState.FAILED, "board_lost", "gone")
        while board.lost is None:
            await asyncio.sleep(0.01)
        await client.close()

    run(story())


def test_changes_are_delivered_until_closed() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        heard: list[object] = []
        subscription = await client.subscribe(heard.append)
        await client.subscribe(heard.append)
        info = replace(await _made(client), state=ReqState.DONE)
        for deliver in tuple(requests.delivers):
            deliver(RequestChanged("1", "ended", START, info))
        assert len(heard) == 2
        subscription.close()
        assert len(requests.delivers) == 1
        await client.close()
        assert requests.delivers == []

    run(story())


async def _made(client: aio.Client) -> Any:
    return await client.get_request_info(await client.new_request({}, 8))


def test_a_client_without_a_feed_says_so() -> None:
    async def story() -> None:
        client = client_of(LendingRequests(), feed=None)
        with pytest.raises(BadRequest, match="feed"):
            await client.subscribe(print)
        await client.close()

    run(story())


def test_release_of_what_has_ended_is_no_error() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        board = await client.reserve({})
        await client.close_request(board.id)
        await board.close()
        await reserving.release(requests, 4711, bound=False)
        await client.close()

    run(story())


@pytest.mark.integration
def test_a_farm_is_used_from_a_loop() -> None:
    async def story() -> None:
        async with aio.Farm() as farm:
            assert farm.url.startswith("tcp://127.0.0.1:")
            (uuid,) = await farm.simulate(1, caps={"arch": "arm"})
            async with farm.reserve({"arch": "arm"}, timeout=20) as board:
                assert board.worker_uuid == uuid
                assert (await board.run("echo hello")).stdout == "hello\n"
            async with aio.connect(data=farm.farm.data) as client:
                found, _ = await client.list_requests()
                assert [one.state for one in found] == [ReqState.DONE]
            assert (await farm.list_workers())[1].total == 1
        with pytest.raises(ShuttingDown):
            _ = farm.url

    asyncio.run(story())
