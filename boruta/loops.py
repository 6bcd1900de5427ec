"""A loop in another thread, and how blocking code has coroutines run on it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from boruta.domain.errors import ShuttingDown

T = TypeVar("T")
CLEAN_UP_WITHIN_S: Final = 5.0  # after Ctrl-C: how long the interrupted call may take to undo
_LOOK_S: Final = 1.0  # how often a waiting thread looks whether the loop still runs


class _Outcome(Generic[T]):
    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.task: asyncio.Task[T] | None = None
        self.value: T | None = None
        self.error: BaseException | None = None

    def refuse(self, error: BaseException) -> None:
        self.error = error
        self.arrived.set()

    def take(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.error = asyncio.CancelledError()
        elif (error := task.exception()) is not None:
            self.error = error
        else:
            self.value = task.result()
        self.arrived.set()


class LoopThread:
    """Runs coroutines on a loop of another thread, for callers of any thread.

    Args:
        loop: a running loop of somebody else's; None makes one with a daemon thread.
        name: the thread's name, and what a closed one is called in errors.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, *, name: str = "boruta-client"
    ) -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        if loop is not None:
            self.loop = loop
            return
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)

    @property
    def usable(self) -> bool:
        """Whether calls can still be made."""
        return not (self._closed or self.loop.is_closed() or os.getpid() != self._pid)

    def call(self, make: Callable[[], Coroutine[Any, Any, T]], undo: Undo[T] | None = None) -> T:
        """Runs the coroutine that `make` gives and waits for it. Ctrl-C cancels it.

        Args:
            make: called on the loop's thread.
            undo: given a result that comes too late for an interrupted caller.

        Raises:
            ShuttingDown: the loop is closed, or closes meanwhile.
            RuntimeError: called on the loop's own thread, where waiting would never end.
        """
        outcome = _Outcome[T]()

        def start() -> None:
            try:
                outcome.task = self.loop.create_task(make())
            except Exception as error:
                outcome.refuse(error)
            else:
                outcome.task.add_done_callback(outcome.take)

        self._check_caller()
        try:
            self._schedule(start)
            while not outcome.arrived.wait(_LOOK_S):
                self._check_running()
        except BaseException:  # Ctrl-C, or whatever else a signal handler raises
            self._interrupt(outcome, undo)
            raise
        if isinstance(outcome.error, asyncio.CancelledError):
            raise ShuttingDown("the client was closed while the call was under way") from None
        if outcome.error is not None:
            try:
                raise outcome.error
            finally:
                outcome.error = None  # no cycle of frame and traceback
        return outcome.value  # type: ignore[return-value]

    def tell(self, function: Callable[[], object]) -> None:
        """Has the function called on the loop, and does not wait; a closed loop drops it."""
        with self._lock:
            if self.usable:
                self.loop.call_soon_threadsafe(function)

    def _check_caller(self) -> None:
        if asyncio._get_running_loop() is self.loop:
            raise RuntimeError(
                "a blocking call on the client's own loop would never return; "
                "use boruta.aio there, or call from another thread"
            )
        if os.getpid() != self._pid:
            raise ShuttingDown("the client belongs to the parent process: connect() after a fork")

    def _schedule(self, function: Callable[[], object]) -> None:
        with self._lock:
            if not self.usable:
                raise ShuttingDown("the client is closed: connect() anew")
            self.loop.call_soon_threadsafe(function)

    def _check_running(self) -> None:
        if not self.loop.is_running():
            raise ShuttingDown("the client was closed while the call was under way")

    def _interrupt(self, outcome: _Outcome[T], undo: Undo[T] | None) -> None:
        def cancel() -> None:
            if outcome.task is not None:
                outcome.task.cancel()
            elif not outcome.arrived.is_set():  # the interrupt came before it was scheduled
                outcome.refuse(asyncio.CancelledError())

        self.tell(cancel)
        if not self.usable or not outcome.arrived.wait(CLEAN_UP_WITHIN_S):
            return
        if undo is not None and outcome.error is None and outcome.value is not None:
            value = outcome.value
            try:
                self.call(lambda: undo(value))
            except Exception:  # what interrupted the caller is what he must see
                return

    def stop(self) -> None:
        """Cancels what runs and ends the thread; idempotent. A loop of others runs on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._thread is None or os.getpid() != self._pid:
                return
            self.loop.call_soon_threadsafe(self._wind_up)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLEAN_UP_WITHIN_S)
            if not self._thread.is_alive():
                self.loop.close()

    def _wind_up(self) -> None:
        async def wind_up() -> None:
            mine = asyncio.current_task()
            left = [task for task in asyncio.all_tasks() if task is not mine]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self.loop.shutdown_asyncgens()
            self.loop.stop()

        self._last = self.loop.create_task(wind_up())


Undo = Callable[[T], Coroutine[Any, Any, object]]


class GuardedLoop(LoopThread):
    """A loop that is somebody else's: one that was closed says so, and why.

    `check` raises if it was.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, check: Callable[[], object]) -> None:
        super().__init__(loop)
        self._check = check

    def call(self, make: Callable[[], Coroutine[Any, Any, T]], undo: Undo[T] | None = None) -> T:
        """As `LoopThread.call`, after a look at the farm."""
        self._check()
        return super().call(make, undo)
