"""An asyncio event loop whose time is the world's and whose steps are the world's."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from actors.runtime import Future

if TYPE_CHECKING:
    from boruta.testing.simulation.world import Process

log = logging.getLogger("boruta.simulation")
_serial = itertools.count()


class SimTask(asyncio.Task[Any]):
    """A task whose hash is no address: sets of tasks come out in the same order on each run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._serial = next(_serial)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimFuture(asyncio.Future[Any]):
    """A future whose hash is no address."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self._serial = next(_serial)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class LoopTimer(asyncio.TimerHandle):
    """A call that is still to come."""

    @property
    def off(self) -> bool:
        """It was cancelled."""
        return self.cancelled()

    def fire(self) -> None:
        """Runs in a step of its process."""
        self._loop.process.call(self)  # type: ignore[attr-defined]


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one process.

    Args:
        process: whose steps run what is called soon.

    Attributes:
        defects: what tasks and callbacks raised and nobody took.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.defects: list[str] = []
        self._tasks: weakref.WeakSet[SimTask] = weakref.WeakSet()

    # --- what asyncio asks of a loop
    def time(self) -> float:
        """Virtual seconds."""
        return self.process.world.now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As far as a callback can tell."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Calls in a step of its own."""
        handle = asyncio.Handle(callback, args, self, context)
        self.process.call(handle)
        return handle

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:  # type: ignore[override]
        """The same: there is one thread."""
        return self.call_soon(*args, **kwargs)

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls after `delay` seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls at `when`."""
        timer = LoopTimer(when, callback, args, self, context)
        if not self.process.dead:
            self.process.world.add(when, self.process, timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """The world finds out by itself."""

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
        """A task; its coroutine may await the futures of actors too."""
        task = SimTask(_Driven(self, coro), loop=self, name=name, context=context)
        self._tasks.add(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what nobody took."""
        if not self.process.dead:
            error = context.get("exception")
            self.defects.append(f"{context.get('message')}: {error!r}")
            log.error("%s: %s", self.process.name, context.get("message"), exc_info=error)

    def cancel_all(self) -> None:
        """Every task unwinds."""
        for task in sorted(self._tasks, key=hash):
            task.cancel()


class _Driven(Coroutine[Any, Any, Any]):
    """A coroutine whose futures of the actors' runtime are asyncio's to the task that runs it."""

    def __init__(self, loop: SimLoop, inner: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._inner = inner

    def send(self, value: Any) -> Any:
        """Goes on to the next future that it waits for."""
        return self._for_asyncio(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        """The same, with an error."""
        return self._for_asyncio(self._inner.throw(*error))

    def close(self) -> None:
        """Ends it."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _for_asyncio(self, found: Any) -> Any:
        if not isinstance(found, Future):
            return found
        waiter = self._loop.create_future()

        def wake(_: Future) -> None:
            if not waiter.done():
                waiter.set_result(None)

        found.when_done(wake)
        waiter._asyncio_future_blocking = True
        return waiter
