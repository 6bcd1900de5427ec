"""One thread, one clock, one seed: everything that happens in a simulation is a step of its world.

Whatever is ready runs before time goes on; which process, and which actor in it, is next is drawn.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

_NOTES = 4096  # lines that go into the digest at once
MOMENT_STEPS = 100_000  # a farm at rest again needs a few hundred


class Livelock(AssertionError):
    """The simulation goes round in circles while time stands still."""


class Timer(Protocol):
    """Something to do later."""

    @property
    def off(self) -> bool:
        """It is not wanted any more."""
        ...

    def fire(self) -> None:
        """Its time has come."""
        ...


class Runnable(Protocol):
    """Something that has a step to do."""

    @property
    def process(self) -> Process:
        """In which process."""
        ...

    def step(self) -> None:
        """Does one; puts itself among the ready ones again if there is more."""
        ...


class Later:
    """A function to call later, outside of any process: the network, the faults, the people."""

    __slots__ = ("_function", "off")

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self.off = False

    def fire(self) -> None:
        """Calls it."""
        self.off = True
        self._function()

    def cancel(self) -> None:
        """It is not called."""
        self.off = True


class World:
    """The clock, what is ready, what is due, and the digest of all that was done.

    Args:
        seed: the same seed gives the same run, whatever PYTHONHASHSEED is.

    Attributes:
        now: virtual seconds.
        random: the seed's own generator.
        steps: how many were done.
        quiet: called when nothing is left to do at this moment, before time goes on.
        broken: raised by `run` as soon as it is set, from wherever that was.
        trace: called with each line of the trace, if set.
    """

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self.now = 0.0
        self.random = random.Random(f"{seed} world")
        self.steps = 0
        self.quiet: Callable[[], None] = _nothing
        self.broken: BaseException | None = None
        self.trace: Callable[[str], None] | None = None
        self._digest = hashlib.blake2b(digest_size=16)
        self._notes: list[str] = []  # not in the digest yet
        self._noted_at = -1.0
        self._ready: list[Runnable] = []
        self._heap: list[tuple[float, int, Process | None, Timer]] = []
        self._count = 0
        self._sweep_at = 4096
        # Of code that draws from the module `random`: a reconnect's jitter.
        self._global = random.Random(f"{seed} global").getstate()

    @property
    def digest(self) -> str:
        """Of every step so far."""
        self._take_notes()
        return self._digest.hexdigest()

    def note(self, line: str) -> None:
        """Adds a line to the trace."""
        now, notes = self.now, self._notes
        if now != self._noted_at:
            self._noted_at = now
            notes.append(repr(now))
        notes.append(line)
        if len(notes) > _NOTES:
            self._take_notes()
        if self.trace is not None:
            self.trace(f"{now:.6f} {line}")

    def _take_notes(self) -> None:
        self._digest.update("\n".join([*self._notes, ""]).encode())
        self._notes.clear()

    # --- what is to be done
    def make_ready(self, what: Runnable) -> None:
        """It has a step to do."""
        self._ready.append(what)

    def add(self, at: float, process: Process | None, timer: Timer) -> None:
        """Fires `timer` at `at`, in a process if there is one."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, process, timer))
        if len(self._heap) > self._sweep_at:
            self._heap = [
                one for one in self._heap
                if not one[3].off and not (one[2] is not None and one[2].dead)
            ]
            heapq.heapify(self._heap)
            self._sweep_at = max(4096, 2 * len(self._heap))

    def later(self, seconds: float, function: Callable[[], object]) -> Later:
        """Calls `function` after `seconds`, outside of any process."""
        timer = Later(function)
        self.add(self.now + seconds, None, timer)
        return timer

    def timers_of(self, process: Process) -> list[Timer]:
        """What a process has still to do."""
        return [one[3] for one in self._heap if one[2] is process and not one[3].off]

    # --- doing it
    def run(self, until: float) -> None:
        """Lets time go on to `until`, with everything that happens meanwhile."""
        outside = random.getstate()
        random.setstate(self._global)
        before = asyncio._get_running_loop()
        collects = gc.isenabled()
        gc.disable()  # a quarter of the time: what lives here lives long
        try:
            self._run(until)
        finally:
            if collects:
                gc.enable()
            asyncio._set_running_loop(before)
            self._global = random.getstate()
            random.setstate(outside)

    def _run(self, until: float) -> None:
        ready, draw = self._ready, self.random.random
        moment, since = self.now, self.steps
        while True:
            heap = self._heap
            while heap and heap[0][0] <= self.now:
                _, _, process, timer = heapq.heappop(heap)
                if timer.off:
                    continue
                if process is None:
                    asyncio._set_running_loop(None)
                    timer.fire()
                else:
                    process.fire(timer)
                heap = self._heap
            if ready:
                index = int(draw() * len(ready))
                what = ready[index]
                ready[index] = ready[-1]
                ready.pop()
                process = what.process
                if process.frozen:
                    process.held.append(what)
                    continue
                self.steps += 1
                if self.steps - since > MOMENT_STEPS:
                    if self.now == moment:
                        raise Livelock(f"{MOMENT_STEPS} steps at {self.now:.3f} s: no end of it")
                    moment, since = self.now, self.steps
                    gc.collect()
                asyncio._set_running_loop(process.loop)
                what.step()
                if self.broken is not None:
                    raise self.broken
                continue
            asyncio._set_running_loop(None)
            self.quiet()
            if self.broken is not None:
                raise self.broken
            if ready or (heap and heap[0][0] <= self.now):
                continue
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return
            self.now = heap[0][0]


