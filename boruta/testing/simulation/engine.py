"""The dispatcher of a simulated server's actors: their steps and timers are the world's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from actors.messages import Sweep
from actors.runtime import SimDispatcher, TimerHandle
from actors.runtime.calls import Calls
from actors.runtime.clocks import AnchoredClock
from actors.runtime.current import current
from actors.runtime.mailbox import Mailbox
from actors.runtime.turn import take
from actors.system import System
from boruta.domain import defaults
from boruta.domain.types import ReqID, ReqState, WorkerUUID
from boruta.testing.simulation.world import Process, World

log = logging.getLogger("boruta.simulation")
_FOREVER = float("inf")
_SWEEPS_AFTER = 3  # what was too fresh for the first one is seen by the next


class EngineDispatcher(SimDispatcher):
    """A `SimDispatcher` in a world with other processes: the world draws who is next.

    Args:
        world: the clock and the order.
        process: the server's; what is due or ready while it is frozen waits.
        wall: the machine's date, which may jump.
    """

    def __init__(self, world: World, process: Process, wall: Any) -> None:
        super().__init__(f"{world.seed} {process.name}")
        self.world = world
        self.process = process
        self._clock = AnchoredClock(lambda: world.now, wall)
        self.watchdog.limit_s = _FOREVER  # real time means nothing here
        self.turns = 0
        self.refusals = 0  # boards that did not take what they were offered
        self.active = False  # something but a sweep was done since this was last cleared
        self.idle_work: object = None  # what looks whether a sweep is needed

    def now(self) -> float:
        """Virtual seconds."""
        return self.world.now

    def utcnow(self) -> datetime:
        """The date as this server believes it to be."""
        return self._clock.utcnow()

    def _make_ready(self, what: Mailbox | Calls) -> None:
        if not self.process.dead:
            self.world.make_ready(_Turn(self, what))

    def _set_timer(self, at: float, handle: TimerHandle) -> None:
        if not self.process.dead:
            self.world.add(at, self.process, _EngineTimer(self, handle))

    def turn(self, what: Mailbox | Calls) -> None:
        """One message, or one function."""
        if self.process.dead:
            return
        self.turns += 1
        current.dispatcher = current.turn = self
        try:
            if isinstance(what, Calls):
                self.world.note("engine call")
                function = what.queue.popleft()
                self.active |= function != self.idle_work
                self._call(function)
                again = what.ready = bool(what.queue)
            else:
                assert what.queue is not None
                name = type(what.queue[0]).__name__
                actor: Any = what.actor
                self.world.note(f"{actor.kind} {actor.key} {name}")
                if name == "AssignRefused":
                    self.refusals += 1
                if name != "Sweep":
                    self.active = True
                take(self, what, 1, _FOREVER, 0.0)
                again = bool(what.queue)
        finally:
            self.running = None
            current.turn = current.dispatcher = None
        if again:
            self._make_ready(what)

    def _call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception as error:
            self.defect(f"a function that was called later: {error!r}", error)

    def defect(self, what: str, error: BaseException) -> None:
        """Code of ours has failed; in production it is logged and survived."""
        log.error("%s", what, exc_info=error)
        if not self.process.dead:
            self.process.loop.defects.append(what)

    def run_call(self, handle: asyncio.Handle) -> None:
        """A step of the server's event loop: it may await what actors answer."""
        current.dispatcher = current.turn = self
        try:
            handle._run()
        finally:
            current.turn = current.dispatcher = None

    def fire(self, handle: TimerHandle) -> None:
        """What is due: a function is called in a turn, an actor is told."""
        action, ref = handle.take()
        self.active |= action != self.idle_work
        if ref is None:
            self.call_soon(action)
        elif ref.is_alive():
            ref.tell(action)

    def stop_all(self) -> None:
        """Stops every actor, in turns that follow."""
        self._ask_all_to_stop()


class _Turn:
    __slots__ = ("_dispatcher", "_what", "process")

    def __init__(self, dispatcher: EngineDispatcher, what: Mailbox | Calls) -> None:
        self._dispatcher = dispatcher
        self._what = what
        self.process = dispatcher.process

    def step(self) -> None:
        self._dispatcher.turn(self._what)


class _EngineTimer:
    __slots__ = ("_dispatcher", "_handle")

    def __init__(self, dispatcher: EngineDispatcher, handle: TimerHandle) -> None:
        self._dispatcher = dispatcher
        self._handle = handle

    @property
    def off(self) -> bool:
        return self._handle.done

    def fire(self) -> None:
        self._dispatcher.fire(self._handle)


class SimSystem(System):
    """The real system; its ticks that would find nothing are left out.

    The tick that notices a standstill runs before and after each one, and the sweep only where
    something has happened lately.
    """

    _sweeps_left = 0

    def _failed(
        self, kind: str, key: ReqID | WorkerUUID, error: BaseException, *more: Any
    ) -> None:
        dispatcher = self.directory.dispatcher
        assert isinstance(dispatcher, EngineDispatcher)
        dispatcher.defect(f"the actor of {kind} {key} failed: {error!r}", error)
        super()._failed(kind, key, error, *more)

    def _tick(self) -> None:
        super()._tick()
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    def look(self) -> None:
        """A tick, now."""
        self._tick()

    def _sweep_later(self) -> None:
        dispatcher = self.directory.dispatcher
        assert isinstance(dispatcher, EngineDispatcher)
        dispatcher.idle_work = self._sweep_if_needed
        self._sweep_timer = dispatcher.call_later(defaults.SWEEP_S, self._sweep_if_needed)

    def _sweep_if_needed(self) -> None:
        dispatcher = self.directory.dispatcher
        assert isinstance(dispatcher, EngineDispatcher)
        if dispatcher.active:
            self._sweeps_left, dispatcher.active = _SWEEPS_AFTER, False
        if self._sweeps_left:
            self._sweeps_left -= 1
            self._sweep()
        else:
            self._sweep_later()

    def _sweep(self) -> None:
        """Asks whoever may find something: the matcher, and boards that are lent or out of step."""
        directory = self.directory
        store = directory.store
        matcher: Any = directory.matcher
        if matcher.actor_inbox.actor is None or matcher.actor_inbox.actor._asked:
            directory.tell_matcher(Sweep())
        for uuid in tuple(directory.workers):
            row = store.worker(uuid)
            ref: Any = directory.workers[uuid]
            actor = ref.actor_inbox.actor
            if row is not None and actor is not None and actor._row is row:
                if row.request_id is None:
                    continue
                held = store.request(row.request_id)
                if held is not None and held.state is ReqState.INPROGRESS:
                    continue
            directory.tell_worker(uuid, Sweep())
        self._sweep_later()
