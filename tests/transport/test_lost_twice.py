"""A connection is lost, and the engine fails at that news once."""

from __future__ import annotations

from typing import Any

import pytest

from boruta.domain.types import Role
from tests.transport.fake import Place, place, run
from transport import greeting, registering


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greeting, "_AGAIN_S", 0.05)
    monkeypatch.setattr(registering, "_AGAIN_S", 0.05)


def fails_once(there: Place, name: str) -> None:
    """The engine fails at the first news of this kind."""
    real, told = getattr(there.front, name), []

    def breaks(*news: Any) -> None:
        told.append(news)
        there.front.told("tried", name)
        if len(told) == 1:
            raise RuntimeError("planted")
        real(*news)

    setattr(there.front, name, breaks)


def test_a_session_that_was_lost_is_told_of_until_it_is_heard() -> None:
    async def story() -> None:
        async with place() as there:
            fails_once(there, "session_lost")
            with there.raw() as peer:
                await peer.hello(session=b"s" * 16)
            await there.front.until(lambda: there.front.of("session_lost"))
            assert len(there.front.of("tried")) == 2

    run(story)


def test_a_session_that_came_back_meanwhile_is_not_told_of() -> None:
    async def story() -> None:
        async with place() as there:
            fails_once(there, "session_lost")
            keys = there.admit("alice")
            with there.raw(keys) as peer:
                await peer.hello(session=b"s" * 16)
            await there.front.until(lambda: there.front.of("tried"))
            with there.raw(keys) as again:
                await again.hello(session=b"s" * 16)
                await again.call("ping")
                assert there.front.of("session_lost") == []
                for _ in range(3):  # three times as long as the next try takes
                    await again.event(0, within_s=0.05)
                assert there.front.of("session_lost") == []

    run(story)


def test_a_board_whose_connection_was_lost_is_told_of_until_it_is_heard() -> None:
    async def story() -> None:
        async with place() as there:
            fails_once(there, "worker_lost")
            with there.raw(there.admit("agent", Role.WORKER)) as peer:
                await peer.hello("worker")
                await peer.call("superviser.register", caps={"UUID": "u1"}, ssh_address=":7022")
            await there.front.until(lambda: there.front.of("worker_lost"))
            assert len(there.front.of("tried")) == 2

    run(story)
