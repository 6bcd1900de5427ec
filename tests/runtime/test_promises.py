"""What our two runtimes promise beyond Pykka: nobody blocks, nobody else dies, all are answered."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from actors.runtime import (
    DispatcherStopped,
    Future,
    LoopActor,
    LoopDispatcher,
    WouldBlock,
)
from tests.runtime.runtimes import WITHIN_S, Runtime
from tests.runtime.test_contract_failures import Fragile
from tests.runtime.test_contract_messages import Recorder


class Blocks:
    """Does in its turn what must be refused."""

    def on_receive(self, message: Any) -> Any:
        how, other = message
        ref = other.actor_ref
        match how:
            case "get":
                ref.ask("sent by get", block=False).get(timeout=0.5)
            case "ask":
                ref.ask("sent by ask", timeout=0.5)
            case "stop":
                ref.stop(timeout=0.5)
            case "attribute":
                other.log.get(timeout=0.5)
            case "set":
                other.log = ["sent by set"]
            case "call":
                other.on_receive("sent by call").get(timeout=0.5)
            case "wait":
                ref.actor_stopped.wait(0.5)
            case "map":
                ref.ask("sent by map", block=False).map(str).get(timeout=0.5)


@pytest.mark.parametrize("how", ["get", "ask", "stop", "attribute", "set", "call", "wait", "map"])
def test_a_blocking_call_in_a_turn_is_refused_and_nothing_is_handled(
    ours: Runtime, how: str
) -> None:
    other = ours.start(Recorder)
    ours.settle(other)
    blocker = ours.start(Blocks)
    with pytest.raises(WouldBlock, match=r"Blocks \(urn:.*Deferred"):
        blocker.ask((how, other.proxy()), timeout=WITHIN_S)
    assert other.is_alive()
    ours.settle(other)
    assert other.proxy().log.get(timeout=WITHIN_S) == ["on_start"]


def test_a_look_that_does_not_wait_is_allowed_in_a_turn(ours: Runtime) -> None:
    class Looks:
        def on_receive(self, message: Any) -> Any:
            done, pending = Future(), Future()
            done.set(5)
            with pytest.raises(pykka.Timeout):
                pending.get(timeout=0)
            return done.get()

    assert ours.start(Looks).ask("look", timeout=WITHIN_S) == 5


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_base_exception_stops_its_actor_alone_and_its_owner_hears_of_it(
    ours: Runtime, error: BaseException
) -> None:
    host = pykka.ThreadingActor.start()
    others = [ours.start(Fragile, []) for _ in range(3)]
    log: list[Any] = []
    failed = ours.event()
    ref = ours.start(Fragile, log, failed)
    ref.tell(error)
    assert failed.wait(WITHIN_S)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert log == ["on_stop", ("on_failure", error)]
    assert [other.ask(1, timeout=WITHIN_S) for other in others] == [1, 1, 1]
    assert host.is_alive()
    assert host.stop(timeout=WITHIN_S)


def test_who_asked_gets_a_base_exception_as_the_answer(ours: Runtime) -> None:
    log: list[Any] = []
    ref = ours.start(Fragile, log)
    with pytest.raises(SystemExit):
        ref.ask(SystemExit(3), timeout=WITHIN_S)
    assert ref.actor_stopped.wait(WITHIN_S)


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_failure", "__str__"])
def test_a_base_exception_in_any_hook_stops_no_other_actor(ours: Runtime, hook: str) -> None:
    def raises(*_: Any) -> None:
        raise SystemExit(3)

    behaviour = type("Hooked", (Fragile,), {hook: raises})
    other = ours.start(Fragile, [])
    ref = ours.start(behaviour, [])
    for message in (ValueError("broken"), pykka.messages._ActorStop()):
        try:
            ref.tell(message)
        except pykka.ActorDeadError:
            break
    assert ref.actor_stopped.wait(WITHIN_S)
    assert other.ask("still there", timeout=WITHIN_S) == "still there"
    assert ours.dispatcher is not None
    assert ours.dispatcher.registry.get_by_urn(ref.actor_urn) is None


def test_stop_all_stops_the_newest_first_and_each_after_its_work(ours: Runtime) -> None:
    log: list[Any] = []

    class Ordered(Recorder):
        def __init__(self, number: int) -> None:
            super().__init__(log)
            self.number = number

        def on_start(self) -> None:
            return

        def on_stop(self) -> None:
            log.append(f"stop {self.number}")

    refs = [ours.start(Ordered, number) for number in range(3)]
    for ref in refs:
        for _ in range(40):
            ref.tell(ref.actor_urn)
    assert ours.dispatcher is not None
    ours.dispatcher.stop_all()
    assert [entry for entry in log if entry.startswith("stop")] == ["stop 2", "stop 1", "stop 0"]
    assert len(log) == 3 + 3 * 40
    assert len(ours.dispatcher.registry) == 0
    with pytest.raises(DispatcherStopped):
        ours.start(Recorder)
    ours.dispatcher.stop_all()


def test_stop_all_in_a_turn_stops_everybody_afterwards(ours: Runtime) -> None:
    class Ends:
        def on_receive(self, message: Any) -> str:
            assert ours.dispatcher is not None
            ours.dispatcher.stop_all()
            return "told them"

    other = ours.start(Recorder)
    ref = ours.start(Ends)
    assert ref.ask("end", timeout=WITHIN_S) == "told them"
    assert ref.actor_stopped.wait(WITHIN_S)
    assert other.actor_stopped.wait(WITHIN_S)


def test_the_owner_hears_that_somebody_else_stopped_an_actor(ours: Runtime) -> None:
    assert ours.dispatcher is not None
    stopped: list[pykka.ActorRef[Any]] = []
    heard = ours.event()

    def hear(ref: pykka.ActorRef[Any]) -> None:
        stopped.append(ref)
        heard.set()

    ours.dispatcher.stopped_from_outside = hear
    ref = ours.start(Recorder)
    pykka.ActorRegistry.stop_all(timeout=WITHIN_S)
    assert heard.wait(WITHIN_S)
    assert stopped == [ref]


def test_an_actor_that_stops_itself_was_not_stopped_from_outside(ours: Runtime) -> None:
    assert ours.dispatcher is not None
    stopped: list[pykka.ActorRef[Any]] = []
    ours.dispatcher.stopped_from_outside = stopped.append

    class Ends:
        def on_receive(self, other: pykka.ActorRef[Any]) -> None:
            other.stop(block=False)
            self.stop()  # type: ignore[attr-defined]

    other, ref = ours.start(Recorder), ours.start(Ends)
    ref.tell(other)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert other.actor_stopped.wait(WITHIN_S)
    ours.dispatcher.stop_all()
    assert stopped == []


def test_an_actor_outside_pykkas_registry_stands_in_its_dispatchers(ours: Runtime) -> None:
    class Private(Recorder):
        use_pykka_registry = False

    assert ours.dispatcher is not None
    ref = ours.start(Private)
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None
    assert ours.dispatcher.registry.get_by_urn(ref.actor_urn) is ref
    ref.stop(timeout=WITHIN_S)
    assert ours.dispatcher.registry.get_by_urn(ref.actor_urn) is None


def test_an_actor_is_started_where_the_running_turn_is(ours: Runtime) -> None:
    class Child(LoopActor):
        pass

    class Parent:
        def on_receive(self, message: Any) -> Any:
            return Child.start()

    child: Any = ours.start(Parent).ask("start", timeout=WITHIN_S)
    assert child.actor_inbox.dispatcher is ours.dispatcher


def test_an_actor_without_a_dispatcher_says_how_to_give_it_one() -> None:
    with pytest.raises(RuntimeError, match=r"dispatcher\.start\(LoopActor"):
        LoopActor.start()


def test_an_actor_whose_init_raises_leaves_nothing_behind(ours: Runtime) -> None:
    class Broken:
        def __init__(self) -> None:
            super().__init__()
            raise ValueError("broken")

    assert ours.dispatcher is not None
    with pytest.raises(ValueError, match="broken"):
        ours.start(Broken)
    assert len(ours.dispatcher.registry) == 0
    assert pykka.ActorRegistry.get_all() == []


def test_an_actor_that_calls_pykkas_own_init_works_too(ours: Runtime) -> None:
    class Old:
        def __init__(self) -> None:
            pykka.Actor.__init__(self)  # type: ignore[arg-type]
            self.actor_ref.tell("early")  # type: ignore[attr-defined]
            self.log: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            self.log.append(message)
            return message

    ref = ours.start(Old)
    assert ref.ask("question", timeout=WITHIN_S) == "question"
    assert ref.proxy().log.get(timeout=WITHIN_S) == ["early", "question"]
    assert ref.stop(timeout=WITHIN_S) is True


def test_a_stopped_actor_is_freed_without_the_collector(ours: Runtime) -> None:
    import gc
    import weakref

    freed = threading.Event()
    gc.disable()
    try:
        ref = ours.start(Recorder)
        (actor,) = ours.dispatcher.registry  # type: ignore[union-attr]
        weakref.finalize(actor, freed.set)
        del actor
        ref.ask("work", timeout=WITHIN_S)
        ref.stop(timeout=WITHIN_S)
        if isinstance(ours.dispatcher, LoopDispatcher):
            ours.settle(ours.start(Recorder))  # the turn that held it is over
        assert freed.wait(WITHIN_S)
    finally:
        gc.enable()
