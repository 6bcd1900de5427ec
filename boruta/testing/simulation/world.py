"""One thread, one clock, one seed: everything that happens in a simulation is a step of its world.

Whatever is ready runs before time goes on; which process, and which actor in it, is next is drawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from boruta.testing.simulation.process import Process

_NOTES = 4096  # lines that go into the digest at once
_COLLECT_STEPS = 100_000
_UNWINDINGS = 3  # what unwinds may begin something
MOMENT_STEPS = 20_000  # a farm at rest again needs a few hundred
MOMENT_S = 0.1  # a timer that is set again and again moves time on by next to nothing


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


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No garbage is collected inside of this by itself; that is a quarter of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def heap_of_its_own() -> Iterator[None]:
    """What is there already is not looked at when garbage is collected inside of this."""
    with collector_off():
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()


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
        self.serials = itertools.count()  # of tasks and futures
        self.processes: list[Process] = []  # all there ever were: see `SimLoop._tasks`
        self._digest = hashlib.blake2b(digest_size=16)
        self._notes: list[str] = []  # not in the digest yet
        self._noted_at = -1.0
        self._ready: list[Runnable] = []
        self._heap: list[tuple[float, int, Process | None, Timer]] = []
        self._count = 0
        self._sweep_at = 4096
        self._since = self._collected = 0  # steps
        self._moment = 0.0
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
            notes.append(f"{now!r} {self.steps}")
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
            self._heap[:] = [
                one
                for one in self._heap
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
        try:
            with collector_off():
                self._run(until)
        finally:
            asyncio._set_running_loop(before)
            self._global = random.getstate()
            random.setstate(outside)

    def _run(self, until: float) -> None:
        ready, heap, draw = self._ready, self._heap, self.random.random
        pop, enter = heapq.heappop, asyncio._set_running_loop
        self._since, self._moment = self.steps, self.now
        while True:
            now = self.now
            while heap and heap[0][0] <= now:
                _, _, process, timer = pop(heap)
                if timer.off:
                    continue
                if process is None:
                    timer.fire()
                else:
                    process.fire(timer)
            if ready:
                entered: Process | None = None
                while ready:
                    if len(ready) == 1:
                        what = ready.pop()
                    else:
                        index = int(draw() * len(ready))
                        what = ready[index]
                        ready[index] = ready[-1]
                        ready.pop()
                    process = what.process
                    if process.frozen:
                        process.held.append(what)
                        continue
                    self.steps += 1
                    if self.steps - self._since > MOMENT_STEPS:
                        entered = None
                        self._many_steps()
                    if process is not entered:
                        enter(process.loop)
                        entered = process
                    what.step()
                    if self.broken is not None:
                        raise self.broken
                enter(None)
            self.quiet()
            if self.broken is not None:
                raise self.broken
            if ready:
                continue
            if not heap or heap[0][0] > until:
                self.now = max(now, until)
                return
            if heap[0][0] > now:
                self.now = heap[0][0]

    def end(self) -> None:
        """Everything unwinds at once, and nothing is left that the garbage collector could wake.

        A coroutine that is collected unwinds then, in whatever runs at that moment. Idempotent.
        """
        self.quiet, self.trace = _nothing, None
        before = asyncio._get_running_loop()
        try:
            for _ in range(_UNWINDINGS):
                for process in self.processes:
                    process.kill()
                    process.loop.cancel_all()
                steps = 0
                while self._ready and steps < MOMENT_STEPS:
                    steps += 1
                    what = self._ready.pop()
                    asyncio._set_running_loop(what.process.loop)
                    with contextlib.suppress(Exception):
                        what.step()
            for process in self.processes:
                asyncio._set_running_loop(process.loop)
                process.loop.drop_all()
        finally:
            asyncio._set_running_loop(before)
        for kept in (self._ready, self._heap, self.processes):
            kept.clear()

    def _many_steps(self) -> None:
        """After so many steps, time must have moved on."""
        if self.now - self._moment < MOMENT_S:
            raise Livelock(f"{MOMENT_STEPS} steps at {self.now:.3f} s: no end of it")
        self._moment, self._since = self.now, self.steps
        if self.steps - self._collected > _COLLECT_STEPS:
            self._collected = self.steps
            asyncio._set_running_loop(None)  # of what it finds, some unwinds
            gc.collect()


def _nothing() -> None:
    pass
