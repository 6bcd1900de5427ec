"""An agent as a Pykka actor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.runtime import LoopDispatcher
from boruta.domain.errors import SessionAlive
from boruta.domain.interfaces import Dryad
from boruta.domain.types import Check, Epoch
from dryad.actor import BlockingDryad, DryadActor
from tests.dryad.fakes import KEY, OTHER_KEY, Board


class Harness:
    """A loop in another thread with an agent's actor on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.board = Board()
        self.dispatcher = LoopDispatcher(self.loop)
        self.run(self.board.agent.start())
        self.ref: pykka.ActorRef[DryadActor] = self.dispatcher.start(DryadActor, self.board.agent)

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self.ref.stop(timeout=10)
        self.dispatcher.stop_all()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()


def test_an_actor_prepares_checks_and_puts_in_maintenance(harness: Harness) -> None:
    dryad: Dryad = BlockingDryad(harness.ref)
    dryad.prepare(KEY)
    assert harness.board.sessions.open_key == KEY
    assert dryad.healthcheck() == (Check("disk", True, "1 GiB free"),)
    dryad.put_in_maintenance("new cable")
    assert not harness.board.is_open
    assert harness.board.hardware.display == "new cable"


def test_each_order_has_an_epoch_of_its_own(harness: Harness) -> None:
    dryad = BlockingDryad(harness.ref)
    dryad.prepare(KEY)
    dryad.prepare(OTHER_KEY)
    assert harness.board.sessions.open_key == OTHER_KEY
    assert harness.board.agent.epoch == Epoch(0, 2)


def test_what_goes_wrong_comes_back_to_the_asker_and_the_actor_lives_on(harness: Harness) -> None:
    dryad = BlockingDryad(harness.ref)
    harness.board.sessions.stubborn = 1
    with pytest.raises(SessionAlive):
        dryad.prepare(KEY)
    dryad.prepare(KEY)
    assert harness.ref.is_alive()


def test_an_order_is_a_future_and_others_are_answered_meanwhile(harness: Harness) -> None:
    hold = harness.run(_event())
    harness.board.sessions.hold = hold
    proxy: Any = harness.ref.proxy()
    slow = proxy.prepare(KEY)
    assert proxy.healthcheck().get(timeout=10)
    harness.loop.call_soon_threadsafe(hold.set)
    assert slow.get(timeout=10) is None
    assert harness.board.is_open


async def _event() -> asyncio.Event:
    return asyncio.Event()
