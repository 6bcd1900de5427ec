"""A program on a machine: what its loop has to call, frozen, or killed with all it had."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from boruta.testing.simulation.loop import SimLoop
from boruta.testing.simulation.world import MOMENT_STEPS, Runnable, Timer, World


class Call(Protocol):
    """What a loop has to call."""

    def run(self) -> None:
        """Calls it."""
        ...


class Process:
    """A program on some machine: an event loop that can be frozen, or killed with all it had.

    Attributes:
        dead: it was killed; what is left of it only unwinds, cut off from the rest of the world.
        frozen: it does nothing until it is resumed, as after SIGSTOP.
        calls: what its loop is to call.
        ready: it is among those that have a step to do.
        single: a step is one call. Else it is all that there are: nobody sees more of a program
            than what it sends, and that arrives later.
    """

    def __init__(self, world: World, name: str, *, single: bool = False) -> None:
        self.world = world
        self.name = name
        self.single = single
        self.dead = False
        self.frozen = False
        self.frozen_at = 0.0
        self.held: list[Runnable] = []  # ready, but frozen
        self._due: list[Timer] = []  # due, but frozen
        self.calls: deque[Call] = deque()
        self.ready = False
        self.loop = SimLoop(self)  # type: ignore[abstract]  # what it has not, nobody calls
        world.processes.append(self)

    @property
    def process(self) -> Process:
        """It is its own."""
        return self

    @property
    def runs(self) -> bool:
        """It is neither dead nor frozen."""
        return not (self.dead or self.frozen)

    def call(self, what: Call) -> None:
        """Has it called in a step, in order."""
        self.calls.append(what)
        if not self.ready:
            self.ready = True
            self.world.make_ready(self)

    def step(self) -> None:
        """Calls what is to be called: the oldest, or all."""
        calls, world = self.calls, self.world
        world.note(self.name)
        for _ in range(1 if self.single else MOMENT_STEPS):
            world.steps += 1
            call = calls.popleft()
            try:
                call.run()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                what = f"an exception in {call!r}"
                self.loop.call_exception_handler({"message": what, "exception": error})
            if not calls:
                self.ready = False
                return
        world.make_ready(self)

    def fire(self, timer: Timer) -> None:
        """A timer of this process is due."""
        if self.dead:
            return
        if self.frozen:
            self._due.append(timer)
            return
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
