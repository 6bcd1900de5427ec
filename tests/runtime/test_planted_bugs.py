"""Bugs that Pykka's own suite does not notice: each is planted, and the named test must fail.

The tests run here as plain functions, over a runtime made after the bug was planted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pykka
import pytest

from actors.runtime import Future, LoopActor, LoopDispatcher, SimDispatcher, future, ref
from actors.runtime import loop as loop_module
from actors.runtime import mailbox as mailbox_module
from actors.runtime import turn as turn_module
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.mailbox import CLOSED, START, Mailbox
from tests.runtime import runtimes
from tests.runtime import test_answers as answers
from tests.runtime import test_contract_messages as messages
from tests.runtime import test_loop as on_loop
from tests.runtime import test_promises as promises
from tests.runtime.runtimes import Runtime, looping, simulated

Patch = pytest.MonkeyPatch
Make = Callable[[], AbstractContextManager[Runtime]]
both = pytest.mark.parametrize("make", [looping, simulated])


@pytest.fixture
def patch(monkeypatch: Patch) -> Patch:
    """A monkeypatch under which nothing waits long for what a planted bug keeps back."""
    for module in (runtimes, answers, messages, on_loop, promises):
        monkeypatch.setattr(module, "WITHIN_S", 0.3)
    return monkeypatch


def fails(check: Callable[..., None], make: Make, *args: Any) -> None:
    """The check passes no more."""
    with make() as rt, pytest.raises(BaseException) as caught:
        check(rt, *args)
    assert not isinstance(caught.value, pytest.skip.Exception)


@both
def test_a_late_message_that_is_dropped_is_noticed(patch: Patch, make: Make) -> None:
    accept = Dispatcher._accept

    def drops(self: Dispatcher, mailbox: Mailbox, message: Any, reply: Any) -> None:
        if mailbox.state != CLOSED:
            accept(self, mailbox, message, reply)

    patch.setattr(Dispatcher, "_accept", drops)
    fails(answers.test_a_message_that_comes_to_a_dead_mailbox_is_answered, make)


@both
@pytest.mark.parametrize("how", ["get", "ask", "stop", "attribute", "set", "wait", "map"])
def test_a_missing_guard_is_noticed(patch: Patch, make: Make, how: str) -> None:
    def allows(what: str) -> None:
        return None

    patch.setattr(ref, "refuse_blocking", allows)
    patch.setattr(future, "refuse_blocking", allows)
    patch.setattr(Future, "get", _without_waiting(Future.get))
    fails(promises.test_a_blocking_call_in_a_turn_is_refused_and_nothing_is_handled, make, how)


def _without_waiting(get: Callable[..., Any]) -> Callable[..., Any]:
    """The stock get(), with a limit: a proxy's assignment has none and would hang the test."""

    def limited(self: Future, *, timeout: float | None = None) -> Any:
        return get(self, timeout=0.3 if timeout is None else timeout)

    return limited


@both
def test_a_guard_after_the_message_was_put_is_noticed(patch: Patch, make: Make) -> None:
    patch.setattr(ref, "refuse_blocking", lambda what: None)
    patch.setattr(Future, "cancel", lambda self: False)
    check = promises.test_a_blocking_call_in_a_turn_is_refused_and_nothing_is_handled
    for how in ("ask", "stop", "set"):
        fails(check, make, how)


def test_a_turn_without_a_bound_is_noticed(patch: Patch) -> None:
    for bound, none in (("TURN_MESSAGES", 10**9), ("ACTOR_MESSAGES", 10**9), ("TURN_S", 1e9)):
        patch.setattr(loop_module, bound, none)
    with pytest.raises(AssertionError):
        on_loop.test_slow_messages_are_spread_over_turns()


def test_a_turn_bound_by_count_alone_is_noticed(patch: Patch) -> None:
    patch.setattr(loop_module, "TURN_S", 1e9)
    with pytest.raises(AssertionError):
        on_loop.test_slow_messages_are_spread_over_turns()


def test_a_pending_await_that_blocks_is_noticed(patch: Patch) -> None:
    def blocks(self: Future) -> Any:
        yield
        return self.get(timeout=0.3)

    patch.setattr(Future, "__await__", blocks)
    fails(answers.test_a_pending_future_can_be_awaited, looping)


