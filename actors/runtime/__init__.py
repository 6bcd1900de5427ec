"""Pykka actors that share one thread: on an event loop, or in a simulation with virtual time."""

from actors.runtime.actor import LoopActor
from actors.runtime.clocks import AnchoredClock, monotonic
from actors.runtime.deferred import Deferred
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.errors import DispatcherStopped, NeverSet, WouldBlock
from actors.runtime.flag import Flag
from actors.runtime.future import Future
from actors.runtime.loop import LoopDispatcher
from actors.runtime.ref import LoopRef
from actors.runtime.registry import Registry
from actors.runtime.simulated import SimDispatcher
from actors.runtime.timers import TimerHandle
from actors.runtime.watchdog import SlowTurn, Watchdog

__all__ = [
    "AnchoredClock",
    "Deferred",
    "Dispatcher",
    "DispatcherStopped",
    "Flag",
    "Future",
    "LoopActor",
    "LoopDispatcher",
    "LoopRef",
    "NeverSet",
    "Registry",
    "SimDispatcher",
    "SlowTurn",
    "TimerHandle",
    "Watchdog",
    "WouldBlock",
    "monotonic",
]
