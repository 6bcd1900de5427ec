"""The dispatcher of a simulated server's actors: their steps and timers are the world's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container
from datetime import datetime
from typing import Any, cast

import pykka

from actors.messages import Sweep
from actors.runtime import AnchoredClock, Dispatcher, TimerHandle
from actors.runtime.calls import Calls
from actors.runtime.current import current, guarded
from actors.runtime.mailbox import Mailbox
from actors.runtime.turn import take
from actors.runtime.urns import UrnSource
from actors.system import System
from boruta.domain import defaults
from boruta.domain.types import ReqID, ReqState, WorkerUUID
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.world import World

log = logging.getLogger("boruta.simulation")
_FOREVER = float("inf")
_MOVES_ON_S = 1e-6
_TURN_LATE_S = 0.5  # at most
BLUR_S = 3.0  # then some turns that follow each other take so long
_SWEEPS_AFTER = 3  # what was too fresh for the first one is seen by the next


class EngineDispatcher(Dispatcher):
    """The dispatcher of a server in a world with other processes: the world draws who is next.

    Args:
        world: the clock and the order.
        process: the server's; what is due or ready while it is frozen waits.
        wall: the machine's date, which may jump.
        weather: whether a turn comes late.
    """

    is_current = True
    in_pykka = False

    def __init__(self, world: World, process: Process, wall: Any, weather: Weather) -> None:
        super().__init__(UrnSource(f"{world.seed} {process.name} urns"))
        self.world = world
        self._strikes = weather.strikes if weather.faults.turn_late else None
        self.process = process
        self._clock = AnchoredClock(lambda: world.now, wall)
        self._dated_at, self._date = world.now, self._clock.utcnow()
        self.watchdog.limit_s = _FOREVER  # real time means nothing here
        self.turns = 0
        self.refusals = 0  # boards that did not take what they were offered
        self.active = False  # something but a sweep was done since this was last cleared
        self.stirs: Callable[[], None] = _nothing  # it is active from now on
        self.sweeps: object = None  # the function that sweeps
        guarded.add(process.loop)

    def now(self) -> float:
        """Virtual seconds."""
        return self.world.now

    def utcnow(self) -> datetime:
        """The date as this server believes it to be; it is asked for many times a moment."""
        now = self.world.now
        if now != self._dated_at:
            self._dated_at, self._date = now, self._clock.utcnow()
        return self._date

    def loop_here(self) -> asyncio.AbstractEventLoop:
        """The process's loop."""
        return self.process.loop

    def call_soon(self, function: Callable[[], object]) -> None:
        """Calls `function` in a turn."""
        self._accept_call(function)

    def deliver(self, mailbox: Mailbox, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Brings a message to a mailbox."""
        self._accept(mailbox, message, reply)

    def _make_ready(self, what: Mailbox | Calls) -> None:
        if self.process.dead:
            return
        turn = _Turn(self, what)
        if self._strikes is not None and self._strikes("turn_late"):
            at = self.world.now + _TURN_LATE_S * self.world.random.random()
            self.world.add(at, self.process, turn)
        else:
            self.world.make_ready(turn)

    def _alarm(self) -> None:
        """The world has the timers."""

    def _set_timer(self, at: float, handle: TimerHandle) -> None:
        if not self.process.dead:
            # A real clock has moved on by the time that a timer fires, also one that was set for
            # the little that a sum of two floats was short of.
            at = max(at, self.world.now + _MOVES_ON_S)
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
                if not self.active and function != self.sweeps:
                    self._stir()
                self._call(function)
                again = what.ready = bool(what.queue)
            else:
                assert what.queue is not None
                name = type(what.queue[0]).__name__
                actor: Any = what.actor
                self.world.note(f"{actor.kind} {actor.key} {name}")
                if name == "AssignRefused":
                    self.refusals += 1
                if not self.active and name != "Sweep":
                    self._stir()
                take(self, what, 1, _FOREVER, 0.0)
                again = bool(what.queue)
        finally:
            self.running = None
            current.turn = current.dispatcher = None
        if again:
            self._make_ready(what)

    def _stir(self) -> None:
        self.active = True
        self.stirs()

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

    def fire(self, handle: TimerHandle) -> None:
        """What is due: a function is called in a turn, an actor is told."""
        action, ref = handle.take()
        if ref is None:
            self.call_soon(action)
        elif ref.is_alive():
            ref.tell(action)

    def stop_all(self) -> None:
        """Stops every actor, in turns that follow."""
        self._ask_all_to_stop()


def _nothing() -> None:
    pass


class _Turn:
    __slots__ = ("_dispatcher", "_what", "process")

    def __init__(self, dispatcher: EngineDispatcher, what: Mailbox | Calls) -> None:
        self._dispatcher = dispatcher
        self._what = what
        self.process = dispatcher.process

    off = False

    def fire(self) -> None:
        self.process.world.make_ready(self)

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

    def _failed(self, kind: str, key: ReqID | WorkerUUID, error: BaseException, *more: Any) -> None:
        dispatcher = self.directory.dispatcher
        assert isinstance(dispatcher, EngineDispatcher)
        dispatcher.defect(f"the actor of {kind} {key} failed: {error!r}", error)
        super()._failed(kind, key, error, *more)

    def _tick(self) -> None:
        super()._tick()
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    @property
    def offered(self) -> Container[ReqID]:
        """Requests that a board was offered to, which has not answered yet."""
        matcher: Any = self.directory.matcher
        actor = matcher.actor_inbox.actor
        return () if actor is None else cast(Container[ReqID], actor._asked)

    def look(self) -> None:
        """A tick, now."""
        self._tick()

    def _sweep_later(self) -> None:
        """Sweeps every ten seconds, until nothing has happened for some of them."""
        dispatcher = self.directory.dispatcher
        assert isinstance(dispatcher, EngineDispatcher)
        self._sweeps_left -= 1
        if dispatcher.active:
            self._sweeps_left, dispatcher.active = _SWEEPS_AFTER, False
        if self._sweeps_left >= 0:
            self._sweep_timer = dispatcher.call_later(defaults.SWEEP_S, self._sweep)
        else:
            self._sweep_timer = None
            dispatcher.stirs, dispatcher.sweeps = self._stirred, self._sweep

    def _stirred(self) -> None:
        """Something happens again: the next sweep comes when it would have come anyway."""
        dispatcher = self.directory.dispatcher
        if self._sweep_timer is None:
            self._sweeps_left = _SWEEPS_AFTER
            passed = (dispatcher.now() - self.directory.started_at) % defaults.SWEEP_S
            self._sweep_timer = dispatcher.call_later(defaults.SWEEP_S - passed, self._sweep)

    def _sweep(self) -> None:
        """Asks whoever may find something: the matcher, and boards that are lent or out of step."""
        directory = self.directory
        store = directory.store
        matcher: Any = directory.matcher
        if matcher.actor_inbox.actor is None or matcher.actor_inbox.actor._asked:
            directory.tell_matcher(Sweep())
        known, requests = store.worker, store.request
        odd: list[WorkerUUID] = []
        ref: Any
        for uuid, ref in directory.workers.items():
            row = known(uuid)
            actor = ref.actor_inbox.actor
            if row is not None and actor is not None and actor._row is row:
                if row.request_id is None:
                    continue
                held = requests(row.request_id)
                if held is not None and held.state is ReqState.INPROGRESS:
                    continue
            odd.append(uuid)
        for uuid in odd:
            directory.tell_worker(uuid, Sweep())
        self._sweep_later()
