"""Contract, the same for threads, loop and simulation: messages and the life of an actor."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from tests.runtime.runtimes import WITHIN_S, Runtime


class Recorder:
    """Keeps what it gets; answers with it."""

    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log: list[Any] = [] if log is None else log

    def on_start(self) -> None:
        self.log.append("on_start")

    def on_receive(self, message: Any) -> Any:
        self.log.append(message)
        return message

    def on_stop(self) -> None:
        self.log.append("on_stop")


def test_messages_of_one_sender_come_in_order(rt: Runtime) -> None:
    ref = rt.start(Recorder)
    for number in range(200):
        ref.tell(number)
    rt.settle(ref)
    assert ref.proxy().log.get(timeout=WITHIN_S) == ["on_start", *range(200)]


def test_messages_between_two_actors_come_in_order(rt: Runtime) -> None:
    class Sender:
        def on_receive(self, to: pykka.ActorRef[Any]) -> None:
            for number in range(100):
                to.tell(number)

    receiver = rt.start(Recorder)
    sender = rt.start(Sender)
    sender.tell(receiver)
    rt.settle(sender)
    rt.settle(receiver)
    assert receiver.proxy().log.get(timeout=WITHIN_S)[1:] == [*range(100)]


def test_what_init_sends_to_itself_comes_after_on_start_in_order(rt: Runtime) -> None:
    class Early(Recorder):
        def __init__(self) -> None:
            super().__init__()
            for number in range(3):
                self.actor_ref.tell(number)  # type: ignore[attr-defined]

    ref = rt.start(Early)
    ref.tell("later")
    rt.settle(ref)
    assert ref.proxy().log.get(timeout=WITHIN_S) == ["on_start", 0, 1, 2, "later"]


def test_an_actor_that_asked_itself_to_stop_in_init_stops_after_on_start(rt: Runtime) -> None:
    log: list[Any] = []

    class Short(Recorder):
        def __init__(self) -> None:
            super().__init__(log)
            self.stop()  # type: ignore[attr-defined]

    ref = rt.start(Short)
    assert ref.actor_stopped.wait(WITHIN_S)
    rt.settle(ref)
    assert log[0] == "on_start"


def test_on_start_does_not_run_inside_the_call_of_start(rt: Runtime) -> None:
    here = threading.local()
    inside: list[bool] = []

    class Starts:
        def on_start(self) -> None:
            inside.append(getattr(here, "starting", False))

    here.starting = True
    ref = rt.start(Starts)
    here.starting = False
    rt.settle(ref)
    assert inside == [False]


def test_one_message_at_a_time(rt: Runtime) -> None:
    class Careful:
        busy = False
        overlaps = 0

        def on_receive(self, message: Any) -> None:
            self.overlaps += self.busy
            self.busy = True
            if message < 5:
                self.actor_ref.tell(message + 1)  # type: ignore[attr-defined]
            self.busy = False

    ref = rt.start(Careful)
    ref.tell(0)
    ref.tell(0)
    rt.settle(ref)
    rt.settle(ref)
    assert ref.proxy().overlaps.get(timeout=WITHIN_S) == 0


def test_ask_answers_with_what_the_handler_returns(rt: Runtime) -> None:
    ref = rt.start(Recorder)
    assert ref.ask("question", timeout=WITHIN_S) == "question"
    assert ref.ask("question", block=False).get(timeout=WITHIN_S) == "question"


def test_an_answer_that_does_not_come_in_time_is_a_timeout(rt: Runtime) -> None:
    go_on = rt.event()

    class Waits:
        def on_receive(self, message: Any) -> Any:
            if message == "wait":
                rt.pause(0.05)
            go_on.set()

    ref = rt.start(Waits)
    never = rt.future()
    with pytest.raises(pykka.Timeout):
        never.get(timeout=0.01)
    ref.ask("wait", timeout=WITHIN_S)
    assert go_on.is_set()


def test_a_future_inside_a_future_stays_one(rt: Runtime) -> None:
    inner = rt.future()

    class Gives:
        def on_receive(self, message: Any) -> Any:
            return inner

    inner.set("inner")
    answer = rt.start(Gives).ask("give", timeout=WITHIN_S)
    assert isinstance(answer, pykka.Future)
    assert answer.get(timeout=WITHIN_S) == "inner"


def test_what_was_sent_before_a_stop_is_handled_first(rt: Runtime) -> None:
    log: list[Any] = []
    ref = rt.start(Recorder, log)
    for number in range(50):
        ref.tell(number)
    assert ref.stop(timeout=WITHIN_S) is True
    assert log == ["on_start", *range(50), "on_stop"]


def test_stop_says_whether_the_actor_was_alive(rt: Runtime) -> None:
    ref = rt.start(Recorder)
    assert ref.is_alive()
    assert ref.stop(timeout=WITHIN_S) is True
    assert not ref.is_alive()
    assert ref.stop(timeout=WITHIN_S) is False
    assert ref.stop(block=False).get(timeout=WITHIN_S) is False


def test_an_actor_is_not_alive_any_more_while_on_stop_runs(rt: Runtime) -> None:
    alive: list[bool] = []

    class Last:
        def on_stop(self) -> None:
            alive.append(self.actor_ref.is_alive())  # type: ignore[attr-defined]

    rt.start(Last).stop(timeout=WITHIN_S)
    assert alive == [False]


def test_a_dead_actor_refuses_messages(rt: Runtime) -> None:
    ref = rt.start(Recorder)
    ref.stop(timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.tell("late")
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.ask("late", timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_what_comes_after_the_stop_is_answered_with_actor_dead(rt: Runtime) -> None:
    class StopsItself(Recorder):
        def on_receive(self, message: Any) -> Any:
            self.stop()  # type: ignore[attr-defined]
            self.late = self.actor_ref.ask("late", block=False)  # type: ignore[attr-defined]
            self.again = self.actor_ref.stop(block=False)  # type: ignore[attr-defined]
            return self.late, self.again

    answer: Any = rt.start(StopsItself).ask("stop", timeout=WITHIN_S)
    late, again = answer
    with pytest.raises(pykka.ActorDeadError, match="stopped before handling"):
        late.get(timeout=WITHIN_S)
    assert again.get(timeout=WITHIN_S) is True


def test_actors_stand_in_pykkas_registry_while_they_live(rt: Runtime) -> None:
    ref = rt.start(Recorder)
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
    assert isinstance(ref, pykka.ActorRef)
    ref.stop(timeout=WITHIN_S)
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_a_proxy_calls_reads_sets_and_defers(rt: Runtime) -> None:
    class Box:
        def __init__(self) -> None:
            super().__init__()
            self.content = 1

        def add(self, more: int) -> int:
            self.content += more
            return self.content

    proxy: Any = rt.start(Box).proxy()
    assert proxy.content.get(timeout=WITHIN_S) == 1
    assert proxy.add(2).get(timeout=WITHIN_S) == 3
    proxy.content = 10
    proxy.add.defer(5)
    assert proxy.content.get(timeout=WITHIN_S) == 15
    assert proxy.actor_urn.get(timeout=WITHIN_S) == proxy.actor_ref.actor_urn


def test_an_actor_can_make_a_proxy_of_itself_in_init(rt: Runtime) -> None:
    class Own:
        def __init__(self) -> None:
            super().__init__()
            self._me = self.actor_ref.proxy()  # type: ignore[attr-defined]
            self.count = 0

        def later(self) -> None:
            self._me.now.defer()

        def now(self) -> None:
            self.count += 1

    ref = rt.start(Own)
    ref.proxy().later().get(timeout=WITHIN_S)
    rt.settle(ref)
    assert ref.proxy().count.get(timeout=WITHIN_S) == 1


def test_an_actor_starts_another_one(rt: Runtime) -> None:
    class Parent:
        def on_receive(self, message: Any) -> Any:
            return rt.start(Recorder)

    child: Any = rt.start(Parent).ask("start", timeout=WITHIN_S)
    assert child.ask("hello", timeout=WITHIN_S) == "hello"


def test_pykkas_stop_all_stops_registered_actors_newest_first(rt: Runtime) -> None:
    order: list[int] = []

    class Numbered:
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_stop(self) -> None:
            order.append(self.number)

    others = len(pykka.ActorRegistry.get_all())  # of other tests' threads, if any are left
    for number in range(5):
        rt.start(Numbered, number)
    assert pykka.ActorRegistry.stop_all(timeout=WITHIN_S) == [True] * (5 + others)
    assert order == [4, 3, 2, 1, 0]
