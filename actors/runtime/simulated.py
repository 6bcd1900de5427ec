"""Actors in one thread with virtual time: the same seed gives the same run, step for step."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pykka

from actors.runtime.calls import Calls
from actors.runtime.clocks import stopwatch
from actors.runtime.current import current
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.errors import NeverSet, WouldBlock
from actors.runtime.flag import Flag
from actors.runtime.future import Future
from actors.runtime.mailbox import Mailbox
from actors.runtime.timers import TimerHandle
from actors.runtime.turn import take
from actors.runtime.urns import UrnSource

FOREVER = float("inf")


class SimDispatcher(Dispatcher):
    """A dispatcher whose order is drawn from a seed and whose clock moves only when told to.

    Whatever is ready runs before time goes on; which ready actor is next is drawn, one message at
    a time, so that every order which threads could produce can come up. Order per sender is kept.
    A blocking call outside a turn runs the simulation until it has its answer.

    Args:
        seed: the same seed gives the same run, whatever PYTHONHASHSEED is.
        start: the date at the start, aware; `now()` is 0.0 then.
    """

    simulated: ClassVar[bool] = True

    def __init__(self, seed: int | str = 0, start: datetime | None = None) -> None:
        super().__init__(UrnSource(f"{seed} urns"))
        self.seed = seed
        self.random = random.Random(f"{seed} order").random
        self._start = datetime(2026, 1, 1, tzinfo=UTC) if start is None else start
        self._now = 0.0
        self._ready: list[Mailbox | Calls] = []
        self._owner = threading.get_ident()

    # --- time and place
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def utcnow(self) -> datetime:
        """The virtual date."""
        return self._start + timedelta(seconds=self._now)

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the thread that made the simulation."""
        return threading.get_ident() == self._owner

    # --- moving on
    def run_until_idle(self) -> None:
        """Runs whatever is ready; the clock stands still."""
        self._run(lambda: False, self._now)

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass, with everything that happens in them."""
        self._run(lambda: False, self._now + seconds)

    def sleep(self, seconds: float) -> None:
        """Stands for `time.sleep`: in a turn, the handler takes so long and nothing else runs."""
        if current.turn is None:
            self.advance(seconds)
        else:
            self._now += seconds

    def run_until(self, predicate: Callable[[], bool], within_s: float = FOREVER) -> None:
        """Runs until `predicate` holds, which is asked after each step.

        Raises:
            TimeoutError: it did not within `within_s` virtual seconds, or nothing is left to run.
        """
        if not self._run(predicate, self._now + within_s):
            raise TimeoutError(f"did not come true within {within_s} s (seed {self.seed!r})")

    def pump(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Runs until `reached`; False after `timeout` seconds.

        Raises:
            NeverSet: nothing is left to run, and there is no time-out.
        """
        if self._run(reached, FOREVER if timeout is None else self._now + timeout):
            return True
        if timeout is None:
            raise NeverSet("this can never be set: nothing is left to run in the simulation")
        return False

    def event(self) -> Flag:
        """A `threading.Event` whose `wait` runs the simulation."""
        return Flag(self)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Future:
        """Runs a coroutine that awaits nothing but this runtime's futures.

        Returns:
            A future of its result.
        """
        result = Future(self)

        def step() -> None:
            try:
                awaited = coroutine.send(None)
            except StopIteration as end:
                result.answer(end.value)
            except BaseException as error:
                result.answer_error(error)
            else:
                if isinstance(awaited, Future):
                    awaited.when_done(lambda _: self.call_soon(step))
                else:
                    coroutine.close()
                    result.answer_error(
                        TypeError(f"a simulated coroutine cannot await {awaited!r}")
                    )

        self.call_soon(step)
        return result

    def _run(self, reached: Callable[[], bool], until: float) -> bool:
        """Runs until `reached`, or until all that happens up to `until` has happened."""
        self._check_thread()
        if current.turn is not None:
            raise WouldBlock("a turn cannot move the simulation on")
        while not reached():
            at = self._timers.next()
            if at is not None and at <= self._now:
                self._as_turn(self._due)
            elif self._ready:
                self._as_turn(self._step)
            elif at is not None and at <= until:
                self._now = at
            else:
                if until != FOREVER:
                    self._now = max(self._now, until)
                return reached()
        return True

    def _as_turn(self, what: Callable[[], None]) -> None:
        before = current.dispatcher
        current.dispatcher = current.turn = self
        try:
            what()
        finally:
            self.running = None
            current.turn = None
            current.dispatcher = before

    def _due(self) -> None:
        self._run_due(self._now)

    def _step(self) -> None:
        ready = self._ready
        index = int(self.random() * len(ready))
        what = ready[index]
        ready[index] = ready[-1]
        ready.pop()
        began = stopwatch()
        if isinstance(what, Calls):
            what.take(self.watchdog, 1, FOREVER)
            if what.ready:
                ready.append(what)
        else:
            take(self, what, 1, FOREVER, began)
            if what.queue:
                ready.append(what)

    # --- what comes in
    def deliver(self, mailbox: Mailbox, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Brings a message to a mailbox."""
        self._check_thread()
        self._accept(mailbox, message, reply)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Calls `function` when it is drawn."""
        self._check_thread()
        self._accept_call(function)

    def _make_ready(self, what: Mailbox | Calls) -> None:
        self._ready.append(what)

    def _alarm(self) -> None:
        """Time goes from timer to timer: nobody needs to be woken."""

    def _set_timer(self, at: float, handle: TimerHandle) -> None:
        self._check_thread()
        self._timers.add(at, handle)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise RuntimeError("a simulation has one thread: another one would make it random")

    # --- the end
    def stop_all(self) -> None:
        """Stops every actor."""
        if current.turn is not None:
            self._ask_all_to_stop()
        else:
            self._stop_newest_first(lambda: self._as_turn(self._step))
