"""A herd of timers that are due at one time leaves room for everything else."""

from __future__ import annotations

import asyncio
import itertools

from actors.runtime import LoopDispatcher
from boruta.domain.defaults import DUE_TIMERS_A_TURN


def test_at_most_256_due_timers_are_done_between_two_looks_of_the_loop() -> None:
    async def body() -> list[int]:
        dispatcher = LoopDispatcher(asyncio.get_running_loop())
        done: list[int] = []
        for number in range(5 * DUE_TIMERS_A_TURN + 1):
            dispatcher.call_later(0.0, lambda number=number: done.append(number))  # type: ignore[misc]
        seen = [0]
        while len(done) <= 5 * DUE_TIMERS_A_TURN:
            await asyncio.sleep(0)
            seen.append(len(done))
        assert done == sorted(done)
        dispatcher.stop_all()
        return [after - before for before, after in itertools.pairwise(seen)]

    a_turn = asyncio.run(body())
    assert DUE_TIMERS_A_TURN == 256
    assert max(a_turn) == DUE_TIMERS_A_TURN
