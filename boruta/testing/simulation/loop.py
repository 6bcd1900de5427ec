"""An asyncio event loop whose time is the world's and whose steps are the world's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boruta.testing.simulation.process import Process

log = logging.getLogger("boruta.simulation")
_PRUNED_AT = 32  # tasks of one process


class SimTask(asyncio.Task[Any]):
    """A task whose hash is neither an address nor a number that goes on from one world to the
    next: a set of tasks comes out in the same order on each run."""

    _serial: int | None = None

    def __hash__(self) -> int:
        found = self._serial
        if found is None:
            found = self._serial = _serial_of(self.get_loop())
        return found


class SimFuture(asyncio.Future[Any]):
    """A future whose hash is like that of a task."""

    _serial: int | None = None

    def __hash__(self) -> int:
        found = self._serial
        if found is None:
            found = self._serial = _serial_of(self.get_loop())
        return found


def _serial_of(loop: asyncio.AbstractEventLoop) -> int:
    process: Process = loop.process  # type: ignore[attr-defined]
    return next(process.world.serials)


class Call:
    """What a loop is to call: a handle as asyncio knows it, with nothing that is not needed here.

    Attributes:
        off: it was cancelled.
    """

    __slots__ = ("_args", "_at", "_context", "_function", "_process", "off")

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        process: Process,
        context: contextvars.Context | None,
        at: float = 0.0,
    ) -> None:
        self._function = function
        self._args = args
        self._process = process
        self._context = contextvars.copy_context() if context is None else context
        self._at = at
        self.off = False

    def cancel(self) -> None:
        """It is not called."""
        self.off = True
        self._function, self._args = _nothing, ()

    def cancelled(self) -> bool:
        """Whether it is not called."""
        return self.off

    def when(self) -> float:
        """When it is due, if it is a timer."""
        return self._at

    def fire(self) -> None:
        """It is due: it runs in a step of its process."""
        self._process.call(self)

    def run(self) -> None:
        """Calls it, if it was not cancelled."""
        if not self.off:
            self._context.run(self._function, *self._args)


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one process.

    Args:
        process: whose steps run what is called soon.

    Attributes:
        defects: what tasks and callbacks raised and nobody took.
        context: of what comes from outside.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self._thread_id = threading.get_ident()  # there is one: whatever runs, runs on this loop
        self.defects: list[str] = []
        self.context = contextvars.copy_context()
        # Held, by the world too, until they are done: one that nobody else holds would unwind
        # whenever the garbage collector comes by.
        self._tasks: list[SimTask] = []
        self._prune_at = _PRUNED_AT

    # --- what asyncio asks of a loop
    def time(self) -> float:
        """Virtual seconds."""
        return self.process.world.now

    # Asked for with each future, and so without a function of Python's. It never debugs, it runs as
    # far as a callback can tell, it is never closed.
    get_debug = False.__bool__
    is_running = True.__bool__
    is_closed = False.__bool__

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        """Calls in a step to come, in order."""
        process = self.process
        made = Call(callback, args, process, context)
        process.calls.append(made)
        if not process.ready:
            process.ready = True
            process.world.make_ready(process)
        return made

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        """Calls after `delay` seconds."""
        return self.call_at(self.process.world.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Call:
        """Calls at `when`."""
        process = self.process
        timer = Call(callback, args, process, context, when)
        if not process.dead:
            process.world.add(when, process, timer)
        return timer

    def create_future(self) -> SimFuture:
        """A future."""
        return SimFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> SimTask:
        """A task."""
        tasks = self._tasks
        task = SimTask(coro, loop=self, name=name or "task", context=context)
        if len(tasks) >= self._prune_at:
            tasks[:] = [one for one in tasks if not one.done()]
            self._prune_at = max(_PRUNED_AT, 2 * len(tasks))
        tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what nobody took."""
        if not self.process.dead:
            error = context.get("exception")
            self.defects.append(f"{context.get('message')}: {error!r}")
            log.error("%s: %s", self.process.name, context.get("message"), exc_info=error)

    def cancel_all(self) -> None:
        """Every task unwinds."""
        for task in tuple(self._tasks):
            task.cancel()

    def drop_all(self) -> None:
        """What has not unwound by itself is closed where it stands."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(Exception):
                    task.get_coro().close()
        self._tasks.clear()


def _nothing() -> None:
    pass
