"""Small parts: the watchdog, timers, names and the flag."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pykka
import pytest

import actors.runtime
from actors.runtime import Flag, Future, LoopActor, SimDispatcher
from actors.runtime.registry import leave_pykka
from actors.runtime.timers import TimerHandle, Timers
from actors.runtime.urns import UrnSource
from tests.runtime.runtimes import WITHIN_S, Runtime


def test_the_watchdog_names_who_held_the_thread(
    ours: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow:
        def on_receive(self, message: Any) -> None:
            if message:
                time.sleep(0.06)

        def called(self) -> None:
            time.sleep(0.06)

    assert ours.dispatcher is not None
    watchdog = ours.dispatcher.watchdog
    ref = ours.start(Slow)
    ref.ask("", timeout=WITHIN_S)
    with caplog.at_level(logging.WARNING, "boruta.runtime"):
        ref.ask("slow", timeout=WITHIN_S)
        ref.ask(pykka.messages.ProxyCall(("called",), (), {}), timeout=WITHIN_S)
        ours.settle(ref)
    slow = [(one.actor, one.message) for one in watchdog.slow_turns]
    assert ("Slow", "str") in slow
    assert ("Slow", "called") in slow
    assert watchdog.count >= 2
    assert watchdog.worst_s >= 0.05
    assert "slow_turn actor=Slow message=str seconds=0.0" in caplog.text


def test_the_watchdog_sees_plain_functions_too() -> None:
    sim = SimDispatcher()

    def holds_the_thread() -> None:
        time.sleep(0.06)

    sim.call_later(1, holds_the_thread)
    sim.advance(1)
    assert sim.watchdog.slow_turns[0].message.endswith("holds_the_thread")


def test_timers_of_the_same_time_ring_in_the_order_in_which_they_were_set() -> None:
    timers = Timers(lambda: None)
    handles = [TimerHandle(number) for number in range(10)]
    for handle in handles:
        timers.add(1.0, handle)
    handles[4].cancel()
    rang = []
    while (due := timers.due(1.0)) is not None:
        rang.append(due.take()[0])
    assert rang == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(timers) == 0


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers(lambda: None)
    for number in range(100_000):
        handle = TimerHandle(number)
        timers.add(1000.0 + number, handle)
        handle.cancel()
    assert len(timers._heap) < 5_000


def test_only_a_new_earliest_timer_sounds_the_alarm() -> None:
    alarms: list[float | None] = []
    timers = Timers(lambda: alarms.append(timers.next()))
    for at in (5.0, 9.0, 3.0, 4.0):
        timers.add(at, TimerHandle(None))
    assert alarms == [5.0, 3.0]


def test_urns_are_version_4_uuids_and_repeat_with_their_seed() -> None:
    import uuid

    first, second = UrnSource(5), UrnSource(5)
    made = [first() for _ in range(100)]
    assert made == [second() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(uuid.UUID(urn).version == 4 and uuid.UUID(urn).urn == urn for urn in made)


def test_a_flag_is_an_event_for_any_number_of_waiting_threads() -> None:
    flag = Flag()
    assert isinstance(flag, threading.Event)
    assert flag.wait(0.001) is False
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(flag.wait(WITHIN_S))) for _ in range(4)]
    for thread in threads:
        thread.start()
    flag.set()
    for thread in threads:
        thread.join(WITHIN_S)
    assert seen == [True] * 4
    assert repr(flag) == "<Flag set>"
    flag.clear()
    assert flag.wait(0) is False


def test_callbacks_of_a_future_run_once_and_may_raise() -> None:
    future = Future()
    seen: list[Any] = []

    def breaks(done: Future) -> None:
        seen.append(done.get())
        raise SystemExit(3)

    future.when_done(breaks)
    future.map(lambda value: value + 1).when_done(lambda done: seen.append(done.get()))
    future.when_done(lambda done: seen.append(done.get()))
    future.set(1)
    future.when_done(lambda done: seen.append("at once"))
    assert seen == [1, 2, 1, "at once"]


def test_pykkas_own_messages_are_tuples_since_turns_rely_on_it() -> None:
    for kind in ("_ActorStop", "ProxyCall", "ProxyGetAttr", "ProxySetAttr"):
        assert issubclass(getattr(pykka.messages, kind), tuple)


def test_an_idle_actor_holds_no_queue() -> None:
    sim = SimDispatcher()
    ref: Any = sim.start(LoopActor)
    assert not ref.actor_inbox.empty()
    sim.run_until_idle()
    assert ref.actor_inbox.empty()
    assert ref.actor_inbox.queue is None


def test_the_public_names_are_these_and_sorted() -> None:
    assert actors.runtime.__all__ == [
        "AnchoredClock",
        "Deferred",
        "Dispatcher",
        "DispatcherStopped",
        "Flag",
        "Future",
        "LoopActor",
        "LoopDispatcher",
        "LoopRef",
        "NeverSet",
        "Registry",
        "SimDispatcher",
        "SlowTurn",
        "TimerHandle",
        "Watchdog",
        "WouldBlock",
        "monotonic",
    ]
    assert all(hasattr(actors.runtime, name) for name in actors.runtime.__all__)


def test_an_actor_leaves_the_registry_of_pykka_from_the_end_of_its_list() -> None:
    class Ref:
        def __init__(self, looked_at: list[int], number: int) -> None:
            self.looked_at, self.number = looked_at, number

        def __eq__(self, other: object) -> bool:
            self.looked_at.append(self.number)
            return self is other

        __hash__ = None  # type: ignore[assignment]

    looked_at: list[int] = []
    mine: list[Any] = [Ref(looked_at, number) for number in range(5)]
    refs = pykka.ActorRegistry._actor_refs
    before = list(refs)
    refs.extend(mine)
    try:
        leave_pykka(mine[4])
        leave_pykka(mine[1])
        leave_pykka(mine[1])  # it is gone already
        assert not looked_at, "each one is known by what it is"
        assert refs == [*before, mine[0], mine[2], mine[3]]
    finally:
        for one in mine:
            leave_pykka(one)
    assert refs == before
