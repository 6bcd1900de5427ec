"""The client as coroutines: how a board is come by, and what is undone when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from boruta import aio
from boruta.domain.errors import (
    BoardLost,
    TimedOut,
    Unreachable,
    Unservable,
)
from boruta.domain.types import AccessInfo, ReqState
from tests.boruta.board import LendingRequests, NoWorkers

ACCESS = AccessInfo("127.0.0.1", 1, "boruta-user", "PRIVATE KEY")


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


def client_of(requests: LendingRequests, **options: Any) -> aio.Client:
    return aio.Client(requests, NoWorkers(), **{"feed": requests, **options})


def test_a_reservation_is_a_bound_request_with_a_token() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        board = await client.reserve(
            {"arch": "arm"}, priority=3, groups=["lab"], note="n", job_timeout=60
        )
        (made,) = requests.made
        assert made["caps"] == {"arch": "arm"}
        assert (made["priority"], made["owner"].groups) == (3, ("lab",))
        assert (made["bound"], made["note"], made["job_timeout"]) == (True, "n", 60)
        assert len(made["token"]) == 32
        assert made["unservable"] is None
        assert (board.id, board.access, board.info.state) == (1, ACCESS, ReqState.INPROGRESS)
        assert requests.closed == []
        await board.close()
        assert requests.closed == [1]
        await client.close()
        assert requests.delivers == []

    run(story())


def test_no_board_in_time_gives_the_request_up_and_says_why() -> None:
    async def story() -> None:
        requests = LendingRequests()
        client = client_of(requests)
        with pytest.raises(TimedOut, match=r"no board in 0\.05 s: board-1 is held by bob"):
            await client.reserve({}, timeout=0.05)
        assert requests.closed == [1]
        await client.close()

    run(story())


def test_cancelling_while_it_waits_gives_the_request_up() -> None:
    async def story() -> None:
        requests = LendingRequests()
        client = client_of(requests)

        async def reserve() -> None:
            async with client.reserve({}):
                raise AssertionError("there is no board")

        task = asyncio.ensure_future(reserve())
        await requests.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert requests.closed == [1]
        await client.close()

    run(story())


def test_cancelling_while_the_request_is_made_gives_it_up_too() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        requests.hold_new = asyncio.Event()
        client = client_of(requests)
        task = asyncio.ensure_future(client.reserve({}).__aenter__())
        await requests.waiting.wait()
        task.cancel()
        await asyncio.sleep(0)
        requests.hold_new.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert requests.closed == [1]
        await client.close()

    run(story())


def test_a_server_that_goes_away_after_the_request_was_made_gives_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)

        async def away(*_: object) -> None:
            raise Unreachable("no answer")

        monkeypatch.setattr(requests, "acquire_worker", away)
        with pytest.raises(Unreachable, match="no answer"):
            await client.reserve({})
        assert requests.closed == [1]
        await client.close()

    run(story())


def test_what_is_refused_is_passed_on() -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        requests.refuse_new = Unservable("nobody has it")
        client = client_of(requests)
        with pytest.raises(Unservable, match="nobody has it"):
            await client.reserve({"arch": "sparc"}, unservable="refuse")
        assert requests.closed == []
        await client.close()

    run(story())


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (ReqState.TIMEOUT, TimedOut),
        (ReqState.INVALID, Unservable),
        (ReqState.FAILED, BoardLost),
    ],
)
def test_a_request_that_ends_instead_of_getting_a_board_says_how(
    state: ReqState, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        requests = LendingRequests(ACCESS)
        client = client_of(requests)
        acquire = requests.acquire_worker

        async def ended(req_id: int, timeout: float | None = None) -> AccessInfo:
            requests.end(req_id, state, "code", "this is why")
            return await acquire(req_id, timeout)

        monkeypatch.setattr(requests, "acquire_worker", ended)
        with pytest.raises(error, match="this is why"):
            await client.reserve({})
        await client.close()

    run(story())
