"""What our two runtimes promise of answers: they come, late ones too, and waiting blocks nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from actors.runtime import (
    Deferred,
    Future,
    LoopDispatcher,
    SimDispatcher,
)
from tests.runtime.runtimes import WITHIN_S, Runtime, looping
from tests.runtime.test_contract_failures import Fragile
from tests.runtime.test_contract_messages import Recorder


def awaited(rt: Runtime, make: Callable[[], Awaitable[Any]]) -> Any:
    """Runs a coroutine where the actors run; its result."""

    async def run() -> Any:
        return await make()

    if isinstance(rt.dispatcher, SimDispatcher):
        return rt.dispatcher.spawn(run()).get(timeout=WITHIN_S)
    assert isinstance(rt.dispatcher, LoopDispatcher)
    return asyncio.run_coroutine_threadsafe(run(), rt.dispatcher._loop).result(WITHIN_S)


def test_an_answer_that_somebody_else_has_set_stops_nobody(ours: Runtime) -> None:
    ref = ours.start(Recorder)
    taken = ours.future()
    taken.set("by a canceller")
    ref.actor_inbox.put(Envelope("message", reply_to=taken))
    assert ref.ask("next", timeout=WITHIN_S) == "next"
    assert taken.get(timeout=0) == "by a canceller"


def test_a_message_that_comes_to_a_dead_mailbox_is_answered(ours: Runtime) -> None:
    ref = ours.start(Recorder)
    ref.stop(timeout=WITHIN_S)
    late = ours.future()
    ref.actor_inbox.put(Envelope("late", reply_to=late))  # passed is_alive() before the stop
    with pytest.raises(pykka.ActorDeadError):
        late.get(timeout=WITHIN_S)
    stopped = ours.future()
    ref.actor_inbox.put(Envelope(pykka.messages._ActorStop(), reply_to=stopped))
    assert stopped.get(timeout=WITHIN_S) is None


def test_a_pending_future_can_be_awaited(ours: Runtime) -> None:
    ref = ours.start(Recorder)

    later = Future(ours.dispatcher)
    assert ours.dispatcher is not None
    dispatcher = ours.dispatcher

    async def ask() -> Any:
        dispatcher.call_later(0.01, lambda: later.set("later"))  # not in the very next turn
        first, second = ref.ask(1, block=False), ref.ask(2, block=False)
        values = await second, await first, await first.map(str), await first.join(second)
        return *values, await later

    assert awaited(ours, ask) == (2, 1, "1", [1, 2], "later")


def test_an_awaited_stop_says_whether_the_actor_was_alive(ours: Runtime) -> None:
    ref = ours.start(Recorder)

    async def stop() -> Any:
        return await ref.stop(block=False), await ref.stop(block=False)

    assert awaited(ours, stop) == (True, False)


def test_an_awaited_error_is_raised(ours: Runtime) -> None:
    ref = ours.start(Fragile, [])

    async def ask() -> Any:
        await ref.ask(ValueError("mine"), block=False).map(str)

    with pytest.raises(ValueError, match="mine"):
        awaited(ours, ask)


def test_setting_a_cancelled_future_does_nothing(ours: Runtime) -> None:
    future = Future(ours.dispatcher)
    assert future.cancel()
    future.set(1)
    future.set_exception((ValueError, ValueError(), None))
    assert future.cancelled
    assert not future.cancel()
    with pytest.raises(asyncio.CancelledError):
        future.get(timeout=0)


def test_a_cancelled_question_is_withdrawn_if_it_was_not_handled(ours: Runtime) -> None:
    class Cancels(Recorder):
        def on_receive(self, message: Any) -> Any:
            if message == "start":
                self.actor_ref.ask("withdrawn", block=False).cancel()  # type: ignore[attr-defined]
            return super().on_receive(message)

    ref = ours.start(Cancels)
    ref.ask("start", timeout=WITHIN_S)
    assert ref.proxy().log.get(timeout=WITHIN_S) == ["on_start", "start"]


class Clerk:
    """Answers when it is told what to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Future] = []

    def on_receive(self, message: Any) -> Any:
        if message == "question":
            self.waiting.append(Future())
            return Deferred(self.waiting[-1])
        for future in self.waiting:
            future.set(message)
        return None


def test_a_deferred_answer_comes_when_its_future_is_set(ours: Runtime) -> None:
    ref = ours.start(Clerk)
    answers: list[Any] = [ref.ask("question", block=False) for _ in range(3)]
    ours.settle(ref)
    assert not any(answer.done for answer in answers)
    ref.tell("the answer")
    assert pykka.get_all(answers, timeout=WITHIN_S) == ["the answer"] * 3


def test_a_deferred_answer_of_an_actor_that_stops_is_actor_dead(ours: Runtime) -> None:
    ref = ours.start(Clerk)
    answer = ref.ask("question", block=False)
    ref.stop(timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=WITHIN_S)


def test_a_question_passed_on_is_answered_even_if_the_one_between_stops(ours: Runtime) -> None:
    class Between:
        def __init__(self, to: pykka.ActorRef[Any]) -> None:
            super().__init__()
            self.to = to

        def on_receive(self, message: Any) -> Any:
            self.stop()  # type: ignore[attr-defined]
            return Deferred(self.to.ask(message, block=False).map(lambda value: value + 1))

    last = ours.start(Recorder)
    assert ours.start(Between, last).ask(41, timeout=WITHIN_S) == 42


def test_an_answer_of_another_runtime_can_be_promised_on_the_loop() -> None:
    go_on = threading.Event()

    class Slow(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            go_on.wait(WITHIN_S)
            return message

    class Between:
        def on_receive(self, message: Any) -> Any:
            return message if message == "meanwhile" else Deferred(slow.ask(message, block=False))

    slow = Slow.start()
    with looping() as rt:
        ref = rt.start(Between)
        answer = ref.ask("slow", block=False)
        assert ref.ask("meanwhile", timeout=WITHIN_S) == "meanwhile"
        go_on.set()
        assert answer.get(timeout=WITHIN_S) == "slow"
    slow.stop(timeout=WITHIN_S)
