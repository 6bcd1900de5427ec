"""Cables and connections between a server and the machines around it.

Heartbeats that would arrive are left out: while both ends and the cable between them are well,
either end is taken to have just heard the other. What silence follows from a cut, a kill or a
freeze is counted from a moment within the last beat, and judged by the code that judges it in
production.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.types import Caller
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.world import World

if TYPE_CHECKING:
    from boruta.testing.simulation.loop import SimFuture
    from boruta.testing.simulation.router import SimRouter

_LATENCY_S = 0.0005
_LATENCY_MORE_S = 0.0035  # at most
_LATE_S = 20.0  # at most, of a frame that is delayed
_DIALS_S = 1.5  # between tries, about
_TICK_S = 0.5  # both ends look twice a second; the phase is drawn


class Cable:
    """What lies between a machine and the server. A cut one keeps what was sent until it is mended.

    Attributes:
        up: the machine is heard by the server.
        down: the server is heard by the machine.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.up = self.down = True
        self.changed_at = 0.0
        self.wires: list[Wire] = []
        self._waiting: list[tuple[Process, SimFuture]] = []  # to dial
        self._dialed: tuple[SimRouter, float] | None = None  # while that one stood still

    def set(self, up: bool, down: bool) -> None:
        """Cuts or mends it."""
        self.up, self.down = up, down
        self.changed_at = self.network.world.now
        for wire in tuple(self.wires):
            wire.changed()
            wire.flush()
        self.call_again()

    @property
    def leads(self) -> bool:
        """A new connection comes to something: it is whole, and a server listens at its end."""
        router = self.network.router
        return self.up and self.down and router is not None and not router.process.dead

    def dials(self) -> bool:
        """Whether to dial; to a server that stands still, once: it finds that when it goes on."""
        router = self.network.router
        if router is None or not self.leads:
            return False
        process = router.process
        if not process.frozen:
            return True
        stands = (router, process.frozen_at)
        if self._dialed == stands:
            return False
        self._dialed = stands
        return True

    async def way(self, process: Process) -> None:
        """Waits until it leads somewhere: nobody dials in vain over and over."""
        found = process.loop.create_future()
        self._waiting.append((process, found))
        await found

    def call_again(self) -> None:
        """It was mended, or a server has started."""
        router = self.network.router
        if not self.leads or router is None or router.process.frozen:
            return
        waiting, self._waiting = self._waiting, []
        draw = self.network.world.random.random
        for process, found in waiting:
            process.loop.call_later(_DIALS_S * draw(), _set, found)


class End:
    """One end of a connection.

    Attributes:
        process: whose it is.
        take: takes what has come; runs in the process.
        inbox: frames that came and are not taken yet; None is the end of the connection.
    """

    def __init__(self, process: Process, beat_s: float, gone_s: float) -> None:
        self.process = process
        self.beat_s = beat_s
        self.gone_s = gone_s
        self.inbox: deque[bytes | None] = deque()
        self.take: Callable[[], None] = _nothing
        self.look: Callable[[], None] = _nothing  # judges silence; runs in the process
        self.set_heard: Callable[[float], None] = _nothing1
        self.heard_at: Callable[[], float] = lambda: 0.0
        self.hears = True
        self.watched = False
        self.open = True
        self.last_at = 0.0  # when the latest frame to this end arrives
        self.waits: deque[bytes | None] = deque()  # sent to this end over a cut cable


class _Frame:
    """A frame on its way to an end, and its arrival there."""

    __slots__ = ("_frame", "_to")
    off = False

    def __init__(self, to: End, frame: bytes | None) -> None:
        self._to = to
        self._frame = frame

    def fire(self) -> None:
        to = self._to
        if to.process.dead or not to.open:
            return
        if not to.inbox:  # else whoever takes the one before takes this one too
            to.process.call(self)
        to.inbox.append(self._frame)

    def run(self) -> None:
        to = self._to
        to.process.loop.context.run(to.take)


