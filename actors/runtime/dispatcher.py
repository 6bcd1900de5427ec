"""What both dispatchers are: the one thread that all actors of a farm share."""

from __future__ import annotations

import asyncio
import functools
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pykka

from actors.runtime.calls import Calls, call
from actors.runtime.current import current
from actors.runtime.errors import DispatcherStopped
from actors.runtime.mailbox import CLOSED, IDLE, NEW, READY, START, Mailbox, refuse
from actors.runtime.registry import Registry
from actors.runtime.timers import DUE_AT_ONCE, TimerHandle, Timers
from actors.runtime.urns import UrnSource
from actors.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from actors.runtime.actor import LoopActor

A = TypeVar("A", bound="LoopActor")
log = logging.getLogger("boruta.runtime")


class Dispatcher(ABC):
    """Runs actors, functions and timers on one thread.

    Attributes:
        registry: every actor that was started here and has not stopped.
        watchdog: knows who held the thread for too long.
        stopped_from_outside: called on the thread, with the ref, when an actor has stopped because
            somebody off the thread, or `pykka.ActorRegistry.stop_all()`, asked it to.
        running: the mailbox of the actor whose turn it is.
        simulated: whether time is virtual and waiting means running.
        in_pykka: whether its actors stand in `pykka.ActorRegistry`, if they are of that kind: not
            those of a machine that is only simulated, which ends without stopping them.
    """

    simulated: ClassVar[bool] = False
    in_pykka: ClassVar[bool] = True

    def __init__(self, urns: UrnSource) -> None:
        self.urns = urns
        self.registry = Registry()
        self.watchdog = Watchdog()
        self.stopped_from_outside: Callable[[pykka.ActorRef[Any]], None] | None = None
        self.running: Mailbox | None = None
        self.closed = False
        self.undeliverable = 0  # tells that came to an actor which had stopped meanwhile
        self._calls = Calls()
        self._timers = Timers(self._alarm)

    # --- what actors and their owners use
    def start(self, cls: type[A], *args: Any, **kwargs: Any) -> pykka.ActorRef[A]:
        """Starts an actor here; from any thread.

        Args:
            cls: the actor's class.
            args: for its constructor, which runs in the caller's thread (as in Pykka).
            kwargs: likewise.

        Raises:
            DispatcherStopped: after `stop_all`.
        """
        if self.closed:
            self.check_open(cls.__name__)
        before = current.dispatcher
        if before is self:
            return cls(*args, **kwargs)._begin(self)
        current.dispatcher = self
        try:
            actor = cls(*args, **kwargs)
        finally:
            current.dispatcher = before
        return actor._begin(self)

    @abstractmethod
    def call_soon(self, function: Callable[[], object]) -> None:
        """Calls `function` on the thread, in a turn of its own; from any thread."""

    def call_later(self, seconds: float, function: Callable[[], object]) -> TimerHandle:
        """Calls `function` on the thread after `seconds`; from any thread."""
        handle = TimerHandle(function)
        self._set_timer(self.now() + seconds, handle)
        return handle

    def tell_later(self, seconds: float, ref: pykka.ActorRef[Any], message: Any) -> TimerHandle:
        """Tells `ref` after `seconds`, if it is alive then; from any thread."""
        handle = TimerHandle(message, ref)
        self._set_timer(self.now() + seconds, handle)
        return handle

    @abstractmethod
    def now(self) -> float:
        """Seconds of a clock that never goes back and counts the machine's sleep too."""

    @abstractmethod
    def utcnow(self) -> datetime:
        """The date, aware, UTC; a step of the system clock does not move it at once."""

    @property
    @abstractmethod
    def is_current(self) -> bool:
        """Whether the caller is on the dispatcher's thread."""

    @property
    def crowded(self) -> bool:
        """Whether so much is ready that whoever brings more should wait for his turn first."""
        return True

    @abstractmethod
    def stop_all(self) -> None:
        """Stops every actor that was started here, the newest first, each after what it got before.

        Returns when all have stopped; called in an actor's own turn it returns at once, and they
        stop in the turns that follow. Timers are cancelled, and nothing can be started any more.
        """

    # --- what the runtime uses
    @abstractmethod
    def deliver(self, mailbox: Mailbox, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Brings a message to a mailbox; from any thread, in order for each sender."""

    @abstractmethod
    def _make_ready(self, what: Mailbox | Calls) -> None:
        """It has something to do; on the thread."""

    @abstractmethod
    def _set_timer(self, at: float, handle: TimerHandle) -> None:
        """Sets a timer; from any thread."""

    @abstractmethod
    def _alarm(self) -> None:
        """There is a new earliest timer; on the thread."""

    def loop_here(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it stands on, if this thread runs it now."""
        return None

    def pump(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Runs a simulation until `reached` or `timeout` seconds have passed; whether it was."""
        raise NotImplementedError

    def check_open(self, name: object) -> None:
        """Raises DispatcherStopped after `stop_all`."""
        if self.closed:
            raise DispatcherStopped(f"{name} cannot start: its dispatcher was stopped")

    def begin(self, mailbox: Mailbox) -> None:
        """Starts the actor of a mailbox; from any thread."""
        self.deliver(mailbox, START, None)

    def who_runs(self) -> str | None:
        """The actor whose turn it is."""
        running = self.running
        return None if running is None or running.actor is None else str(running.actor)

    def _accept(self, mailbox: Mailbox, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Puts a message into its mailbox; on the thread."""
        queue = mailbox.queue
        if queue is not None:  # it is READY, or has not started yet
            queue.extend((message, reply))
            if message is START:
                queue.rotate(2)  # what __init__ sent to itself comes after the start
                mailbox.state = READY
                self._make_ready(mailbox)
        elif mailbox.state == CLOSED:
            self.undeliverable += reply is None
            refuse(message, reply, "the actor")
        else:
            mailbox.queue = deque((message, reply))
            if mailbox.state == IDLE or message is START:
                mailbox.state = READY
                self._make_ready(mailbox)

    def _accept_call(self, function: Callable[[], object]) -> None:
        calls = self._calls
        calls.queue.append(function)
        if not calls.ready:
            calls.ready = True
            self._make_ready(calls)

    def _run_due(self, now: float) -> int:
        """Does what is due, at most `DUE_AT_ONCE` things; returns how many."""
        for count in range(DUE_AT_ONCE):
            handle = self._timers.due(now)
            if handle is None:
                return count
            action, ref = handle.take()
            if ref is not None:
                call(functools.partial(_tell_if_alive, ref, action), self.watchdog)
            elif action is not None:  # else another thread has just cancelled it
                call(action, self.watchdog)
        return DUE_AT_ONCE

    def _stop_newest_first(self, turn: Callable[[], None]) -> None:
        """Asks one actor after the other to stop, and runs turns until it has."""
        self.closed = True
        self._timers.clear()
        while len(self.registry):
            for actor in reversed(tuple(self.registry)):
                mailbox = actor.actor_inbox
                self._accept(mailbox, pykka.messages._ActorStop(), None)
                # One that another thread is just starting may turn out to come too late.
                while mailbox.state not in (CLOSED, NEW) or actor in self.registry:
                    turn()

    def _ask_all_to_stop(self) -> None:
        self.closed = True
        self._timers.clear()
        for actor in reversed(tuple(self.registry)):
            self.deliver(actor.actor_inbox, pykka.messages._ActorStop(), None)


def _tell_if_alive(ref: pykka.ActorRef[Any], message: Any) -> None:
    try:
        ref.tell(message)
    except pykka.ActorDeadError:
        log.debug("a message for later found its actor gone")
