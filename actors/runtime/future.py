"""The answer to a message, now or later."""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import sys
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pykka

from actors.runtime.clocks import monotonic
from actors.runtime.current import current, refuse_blocking, runs_here
from actors.runtime.errors import WouldBlock
from actors.runtime.hook import Hook, is_alive_answer

if TYPE_CHECKING:
    from actors.runtime.dispatcher import Dispatcher

ExcInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"
Waiter: TypeAlias = "Callable[[], None] | asyncio.Future[None]"
log = logging.getLogger("boruta.runtime")

# One lock for all futures: it is held for a few assignments only, and a lock for each would cost
# more than the rest of the future. Reentrant, since a finaliser may run, and set one, anywhere.
settling: Final = threading.RLock()

PENDING, VALUE, ERROR, CANCELLED = range(4)


class Future(pykka.Future[Any]):
    """A `pykka.Future` for one dispatcher: blocking from other threads, awaitable on a loop.

    `get()` that would block raises WouldBlock on a dispatcher's own thread; on a future of a
    simulation it runs the simulation meanwhile. Setting a future twice raises queue.Full, as in
    Pykka; setting one that was cancelled does nothing.

    Args:
        dispatcher: what has to run while somebody waits; default: the one whose turn this is.
    """

    __slots__ = ("_dispatcher", "_hook", "_state", "_value", "_waiters", "asked")

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        # pykka.Future.__init__ is left out: it would add a dict to each of them.
        self._dispatcher = current.dispatcher if dispatcher is None else dispatcher
        self._state = PENDING
        self._value: Any = None
        self._waiters: list[Waiter] | None = None
        self._hook: Hook | None = None
        self.asked = False  # made by ask(), so it is answered whatever becomes of its holder

    # --- setting
    def set(self, value: Any | None = None) -> None:
        """Sets the value.

        Raises:
            queue.Full: it has one, or a hook.
        """
        if not self.answer(value) and self._state != CANCELLED:
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Sets an error; the one being handled, if none is given.

        Raises:
            queue.Full: it has a value, or a hook.
        """
        assert exc_info is None or len(exc_info) == 3
        error = sys.exc_info() if exc_info is None else exc_info
        if not self._settle(ERROR, error) and self._state != CANCELLED:
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], Any]) -> None:
        """Lets `func` compute the value when it is asked for, once.

        Args:
            func: takes get()'s time-out in seconds, or None.

        Raises:
            queue.Full: it has a value.
        """
        self._set_hook(Hook(func))

    def answer(self, value: Any | None = None) -> bool:
        """Sets the value, unless there is one; whether it did."""
        return self._settle(VALUE, value)

    def answer_error(self, error: BaseException) -> bool:
        """Sets an error, unless there is an answer; whether it did."""
        return self._settle(ERROR, (type(error), error, error.__traceback__))

    def cancel(self) -> bool:
        """Gives the answer up: a message not yet handled is withdrawn, `set` does nothing more.

        Returns:
            False if there was an answer already.
        """
        return self._settle(CANCELLED, None, hooked=True)

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state == CANCELLED

    @property
    def done(self) -> bool:
        """Whether `get()` has an answer at once; a hook counts as none until it has run."""
        return self._state != PENDING

    def _settle(self, state: int, value: Any, hooked: bool = False) -> bool:
        with settling:
            if self._state != PENDING or (self._hook is not None and not hooked):
                return False
            self._value = value
            self._state = state
            waiters, self._waiters = self._waiters, None
        if waiters is not None:
            _call(waiters)
        return True

    def _set_hook(self, hook: Hook) -> None:
        with settling:
            if self._state != PENDING:
                raise queue.Full
            self._hook = hook
            waiters, self._waiters = self._waiters, None
        if waiters is not None:
            _call(waiters)

    # --- getting
    def get(self, *, timeout: float | None = None) -> Any:
        """The value, or its error is raised.

        Args:
            timeout: seconds; 0 looks without waiting, None waits for ever.

        Raises:
            pykka.Timeout: there was no answer in time.
            WouldBlock: it would wait on a dispatcher's own thread.
            NeverSet: nothing that is left to run in a simulation can answer.
            asyncio.CancelledError: it was cancelled.
        """
        while self._state == PENDING:
            if self._hook is not None:
                return self._evaluate(self._hook, timeout)
            if not self._wait(timeout):
                raise pykka.Timeout(f"{timeout} seconds")
        return self._result()

    def _result(self) -> Any:
        if self._state == VALUE:
            return self._value
        if self._state == CANCELLED:
            raise asyncio.CancelledError("the future was cancelled")
        kind, error, traceback = self._value
        if error is None:
            error = kind()
        raise error.with_traceback(traceback)

    def _wait(self, timeout: float | None) -> bool:
        """Blocks until something happened to this future; False after `timeout` seconds."""
        if timeout is not None and timeout <= 0:
            return self.done
        dispatcher = self._dispatcher
        simulated = dispatcher is not None and dispatcher.simulated
        if current.turn is not None or not simulated:
            try:
                refuse_blocking("get()")
            except WouldBlock:
                if self.asked:
                    self.cancel()  # nothing was sent, as far as the one who asked can tell
                raise
        if dispatcher is not None and simulated:
            return dispatcher.pump(lambda: self.done or self._hook is not None, timeout)
        lock = threading.Lock()
        lock.acquire()
        if not self._add_waiter(lock.release):
            return True
        if lock.acquire(timeout=-1 if timeout is None else timeout):
            return True
        self._drop_waiter(lock.release)
        return self.done

    def _evaluate(self, hook: Hook, timeout: float | None) -> Any:
        hook.wait_for_needs(timeout, self._now)
        if not hook.lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise pykka.Timeout(f"{timeout} seconds")
        try:
            if self._state == PENDING:
                self._settle(VALUE, hook.compute(timeout), hooked=True)
        finally:
            hook.lock.release()
        return self._result()

    def _now(self) -> float:
        return monotonic() if self._dispatcher is None else self._dispatcher.now()

    # --- waiting without blocking
    def when_done(self, callback: Callable[[Future], None]) -> None:
        """Calls back once there is an answer: at once if there is one, else where it is set.

        The callback must not block. A hook over futures of this runtime is evaluated for it.
        """

        def changed() -> None:
            if self._state == PENDING:
                self.when_done(callback)
            else:
                callback(self)

        if self._state == PENDING and self._hook is not None:
            self._when_evaluated(self._hook, callback)
        elif not self._add_waiter(changed):
            changed()

    def _when_evaluated(self, hook: Hook, callback: Callable[[Future], None]) -> None:
        def evaluate() -> None:
            try:
                self._evaluate(hook, None)
            except BaseException as error:  # a hook that raises is this future's error
                self._settle(ERROR, (type(error), error, error.__traceback__), hooked=True)
            callback(self)

        if hook.needs is None or not all(isinstance(need, Future) for need in hook.needs):
            # Somebody else's future can only be waited for by blocking.
            threading.Thread(target=evaluate, name="boruta-hook", daemon=True).start()
            return
        left = [len(hook.needs)]

        def one_done(_: Future) -> None:
            with settling:
                left[0] -= 1
                last = left[0] == 0
            if last:
                evaluate()

        for need in hook.needs:
            assert isinstance(need, Future)
            need.when_done(one_done)

    def _add_waiter(self, waiter: Waiter) -> bool:
        """False if there is nothing to wait for."""
        with settling:
            if self._state != PENDING or self._hook is not None:
                return False
            if self._waiters is None:
                self._waiters = [waiter]
            else:
                self._waiters.append(waiter)
            return True

    def _drop_waiter(self, waiter: Waiter) -> None:
        with settling:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits on an asyncio loop, or in a coroutine that a simulation runs; blocks neither."""
        while self._state == PENDING:
            dispatcher = self._dispatcher
            if current.turn is not None and current.turn.simulated:
                yield self
            elif dispatcher is not None and dispatcher.simulated:
                return self.get()
            else:
                loop = None if dispatcher is None else dispatcher.loop_here()
                waiter = (loop or asyncio.get_running_loop()).create_future()
                if self._hook is not None:
                    self.when_done(functools.partial(_call_one, waiter))
                elif not self._add_waiter(waiter):
                    continue
                try:
                    yield from waiter
                finally:
                    if self._state == PENDING:
                        self._drop_waiter(waiter)
        return self._result()

    __iter__ = __await__

    # --- derived futures
    def _derived(self, compute: Callable[[], Any], *more: pykka.Future[Any]) -> Any:
        future = self.__class__(self._dispatcher)
        future._set_hook(Hook(lambda _: compute(), (self, *more)))
        future.asked = all(isinstance(need, Future) and need.asked for need in (self, *more))
        return future

    def filter(self, func: Callable[[Any], bool]) -> Any:
        """A future with only the items of this one's value for which `func` is true."""
        return self._derived(lambda: [item for item in self.get() if func(item)])

    def join(self, *futures: pykka.Future[Any]) -> Any:
        """A future with the list of the values of this one and `futures`."""
        return self._derived(lambda: [one.get() for one in (self, *futures)], *futures)

    def map(self, func: Callable[[Any], Any]) -> Any:
        """A future with what `func` makes of this one's value."""
        return self._derived(lambda: func(self.get()))

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> Any:
        """A future with this one's items put together by `func` from the left."""
        return self._derived(lambda: functools.reduce(func, self.get(), *args))

    def stopped(self) -> Any:
        """What `ActorRef.stop` answers: this future is the answer to the stop message."""
        return self._derived(lambda: is_alive_answer(self))


def _call(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        try:
            if isinstance(waiter, asyncio.Future):
                _wake(waiter)
            else:
                waiter()
        except BaseException:
            log.exception("a callback of a future failed")


def _call_one(waiter: Waiter, _: Future) -> None:
    _call([waiter])


def _wake(waiter: asyncio.Future[None]) -> None:
    """Lets whoever awaits on a loop go on; from any thread."""
    loop = waiter.get_loop()
    if runs_here(loop):
        if not waiter.done():
            waiter.set_result(None)
        return
    try:
        loop.call_soon_threadsafe(_wake, waiter)
    except RuntimeError:
        log.debug("an answer came after its asker's loop was closed")