class Wire:
    """One connection: a machine's process at one end, the server's at the other."""

    def __init__(
        self, network: Network, cable: Cable, near: End, far: End, caller: Caller, host: str
    ) -> None:
        self.network = network
        self.world = network.world
        self.cable = cable
        self.near, self.far = near, far
        self.caller = caller
        self.host = host
        cable.wires.append(self)

    # --- frames
    def send(self, to: End, frame: bytes | None) -> None:
        """A frame leaves for an end; None says that the sender has closed."""
        if frame is None:
            befalls: tuple[str, ...] = ()
        else:
            sender = self.far if to is self.near else self.near
            if sender.process.dead or not sender.open or not to.open:
                return
            befalls = self.network.weather.befalls()
        if befalls and befalls[0] == "lost":
            self.network.weather.counts["lost"] += 1
        elif self._passes(to):
            self._launch(to, frame, befalls)
        else:
            to.waits.append(frame)

    def _passes(self, to: End) -> bool:
        return self.cable.up if to is self.far else self.cable.down

    def _launch(self, to: End, frame: bytes | None, befalls: tuple[str, ...]) -> None:
        world = self.world
        at = world.now + _LATENCY_S + _LATENCY_MORE_S * world.random.random()
        if befalls:
            draw, counts = world.random.random, self.network.weather.counts
            for name in befalls:
                counts[name] += 1
            if "doubled" in befalls:
                late = _LATE_S * draw() if draw() < 0.5 else _LATENCY_S + _LATENCY_MORE_S
                world.add(world.now + late, None, _Frame(to, frame))
            if "reordered" in befalls:
                world.add(at + draw(), None, _Frame(to, frame))
                return
            if "delayed" in befalls:
                at += _LATE_S * draw()
        if at < to.last_at:
            at = to.last_at
        to.last_at = at
        world.add(at, None, _Frame(to, frame))

    def flush(self) -> None:
        """What waited for the cable goes."""
        for to in (self.near, self.far):
            if self._passes(to):
                waiting, to.waits = to.waits, deque()
                for frame in waiting:
                    self._launch(to, frame, ())

    # --- its end
    def close(self, side: End) -> None:
        """One end closes, or its process dies: the other hears of it, if it can."""
        if not side.open:
            return
        side.open = False
        other = self.far if side is self.near else self.near
        if other.open:
            self.send(other, None)
        else:
            self._forget()

    def _forget(self) -> None:
        if self in self.cable.wires:
            self.cable.wires.remove(self)

    # --- silence
    def changed(self) -> None:
        """The cable, or a process at one end, has changed: who hears whom?"""
        near, far = self.near, self.far
        self._hearing(far, self.cable.up and near.process.runs and near.open)
        # The server echoes what it hears: it says nothing to whom it does not hear.
        self._hearing(near, self.cable.down and self.cable.up and far.process.runs and far.open)

    def _hearing(self, end: End, hears: bool) -> None:
        if hears is end.hears:
            return
        end.hears = hears
        now, draw = self.world.now, self.world.random.random
        if hears:
            end.set_heard(now)
            return
        end.set_heard(max(end.heard_at(), now - draw() * end.beat_s))
        self.watch(end)

    def watch(self, end: End) -> None:
        """Looks at an end that hears nothing when its patience is over."""
        if end.watched or end.look is _nothing:
            return
        end.watched = True

        def look() -> None:
            end.watched = False
            if end.hears or not end.open or end.process.dead:
                return
            if end.process.runs:
                end.process.loop.call_soon(end.look)
            self.watch(end)

        at = max(end.heard_at() + end.gone_s, self.world.now)
        self.world.later(at - self.world.now + _TICK_S * self.world.random.random() + 1e-3, look)

    def refresh(self, end: End) -> None:
        """Where heartbeats come, one has just come."""
        if end.hears:
            end.set_heard(self.world.now)


class Network:
    """All cables, and the one address at which the server of the moment is found."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.cables: dict[str, Cable] = {}
        self.router: SimRouter | None = None  # of the server that listens now

    def cable(self, name: str) -> Cable:
        """The cable of a machine."""
        return self.cables.setdefault(name, Cable(self, name))

    def dial(self, cable: Cable, near: End, caller: Caller, host: str) -> Wire | BorutaError:
        """A connection; none if nothing listens, or the cable is cut."""
        router = self.router
        if router is None or not cable.leads:
            return Unreachable("nothing answers")
        far = router.end()
        wire = Wire(self, cable, near, far, caller, host)
        far.take = lambda: router.take(wire)
        wire.changed()
        return wire

    def listens(self, router: SimRouter) -> None:
        """A server has started."""
        self.router = router
        for cable in self.cables.values():
            cable.call_again()

    def process_changed(self, process: Process) -> None:
        """A process was frozen, resumed or killed."""
        if self.router is not None and self.router.process is process and process.runs:
            for cable in self.cables.values():
                cable.call_again()
        for cable in self.cables.values():
            for wire in tuple(cable.wires):
                for end in (wire.near, wire.far):
                    if end.process is process and process.dead:
                        wire.close(end)
                if process in (wire.near.process, wire.far.process):
                    wire.changed()


def _set(found: SimFuture) -> None:
    if not found.done():
        found.set_result(None)


def _nothing() -> None:
    pass


def _nothing1(_: float) -> None:
    pass