def test_a_wake_up_that_comes_late_is_noticed(patch: Patch) -> None:
    def late(self: LoopDispatcher) -> None:
        loop = self._loop
        loop.call_soon_threadsafe(loop.call_later, 0.02, self._wake_up)

    patch.setattr(LoopDispatcher, "_wake", late)
    with pytest.raises(AssertionError):
        on_loop.test_a_sleeping_loop_is_woken_at_once()


@both
def test_a_base_exception_that_stops_everybody_is_noticed(patch: Patch, make: Make) -> None:
    fail = turn_module._fail

    def as_pykka(actor: LoopActor, message: Any, reply: Any, error: BaseException) -> None:
        fail(actor, message, reply, error)
        if not isinstance(error, Exception):
            pykka.ActorRegistry.stop_all(block=False)

    patch.setattr(turn_module, "_fail", as_pykka)
    check = promises.test_a_base_exception_stops_its_actor_alone_and_its_owner_hears_of_it
    fails(check, make, SystemExit(3))


@both
def test_a_base_exception_without_an_answer_is_noticed(patch: Patch, make: Make) -> None:
    answer_error = mailbox_module.answer_error

    def silent(reply: Any, error: BaseException) -> None:
        if isinstance(error, Exception):
            answer_error(reply, error)

    patch.setattr(turn_module, "answer_error", silent)
    fails(promises.test_who_asked_gets_a_base_exception_as_the_answer, make)


@both
def test_an_on_start_in_the_callers_thread_is_noticed(patch: Patch, make: Make) -> None:
    begin = Dispatcher.begin

    def early(self: Dispatcher, mailbox: Mailbox) -> None:
        assert mailbox.actor is not None
        mailbox.actor.on_start()
        mailbox.actor.on_start = lambda: None  # type: ignore[method-assign]
        begin(self, mailbox)

    patch.setattr(Dispatcher, "begin", early)
    fails(messages.test_on_start_does_not_run_inside_the_call_of_start, make)


@both
def test_losing_what_init_sent_is_noticed(patch: Patch, make: Make) -> None:
    accept = Dispatcher._accept

    def loses(self: Dispatcher, mailbox: Mailbox, message: Any, reply: Any) -> None:
        if message is START:
            mailbox.queue = None
        accept(self, mailbox, message, reply)

    patch.setattr(Dispatcher, "_accept", loses)
    fails(messages.test_what_init_sends_to_itself_comes_after_on_start_in_order, make)


@both
def test_an_on_start_after_what_init_sent_is_noticed(patch: Patch, make: Make) -> None:
    accept = Dispatcher._accept

    def behind(self: Dispatcher, mailbox: Mailbox, message: Any, reply: Any) -> None:
        accept(self, mailbox, message, reply)
        if message is START and mailbox.queue is not None:
            mailbox.queue.rotate(-2)

    patch.setattr(Dispatcher, "_accept", behind)
    fails(messages.test_what_init_sends_to_itself_comes_after_on_start_in_order, make)


def test_a_simulation_that_draws_no_order_is_noticed(patch: Patch) -> None:
    from tests.runtime import test_simulated as sims

    patch.setattr(SimDispatcher, "random", property(lambda self: lambda: 0.0), raising=False)
    patch.setattr(SimDispatcher, "__setattr__", _ignore_random)
    with pytest.raises(AssertionError):
        sims.test_different_seeds_give_different_orders_but_each_sender_keeps_its_own()


def _ignore_random(self: SimDispatcher, name: str, value: object) -> None:
    if name != "random":
        object.__setattr__(self, name, value)


@both
def test_without_a_bug_the_same_tests_pass(make: Make) -> None:
    checks: list[Callable[..., None]] = [
        answers.test_a_message_that_comes_to_a_dead_mailbox_is_answered,
        answers.test_a_pending_future_can_be_awaited,
        promises.test_who_asked_gets_a_base_exception_as_the_answer,
        messages.test_on_start_does_not_run_inside_the_call_of_start,
        messages.test_what_init_sends_to_itself_comes_after_on_start_in_order,
    ]
    for check in checks:
        with make() as rt:
            check(rt)
    with make() as rt:
        promises.test_a_base_exception_stops_its_actor_alone_and_its_owner_hears_of_it(
            rt, SystemExit(3)
        )
    on_loop.test_slow_messages_are_spread_over_turns()
    on_loop.test_a_sleeping_loop_is_woken_at_once()
