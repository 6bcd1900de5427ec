"""One key that asks for thousands at once, and the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.directory import Rules
from actors.front import EngineFront
from actors.request import RequestActor
from actors.runtime import LoopDispatcher
from actors.system import System
from boruta.domain import defaults
from boruta.domain.errors import Busy
from boruta.domain.ports import Subscription
from boruta.domain.types import Caller
from boruta.store.memory import MemoryStore
from boruta.testing import FakeAccess
from tests.actors.farm import ALICE, BOB, SimFarm


def test_a_new_request_is_answered_behind_the_work_that_it_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = answered = ahead = 0
    begin = RequestActor.begin

    def counted(self: RequestActor) -> None:
        nonlocal begun
        begun += 1
        begin(self)

    monkeypatch.setattr(RequestActor, "begin", counted)

    async def story() -> None:
        dispatcher = LoopDispatcher(asyncio.get_running_loop())
        system = System(
            dispatcher, MemoryStore(), FakeAccess(), lambda: ("", ""), lambda: 0.5, Rules(), "life"
        )
        system.start()
        requests: Any = EngineFront(system).requests(ALICE)

        async def ask(number: int) -> None:
            nonlocal answered, ahead
            await requests.new_request({"a": str(number)}, 8)
            answered += 1
            ahead = max(ahead, answered - begun)

        async with asyncio.TaskGroup() as group:
            for number in range(2000):
                group.create_task(ask(number))
        system.stop()

    asyncio.run(story())
    assert answered == 2000
    # Else whoever is answered asks on, and the others' calls stand behind all that.
    assert ahead <= 100


def test_a_key_has_so_many_live_requests_and_others_have_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "LIVE_REQUESTS_A_KEY", 3)
    farm = SimFarm()
    mine = [farm.new() for _ in range(3)]
    with pytest.raises(Busy, match="3 live requests"):
        farm.new()
    assert farm.new(by=BOB)
    farm.close(mine[0])  # what has ended counts no more
    farm.new()
    with pytest.raises(Busy):
        farm.new()


def test_a_key_watches_so_many_times_and_others_have_their_own() -> None:
    farm = SimFarm()

    def watch(caller: Caller) -> Subscription:
        return farm.front.feed(caller).subscribe(lambda change: None)[1]

    mine = [watch(ALICE) for _ in range(defaults.SUBSCRIPTIONS_A_KEY)]
    with pytest.raises(Busy, match="subscriptions"):
        watch(ALICE)
    other = watch(BOB)
    for again in range(3):
        mine[again].close()
        mine[again].close()  # once is enough
        mine.append(watch(ALICE))
        with pytest.raises(Busy):
            watch(ALICE)
    for one in (*mine, other):
        one.close()
    mine = [watch(ALICE) for _ in range(defaults.SUBSCRIPTIONS_A_KEY)]