class Process:
    """A program on some machine: an event loop that can be frozen, or killed with all it had.

    Attributes:
        dead: it was killed; what is left of it only unwinds, cut off from the rest of the world.
        frozen: it does nothing until it is resumed, as after SIGSTOP.
    """

    def __init__(self, world: World, name: str) -> None:
        from boruta.testing.simulation.loop import SimLoop

        self.world = world
        self.name = name
        self.dead = False
        self.frozen = False
        self.frozen_at = 0.0
        self.held: list[Runnable] = []  # ready, but frozen
        self._due: list[Timer] = []  # due, but frozen
        self._calls: deque[asyncio.Handle] = deque()
        self._ready = False
        self.loop = SimLoop(self)  # type: ignore[abstract]  # what it has not, nobody calls
        # A server's runs each call as a turn of its actors' dispatcher.
        self.run_call: Callable[[asyncio.Handle], None] = asyncio.Handle._run

    @property
    def process(self) -> Process:
        """It is its own."""
        return self

    @property
    def runs(self) -> bool:
        """It is neither dead nor frozen."""
        return not (self.dead or self.frozen)

    def call(self, handle: asyncio.Handle) -> None:
        """Runs a handle in a step of its own, in order."""
        self._calls.append(handle)
        if not self._ready:
            self._ready = True
            self.world.make_ready(self)

    def step(self) -> None:
        """Runs the oldest call."""
        handle = self._calls.popleft()
        if self._calls:
            self.world.make_ready(self)
        else:
            self._ready = False
        if not handle.cancelled():
            self.world.note(self.name)
            self.run_call(handle)

    def fire(self, timer: Timer) -> None:
        """A timer of this process is due."""
        if self.dead:
            return
        if self.frozen:
            self._due.append(timer)
            return
        asyncio._set_running_loop(self.loop)
        timer.fire()

    def freeze(self) -> None:
        """Stops where it stands."""
        self.frozen, self.frozen_at = True, self.world.now

    def resume(self) -> None:
        """Goes on; what became due meanwhile is due now, in order."""
        if not self.frozen:
            return
        self.frozen = False
        held, self.held = self.held, []
        for what in held:
            self.world.make_ready(what)
        due, self._due = self._due, []
        for timer in due:
            self.world.add(self.world.now, self, timer)

    def kill(self) -> None:
        """Ends it: its tasks unwind, its timers never fire."""
        if self.dead:
            return
        self.dead = True
        self._due.clear()
        self.resume()
        self.loop.cancel_all()


def _nothing() -> None:
    pass
