"""The dispatcher on an event loop: threads, fairness, timers, its end."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import threading
import time
from statistics import median
from typing import Any

import pykka
import pytest

from actors.runtime import Future, LoopActor, LoopDispatcher, WouldBlock
from tests.runtime.runtimes import WITHIN_S, running_loop

UVLOOP = importlib.util.find_spec("uvloop") is not None


class Echo(LoopActor):
    """Answers with what it gets."""

    def on_receive(self, message: Any) -> Any:
        return message


class Flooder(LoopActor):
    """Tells itself something for ever."""

    def on_receive(self, message: Any) -> None:
        self.actor_ref.tell(message)


def test_threads_may_block_on_the_loop_at_the_same_time() -> None:
    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Echo)
        wrong: list[Any] = []

        def ask_often(name: int) -> None:
            sent = [(name, number) for number in range(100)]
            if [ref.ask(one, timeout=WITHIN_S) for one in sent] != sent:
                wrong.append(name)

        threads = [threading.Thread(target=ask_often, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []


def test_each_threads_messages_stay_in_order() -> None:
    class Sorts(LoopActor):
        def __init__(self) -> None:
            super().__init__()
            self.seen: dict[int, list[int]] = {}

        def on_receive(self, message: Any) -> Any:
            name, number = message
            self.seen.setdefault(name, []).append(number)
            return self.seen

    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Sorts)

        def tell_often(name: int) -> None:
            for number in range(2_000):
                ref.tell((name, number))

        threads = [threading.Thread(target=tell_often, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        seen: Any = ref.ask((9, 0), timeout=WITHIN_S)
        assert {name: seen[name] for name in range(3)} == {
            name: [*range(2_000)] for name in range(3)
        }


def test_a_coroutine_on_the_loop_may_not_block_it() -> None:
    with running_loop() as (loop, dispatcher):
        ref = dispatcher.start(Echo)

        async def block() -> None:
            ref.ask(1, timeout=0.5)

        with pytest.raises(WouldBlock, match=r"ask\(\) of Echo.*Await the future"):
            asyncio.run_coroutine_threadsafe(block(), loop).result(WITHIN_S)


def test_a_future_is_awaited_on_another_loop_too() -> None:
    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Echo)

        async def ask() -> Any:
            return await ref.ask(1, block=False), await ref.ask([2], block=False).map(sum)

        assert asyncio.run(ask()) == (1, 2)


def test_an_await_that_was_given_up_leaves_the_answer_and_the_actor_alone() -> None:
    with running_loop() as (_, dispatcher):
        future = Future(dispatcher)

        async def wait() -> None:
            async with asyncio.timeout(0.001):
                await future

        with pytest.raises(TimeoutError):
            asyncio.run(wait())
        future.set(5)
        assert future.get(timeout=0) == 5


def test_an_awaited_hook_over_foreign_futures_does_not_hold_the_loop() -> None:
    with running_loop() as (loop, dispatcher):
        foreign: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
        own = Future(dispatcher)
        own.set(1)

        async def join() -> Any:
            return await own.join(foreign)

        joined = asyncio.run_coroutine_threadsafe(join(), loop)
        assert dispatcher.start(Echo).ask("meanwhile", timeout=WITHIN_S) == "meanwhile"
        foreign.set(2)
        assert joined.result(WITHIN_S) == [1, 2]


def test_a_flooding_actor_does_not_keep_the_loop_from_its_other_work() -> None:
    with running_loop() as (loop, dispatcher):
        flooder = dispatcher.start(Flooder)
        for number in range(100):
            flooder.tell(number)
        late: list[float] = []

        async def tick() -> None:
            for _ in range(20):
                due = loop.time() + 0.001
                await asyncio.sleep(0.001)
                late.append(loop.time() - due)

        asyncio.run_coroutine_threadsafe(tick(), loop).result(WITHIN_S)
        assert median(late) < 0.2
        assert dispatcher.start(Echo).ask("meanwhile", timeout=WITHIN_S) == "meanwhile"
        flooder.stop(timeout=WITHIN_S)


def test_slow_messages_are_spread_over_turns() -> None:
    class Slow(LoopActor):
        handled = 0

        def on_receive(self, message: Any) -> None:
            Slow.handled += 1
            time.sleep(0.005)

    with running_loop() as (loop, dispatcher):
        ref = dispatcher.start(Slow)
        before: list[int] = []

        async def tell_often() -> None:
            for number in range(30):
                ref.tell(number)
            await asyncio.sleep(0)  # the turn that the first tell asked for comes before this
            await asyncio.sleep(0)
            before.append(Slow.handled)

        asyncio.run_coroutine_threadsafe(tell_often(), loop).result(WITHIN_S)
        assert before[0] < 10


def test_a_sleeping_loop_is_woken_at_once() -> None:
    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Echo)
        took = []
        for number in range(20):
            began = time.perf_counter()
            ref.ask(number, timeout=WITHIN_S)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.015


def test_functions_run_in_their_order_in_a_turn_and_may_raise_anything() -> None:
    with running_loop() as (_, dispatcher):
        log: list[Any] = []
        done = threading.Event()

        def quits() -> None:
            raise SystemExit(3)

        dispatcher.call_soon(quits)
        for number in range(5):
            dispatcher.call_soon(functools.partial(log.append, number))
        dispatcher.call_soon(lambda: log.append(dispatcher.is_current))
        dispatcher.call_soon(done.set)
        assert done.wait(WITHIN_S)
        assert log == [0, 1, 2, 3, 4, True]
        assert not dispatcher.is_current


def test_timers_ring_in_the_order_of_their_times() -> None:
    with running_loop() as (_, dispatcher):
        log: list[Any] = []
        done = threading.Event()
        dispatcher.call_later(0.02, done.set)
        dispatcher.call_later(0.01, lambda: log.append("second"))
        dispatcher.call_later(0.005, lambda: log.append("first"))
        cancelled = dispatcher.call_later(0.001, lambda: log.append("cancelled"))
        cancelled.cancel()
        assert cancelled.done
        assert done.wait(WITHIN_S)
        assert log == ["first", "second"]


def test_a_later_message_to_a_dead_actor_is_dropped() -> None:
    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Echo)
        handle = dispatcher.tell_later(0.005, ref, "late")
        ref.stop(timeout=WITHIN_S)
        done = threading.Event()
        dispatcher.call_later(0.01, done.set)
        assert done.wait(WITHIN_S)
        assert handle.done


def test_many_timers_that_are_due_at_once_all_ring() -> None:
    with running_loop() as (_, dispatcher):
        count = [0]
        done = threading.Event()

        def ring() -> None:
            count[0] += 1
            if count[0] == 1_000:
                done.set()

        for _ in range(1_000):
            dispatcher.call_later(0.0, ring)
        assert done.wait(WITHIN_S)


def test_a_loop_that_is_closed_refuses_instead_of_keeping_anybody_waiting() -> None:
    loop = asyncio.new_event_loop()
    dispatcher = LoopDispatcher(loop)
    ref = dispatcher.start(Echo)
    waiting = ref.ask("never started", block=False)
    loop.close()
    for answer in (ref.ask("late", block=False), waiting):
        with pytest.raises(pykka.ActorDeadError):
            answer.get(timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("late")
    assert not ref.is_alive()
    dispatcher.stop_all()


def test_actors_started_before_the_loop_runs_start_when_it_does() -> None:
    async def ask() -> Any:
        return await ref.ask("early", block=False)

    loop = asyncio.new_event_loop()
    dispatcher = LoopDispatcher(loop)
    ref = dispatcher.start(Echo)
    assert loop.run_until_complete(ask()) == "early"
    dispatcher.stop_all()
    loop.close()
    assert not ref.is_alive()


def test_stop_all_on_the_loop_returns_when_all_have_stopped() -> None:
    async def run() -> None:
        dispatcher = LoopDispatcher(asyncio.get_running_loop())
        refs: list[Any] = [dispatcher.start(Echo) for _ in range(10)]
        flooder: Any = dispatcher.start(Flooder)
        flooder.tell(1)
        answer = refs[0].ask("before", block=False)
        dispatcher.stop_all()
        assert not any(ref.is_alive() for ref in (*refs, flooder))
        assert answer.get(timeout=0) == "before"

    asyncio.run(run())


def test_no_wake_up_is_lost_between_threads() -> None:
    with running_loop() as (_, dispatcher):
        ref = dispatcher.start(Echo)

        def ask(answers: list[Any]) -> None:
            answers.append(ref.ask(1, timeout=WITHIN_S))

        for _ in range(300):
            answers: list[Any] = []
            threads = [threading.Thread(target=ask, args=(answers,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WITHIN_S)
            assert answers == [1, 1]


def test_asks_that_race_a_stop_are_all_answered() -> None:
    with running_loop() as (_, dispatcher):
        for _ in range(50):
            ref = dispatcher.start(Echo)
            asked: list[pykka.Future[Any]] = []

            def ask_often(ref: Any = ref, asked: list[Any] = asked) -> None:
                asked.extend(ref.ask(number, block=False) for number in range(50))

            thread = threading.Thread(target=ask_often)
            thread.start()
            ref.stop(timeout=WITHIN_S)
            thread.join(WITHIN_S)
            for number, answer in enumerate(asked):
                try:
                    assert answer.get(timeout=WITHIN_S) == number
                except pykka.ActorDeadError:
                    continue


@pytest.mark.skipif(not UVLOOP, reason="uvloop is not installed")
def test_it_all_works_on_uvloop() -> None:
    import uvloop

    with running_loop(uvloop.new_event_loop) as (loop, dispatcher):
        ref = dispatcher.start(Echo)
        assert ref.ask(1, timeout=WITHIN_S) == 1

        async def on_loop() -> Any:
            with pytest.raises(WouldBlock):
                ref.ask(1)
            return await ref.ask([1, 2], block=False).map(sum)

        assert asyncio.run_coroutine_threadsafe(on_loop(), loop).result(WITHIN_S) == 3
        rang = threading.Event()
        dispatcher.call_later(0.001, rang.set)
        assert rang.wait(WITHIN_S)
