"""Contract, the same for threads, loop and simulation: futures."""

from __future__ import annotations

import queue
from typing import Any

import pykka
import pytest

from tests.runtime.runtimes import WITHIN_S, Runtime


class Echo:
    """Answers with what it gets."""

    def on_receive(self, message: Any) -> Any:
        return message


def test_a_future_is_set_once(rt: Runtime) -> None:
    future = rt.future()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        future.set_exception((ValueError, ValueError("no"), None))
    assert future.get(timeout=0) == 1


def test_a_future_without_a_value_is_none(rt: Runtime) -> None:
    future = rt.future()
    future.set()
    assert future.get(timeout=0) is None


def test_an_error_that_is_being_handled_can_be_set(rt: Runtime) -> None:
    future = rt.future()
    try:
        raise ValueError("mine")
    except ValueError:
        future.set_exception()
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            future.get(timeout=0)


def test_answers_can_be_mapped_filtered_joined_and_reduced(rt: Runtime) -> None:
    ref = rt.start(Echo)

    def ask(value: Any) -> pykka.Future[Any]:
        return ref.ask(value, block=False)

    assert ask(20).map(lambda value: value + 1).get(timeout=WITHIN_S) == 21
    assert list(ask([1, 2, 3]).filter(lambda value: value > 1).get(timeout=WITHIN_S)) == [2, 3]
    assert ask(1).join(ask(2), ask(3)).get(timeout=WITHIN_S) == [1, 2, 3]
    assert ask([1, 2, 3]).reduce(lambda total, value: total + value).get(timeout=WITHIN_S) == 6
    assert ask([]).reduce(lambda total, value: total + value, 9).get(timeout=WITHIN_S) == 9
    chained = ask([3, 4]).map(sum).join(ask(1)).map(sum)
    assert chained.get(timeout=WITHIN_S) == 8


def test_a_derived_future_has_the_error_of_its_source_or_of_its_function(rt: Runtime) -> None:
    ref = rt.start(Echo)
    with pytest.raises(ZeroDivisionError):
        ref.ask(0, block=False).map(lambda value: 1 / value).get(timeout=WITHIN_S)
    ref.stop(timeout=WITHIN_S)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(0, block=False).map(str).get(timeout=WITHIN_S)
    with pytest.raises(TypeError):
        rt_set(rt, 1).filter(bool).get(timeout=WITHIN_S)
    with pytest.raises(TypeError):
        rt_set(rt, []).reduce(max).get(timeout=WITHIN_S)


def rt_set(rt: Runtime, value: Any) -> pykka.Future[Any]:
    """A future that has a value."""
    future = rt.future()
    future.set(value)
    return future


def test_a_function_is_applied_once(rt: Runtime) -> None:
    calls: list[int] = []

    def count(value: int) -> int:
        calls.append(value)
        return value

    future = rt_set(rt, 4).map(count)
    assert [future.get(timeout=WITHIN_S) for _ in range(3)] == [4, 4, 4]
    assert calls == [4]


def test_a_derived_future_times_out(rt: Runtime) -> None:
    empty = rt.future()
    for derived in (empty.map(str), empty.filter(bool), empty.join(rt.future()), empty.reduce(max)):
        with pytest.raises(pykka.Timeout):
            derived.get(timeout=0.001)
    empty.set("5")
    assert empty.map(int).get(timeout=0) == 5


def test_a_hook_makes_the_value_and_gets_the_time_out(rt: Runtime) -> None:
    future = rt.future()
    seen: list[float | None] = []

    def hook(timeout: float | None) -> str:
        seen.append(timeout)
        return "made"

    future.set_get_hook(hook)
    assert future.get(timeout=2.5) == "made"
    assert future.get() == "made"
    assert seen == [2.5]
    with pytest.raises(queue.Full):
        future.set(1)


def test_get_all_waits_for_each(rt: Runtime) -> None:
    ref = rt.start(Echo)
    asked = [ref.ask(number, block=False) for number in range(20)]
    assert pykka.get_all(asked, timeout=WITHIN_S) == [*range(20)]


def test_join_takes_futures_of_another_runtime(rt: Runtime) -> None:
    foreign: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    foreign.set(2)
    assert rt_set(rt, 1).join(foreign).get(timeout=WITHIN_S) == [1, 2]
