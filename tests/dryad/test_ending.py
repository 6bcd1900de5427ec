"""A session that would not end: the agent does not wait for another order to end it."""

from __future__ import annotations

import asyncio

import pytest

from boruta.domain.errors import SessionAlive
from tests.dryad.fakes import Board, end, prepare


def test_a_holder_who_outlived_a_prepare_is_ended_though_no_other_order_comes() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        board.sessions.log_in()
        board.sessions.stubborn = 1
        with pytest.raises(SessionAlive):
            await board.agent.handle(prepare(board=2))
        await board.clock.advance(1)
        assert not board.sessions.active
        assert board.faults == []

    asyncio.run(story())


def test_a_holder_who_outlives_that_too_is_reported() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        board.sessions.log_in()
        board.sessions.stubborn = 2
        with pytest.raises(SessionAlive):
            await board.agent.handle(end())
        await board.clock.advance(1)
        assert len(board.faults) == 1
        await board.clock.advance(1)
        assert not board.sessions.active

    asyncio.run(story())


def test_a_prepare_that_comes_meanwhile_lets_the_next_holder_in_and_leaves_him_alone() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        board.sessions.stubborn = 1
        with pytest.raises(SessionAlive):
            await board.agent.handle(prepare(board=2))
        await board.agent.handle(prepare(board=3))
        await board.clock.advance(120)
        assert board.is_open

    asyncio.run(story())
