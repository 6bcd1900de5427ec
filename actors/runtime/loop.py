"""Actors on an asyncio event loop, beside the sockets."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from threading import get_ident
from typing import Any

import pykka

from actors.runtime.calls import Calls
from actors.runtime.clocks import AnchoredClock, monotonic, stopwatch
from actors.runtime.current import current, guarded, thread_of
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.future import settling
from actors.runtime.mailbox import IDLE, READY, START, Mailbox, refuse
from actors.runtime.timers import TimerHandle
from actors.runtime.turn import take
from actors.runtime.urns import UrnSource

ACTOR_MESSAGES = 32  # messages of one actor before the next one has its share
TURN_MESSAGES = 256  # messages before the loop may look at its sockets
TURN_S = 0.0005  # the same, by time: half of what a 1 ms timer may be late
ARRIVALS = 10_000  # messages from other threads that one turn sorts into mailboxes, ~3 ms
CROWD = 16  # ready actors; less is done in one turn of the loop, more may take several
LONGEST_SLEEP_S = 1.0  # the loop's own clock stands still while the machine sleeps, ours does not


class LoopDispatcher(Dispatcher):
    """A dispatcher on an event loop (asyncio's or uvloop's).

    Args:
        loop: where everything runs; it need not run yet.
        urns: names the actors.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, urns: UrnSource | None = None) -> None:
        super().__init__(UrnSource() if urns is None else urns)
        self._loop = loop
        self._where = thread_of(loop)
        self._clock = AnchoredClock()
        self._ready: deque[Mailbox | Calls] = deque()
        self._scheduled = False  # the loop is going to call _turn
        self._working: int | None = None  # the thread that runs a turn
        self._date: datetime | None = None  # of the turn that is running, once it was asked for
        # What other threads send, flat as a mailbox: mailbox, message, reply, mailbox, ...; a call
        # is None, function, None.
        self._arrivals: deque[Any] = deque()
        self._woken = threading.Lock()  # held from the first arrival until the turn that it causes
        self._sleep: asyncio.TimerHandle | None = None
        # Turns run in one context, not in that of the task which happened to cause them.
        self._context = contextvars.copy_context()
        guarded.add(loop)

    # --- time and place
    def now(self) -> float:
        """Seconds since the machine started."""
        return monotonic()

    def utcnow(self) -> datetime:
        """The date by the anchored clock; a turn, which takes `TURN_S`, reads it once."""
        date = self._date
        if date is None:
            date = self._clock.utcnow()
            if self._working is not None:
                self._date = date
        return date

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the loop."""
        here = get_ident()
        return self._working == here or bool(self._where._thread_id == here)

    def loop_here(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if this thread runs it."""
        return self._loop if self._where._thread_id == get_ident() else None

    @property
    def crowded(self) -> bool:
        """Whether what is ready may take more than one turn of the loop."""
        return len(self._ready) >= CROWD or bool(self._arrivals)

    # --- what comes in
    def deliver(self, mailbox: Mailbox, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Brings a message to a mailbox.

        Raises:
            ActorDeadError: the loop is closed.
        """
        # While anything has arrived from elsewhere the loop's own messages queue behind it: they
        # may be its consequence.
        here = get_ident() if not self._arrivals else None
        if here is not None and (self._working == here or self._where._thread_id == here):
            # As `_accept`, whose call each message of each actor would cost.
            if mailbox.state == IDLE:
                mailbox.state = READY
                mailbox.queue = deque((message, reply))
                self._ready.append(mailbox)
                if self._working is None and not self._scheduled:
                    self._schedule()
            elif mailbox.state == READY and message is not START:
                mailbox.queue.extend((message, reply))  # type: ignore[union-attr]
            else:
                self._accept(mailbox, message, reply)
        else:
            self._arrivals.extend((mailbox, message, reply))
            if self._woken.acquire(False):
                self._wake()
            elif reply is not None and self._loop.is_closed():
                self._refuse_arrivals()  # nobody must wait for what a closed loop had taken

    def call_soon(self, function: Callable[[], object]) -> None:
        """Calls `function` on the loop, in a turn of its own; from any thread."""
        here = get_ident()
        if (self._working == here or self._where._thread_id == here) and not self._arrivals:
            self._accept_call(function)
        else:
            self._arrivals.extend((None, function, None))
            if self._woken.acquire(False):
                self._wake()

    def _set_timer(self, at: float, handle: TimerHandle) -> None:
        if self.is_current:
            self._timers.add(at, handle)
        else:
            self._loop.call_soon_threadsafe(self._timers.add, at, handle)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake_up, context=self._context)
        except RuntimeError:  # the loop is closed
            if current.turn is self:  # but stop_all, which runs the turns itself
                return
            self._woken.release()
            self._refuse_arrivals()
            raise pykka.ActorDeadError("the actor's event loop is closed") from None

    def _refuse_arrivals(self) -> None:
        """The loop is closed: nothing will ever run there."""
        self.closed = True
        with settling:  # other senders come here too
            left = [self._arrivals.popleft() for _ in range(len(self._arrivals) // 3 * 3)]
        for mailbox, message, reply in zip(left[::3], left[1::3], left[2::3], strict=True):
            if message is START and mailbox.actor is not None:
                mailbox.actor._leave()
                mailbox.close("an actor whose loop is closed")
            elif mailbox is not None:
                refuse(message, reply, "an actor whose loop is closed")

    # --- turns
    def _make_ready(self, what: Mailbox | Calls) -> None:
        self._ready.append(what)
        if not self._scheduled and self._working is None:
            self._schedule()

    def _schedule(self) -> None:
        if not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._scheduled = False
        self._work()

    def _wake_up(self) -> None:
        if not self._scheduled:
            self._work()

    def _work(self) -> None:
        """Does what is due, then gives each ready actor its share."""
        self._working = get_ident()
        before = current.dispatcher, current.turn
        current.dispatcher = current.turn = self
        try:
            if self._arrivals or self._woken.locked():
                self._sort_arrivals()
            next_timer = self._timers.next()
            if next_timer is not None and next_timer <= (now := monotonic()):
                self._run_due(now)
            self._run_ready()
        finally:
            self.running = None
            current.dispatcher, current.turn = before
            self._working = None
            self._date = None
            if (self._ready or self._arrivals) and not self._scheduled:
                self._schedule()

    def _sort_arrivals(self) -> None:
        arrivals = self._arrivals
        # First let go, then look: what comes in after this asks for a turn of its own.
        if self._woken.locked():
            self._woken.release()
        accept, pop = self._accept, arrivals.popleft
        for _ in range(min(len(arrivals) // 3, ARRIVALS)):
            mailbox, message, reply = pop(), pop(), pop()
            if mailbox is None:
                self._accept_call(message)
            elif mailbox.state == READY and message is not START:
                mailbox.queue.extend((message, reply))
            else:
                accept(mailbox, message, reply)

    def _run_ready(self) -> None:
        ready = self._ready
        began = stopwatch()
        until = began + TURN_S
        left = TURN_MESSAGES
        while ready and left > 0:
            what = ready.popleft()
            most = ACTOR_MESSAGES if left > ACTOR_MESSAGES else left
            if isinstance(what, Mailbox):
                left -= take(self, what, most, until, began)
                if what.queue:
                    ready.append(what)
            else:
                left -= what.take(self.watchdog, most, until)
                if what.ready:
                    ready.append(what)
            began = stopwatch()
            if began >= until:
                break

    # --- timers
    def _alarm(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()
        at = self._timers.next()
        if at is None:
            self._sleep = None
            return
        delay = min(max(0.0, at - monotonic()), LONGEST_SLEEP_S)
        self._sleep = self._loop.call_later(delay, self._timers_due, context=self._context)

    def _timers_due(self) -> None:
        self._sleep = None
        if self._scheduled:
            self._loop.call_soon(self._alarm)  # the turn that comes before it does what is due
        else:
            self._work()
            self._alarm()

    # --- the end
    def stop_all(self) -> None:
        """Stops every actor; from any thread, waiting until it is done."""
        if current.turn is self:
            self._ask_all_to_stop()
        elif self.is_current or not self._loop.is_running():
            self._stop_here()
        else:
            done = threading.Event()

            def stop() -> None:
                try:
                    self._stop_here()
                finally:
                    done.set()

            self._loop.call_soon_threadsafe(stop)
            done.wait()

    def _stop_here(self) -> None:
        self._stop_newest_first(self._work)
        if self._sleep is not None:
            self._sleep.cancel()
            self._sleep = None
