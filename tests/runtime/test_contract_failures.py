"""Contract, the same for threads, loop and simulation: what happens when something raises."""

from __future__ import annotations

import logging
from typing import Any

import pykka
import pytest

from tests.runtime.runtimes import WITHIN_S, Runtime


class Fragile:
    """Raises what it gets; keeps which hooks were called."""

    def __init__(self, log: list[Any], failed: Any = None) -> None:
        super().__init__()
        self.log = log
        self.failed = failed

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message

    def on_stop(self) -> None:
        self.log.append("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.log.append(("on_failure", exc_info[1]))
        if self.failed is not None:
            self.failed.set()


def test_a_told_message_that_raises_ends_the_actor_through_on_failure(
    rt: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[Any] = []
    failed = rt.event()
    ref = rt.start(Fragile, log, failed)
    error = ValueError("broken")
    ref.tell(error)
    assert failed.wait(WITHIN_S)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert log == [("on_failure", error)]
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None
    records = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert [one.getMessage() for one in records] == [f"Unhandled exception in {ref}:"]
    assert records[0].name == "pykka"


def test_an_asked_message_that_raises_is_the_askers_and_the_actor_lives(rt: Runtime) -> None:
    log: list[Any] = []
    ref = rt.start(Fragile, log)
    with pytest.raises(ValueError, match="broken"):
        ref.ask(ValueError("broken"), timeout=WITHIN_S)
    assert ref.ask("still there", timeout=WITHIN_S) == "still there"
    assert log == []


def test_an_on_start_that_raises_ends_the_actor_without_a_hook(rt: Runtime) -> None:
    log: list[Any] = []

    class Stillborn(Fragile):
        def on_start(self) -> None:
            raise ValueError("broken")

    ref = rt.start(Stillborn, log)
    answer = ref.ask("anything", block=False)
    assert ref.actor_stopped.wait(WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=WITHIN_S)
    assert log == []


def test_an_on_stop_that_raises_ends_the_actor_and_answers_who_stopped_it(rt: Runtime) -> None:
    class Clumsy:
        def on_stop(self) -> None:
            raise ValueError("broken")

    ref = rt.start(Clumsy)
    assert ref.stop(timeout=WITHIN_S) is True
    assert not ref.is_alive()


def test_an_on_failure_that_raises_ends_the_actor_only(rt: Runtime) -> None:
    class Worse(Fragile):
        def on_failure(self, *exc_info: Any) -> None:
            super().on_failure(*exc_info)
            raise ValueError("worse")

    failed = rt.event()
    other = rt.start(Fragile, [])
    ref = rt.start(Worse, [], failed)
    ref.tell(ValueError("broken"))
    assert failed.wait(WITHIN_S)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert other.ask("still there", timeout=WITHIN_S) == "still there"


def test_the_failure_of_one_actor_leaves_the_others_and_their_messages_alone(rt: Runtime) -> None:
    others = [rt.start(Fragile, []) for _ in range(5)]
    victim = rt.start(Fragile, [])
    answers = [other.ask(1, block=False) for other in others]
    victim.tell(ValueError("broken"))
    answers += [other.ask(1, block=False) for other in others]
    assert pykka.get_all(answers, timeout=WITHIN_S) == [1] * 10


def test_what_waits_in_a_failed_actor_is_answered_with_actor_dead(rt: Runtime) -> None:
    class FailsLater(Fragile):
        def on_receive(self, message: Any) -> Any:
            if message == "fill":
                self.actor_ref.tell(ValueError("broken"))  # type: ignore[attr-defined]
                return self.actor_ref.ask("behind it", block=False)  # type: ignore[attr-defined]
            return super().on_receive(message)

    behind = rt.start(FailsLater, []).ask("fill", timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        behind.get(timeout=WITHIN_S)


def test_an_error_in_a_proxied_call_keeps_its_traceback(rt: Runtime) -> None:
    class Deep:
        def outer(self) -> None:
            self.inner()

        def inner(self) -> None:
            raise KeyError("deep")

    with pytest.raises(KeyError) as caught:
        rt.start(Deep).proxy().outer().get(timeout=WITHIN_S)
    assert [entry.name for entry in caught.traceback][-2:] == ["outer", "inner"]
