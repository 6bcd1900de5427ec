"""The simulated dispatcher: virtual time, drawn order, the same run from the same seed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pykka
import pytest

from actors.runtime import Future, LoopActor, NeverSet, SimDispatcher, WouldBlock


class Gossip(LoopActor):
    """Tells a drawn other actor, until the tale is old; keeps a log of all that happens."""

    def __init__(self, sim: SimDispatcher, log: list[str], others: list[Any]) -> None:
        super().__init__()
        self.sim = sim
        self.log = log
        self.others = others

    def on_receive(self, message: Any) -> None:
        self.log.append(f"{self.sim.now():.3f} {self.actor_urn} {message}")
        if message > 0:
            other = self.others[int(self.sim.random() * len(self.others))]
            other.tell(message - 1)
            self.sim.tell_later(self.sim.random(), other, 0)


def story(seed: int) -> str:
    """A digest of all that happened in a run."""
    sim = SimDispatcher(seed)
    log: list[str] = []
    others: list[Any] = []
    others += [sim.start(Gossip, sim, log, others) for _ in range(10)]
    for other in others:
        other.tell(20)
    sim.advance(5)
    sim.stop_all()
    assert len(log) == 10 * 41
    return hashlib.sha256("\n".join(log).encode()).hexdigest()


def test_the_same_seed_gives_the_same_run_whatever_the_hash_seed_is() -> None:
    code = "from tests.runtime.test_simulated import story; print(story(3))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert runs == {story(3)}
    assert story(4) != story(3)


def test_different_seeds_give_different_orders_but_each_sender_keeps_its_own() -> None:
    class Keeps(LoopActor):
        def __init__(self, log: list[Any]) -> None:
            super().__init__()
            self.log = log

        def on_receive(self, message: Any) -> None:
            self.log.append((self.actor_urn, message))

    orders = set()
    for seed in range(20):
        sim = SimDispatcher(seed)
        log: list[Any] = []
        refs = [sim.start(Keeps, log) for _ in range(3)]
        names = {ref.actor_urn: index for index, ref in enumerate(refs)}
        for number in range(4):
            for ref in refs:
                ref.tell(number)
        sim.run_until_idle()
        order = tuple(names[urn] for urn, _ in log)
        orders.add(order)
        for urn in names:
            assert [message for name, message in log if name == urn] == [0, 1, 2, 3]
        sim.stop_all()
    assert len(orders) > 10


def test_time_stands_still_until_it_is_moved() -> None:
    start = datetime(2030, 5, 1, tzinfo=UTC)
    sim = SimDispatcher(start=start)
    rang: list[float] = []
    sim.call_later(10, lambda: rang.append(sim.now()))
    sim.run_until_idle()
    assert (rang, sim.now(), sim.utcnow()) == ([], 0.0, start)
    sim.advance(3600)
    assert rang == [10.0]
    assert sim.utcnow() == start + timedelta(hours=1)


def test_everything_that_is_ready_runs_before_time_goes_on() -> None:
    sim = SimDispatcher()
    log: list[Any] = []

    class Slow(LoopActor):
        def on_receive(self, message: Any) -> None:
            log.append((sim.now(), message))
            if message:
                self.actor_ref.tell(message - 1)

    ref = sim.start(Slow)
    sim.call_later(1, lambda: log.append("rang"))
    ref.tell(5)
    sim.advance(1)
    assert log == [*((0.0, number) for number in (5, 4, 3, 2, 1, 0)), "rang"]


def test_run_until_stops_as_soon_as_its_predicate_holds() -> None:
    sim = SimDispatcher()
    count = [0]

    def tick() -> None:
        count[0] += 1
        sim.call_later(1, tick)

    tick()
    sim.run_until(lambda: count[0] == 5, within_s=10)
    assert sim.now() == 4.0
    with pytest.raises(TimeoutError, match=r"within 10 s \(seed 0\)"):
        sim.run_until(lambda: count[0] == 100, within_s=10)
    assert sim.now() == 14.0


def test_a_blocking_get_outside_a_turn_runs_the_simulation_and_its_time() -> None:
    sim = SimDispatcher()
    future = Future(sim)
    sim.call_later(60, lambda: future.set("rang"))
    with pytest.raises(pykka.Timeout):
        future.get(timeout=30)
    assert sim.now() == 30.0
    assert future.get() == "rang"
    assert sim.now() == 60.0


def test_what_can_never_be_set_is_said_at_once() -> None:
    sim = SimDispatcher()
    with pytest.raises(NeverSet, match="nothing is left to run"):
        Future(sim).get()
    with pytest.raises(NeverSet):
        sim.event().wait()
    with pytest.raises(NeverSet):
        Future(sim).map(str).get()


def test_a_turn_cannot_move_time_on_but_may_take_some() -> None:
    sim = SimDispatcher()

    class Moves(LoopActor):
        def on_receive(self, message: Any) -> None:
            sim.sleep(2)
            sim.advance(1)

    with pytest.raises(WouldBlock):
        sim.start(Moves).ask("move")
    assert sim.now() == 2.0


def test_a_coroutine_runs_in_the_simulation() -> None:
    sim = SimDispatcher()

    class Echo(LoopActor):
        def on_receive(self, message: Any) -> Any:
            return message

    ref = sim.start(Echo)

    async def inner(value: int) -> Any:
        pause = Future(sim)
        sim.call_later(5, pause.set)
        await pause
        return await ref.ask(value, block=False)

    async def outer() -> Any:
        return await inner(1) + await inner(2)

    assert sim.spawn(outer()).get() == 3
    assert sim.now() == 10.0

    async def wrong() -> None:
        await asyncio.sleep(0)

    with pytest.raises(TypeError, match="cannot await"):
        sim.spawn(wrong()).get()


def test_another_thread_may_not_make_it_random() -> None:
    sim = SimDispatcher()
    ref = sim.start(LoopActor)
    errors: list[BaseException] = []

    def tell() -> None:
        try:
            ref.tell("from elsewhere")
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()
    assert "one thread" in str(errors[0])


def test_two_simulations_do_not_disturb_each_other() -> None:
    first, second = SimDispatcher(1), SimDispatcher(2)
    first.call_later(5, lambda: second.call_later(5, lambda: None))
    first.advance(5)
    assert (first.now(), second.now()) == (5.0, 0.0)
    assert first.start(LoopActor).actor_urn != second.start(LoopActor).actor_urn
    assert (
        SimDispatcher(1).start(LoopActor).actor_urn == SimDispatcher(1).start(LoopActor).actor_urn
    )
