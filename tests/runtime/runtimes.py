"""The three runtimes behind one face, so that one contract can be checked on each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pykka

from actors.runtime import Dispatcher, Future, LoopActor, LoopDispatcher, SimDispatcher

WITHIN_S = 5.0  # how long a test waits for what must come


@dataclass
class Runtime:
    """One way to run actors.

    Attributes:
        base: what an actor class derives from.
        dispatcher: None for threads.
        event: makes an event that the test and actors may share.
        future: makes an empty future.
        pause: what a handler that takes a while calls, with seconds.
    """

    name: str
    base: type[pykka.Actor]
    dispatcher: Dispatcher | None
    event: Callable[[], threading.Event]
    future: Callable[[], pykka.Future[Any]]
    pause: Callable[[float], None]

    def actor(self, behaviour: type) -> type[Any]:
        """An actor class that behaves as the plain class says."""
        return type(behaviour.__name__, (behaviour, self.base), {})

    def start(self, behaviour: type, *args: Any) -> pykka.ActorRef[Any]:
        """Starts an actor that behaves so."""
        ref: pykka.ActorRef[Any] = self.actor(behaviour).start(*args)
        return ref

    def settle(self, ref: pykka.ActorRef[Any]) -> None:
        """Waits until the actor has handled what it got so far, or is gone."""
        try:
            ref.ask(pykka.messages.ProxyGetAttr(attr_path=("actor_urn",)), timeout=WITHIN_S)
        except pykka.ActorDeadError:
            ref.actor_stopped.wait(WITHIN_S)


class _Daemon(pykka.ThreadingActor):
    use_daemon_thread = True


@contextmanager
def threads() -> Iterator[Runtime]:
    """Stock Pykka: what we are measured against."""
    yield Runtime("threads", _Daemon, None, threading.Event, pykka.ThreadingFuture, time.sleep)
    pykka.ActorRegistry.stop_all(block=False)


@contextmanager
def running_loop(
    make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> Iterator[tuple[asyncio.AbstractEventLoop, LoopDispatcher]]:
    """A loop in a thread of its own, with a dispatcher."""
    loop = make()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    dispatcher = LoopDispatcher(loop)
    try:
        yield loop, dispatcher
    finally:
        dispatcher.stop_all()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN_S)
        loop.close()


@contextmanager
def looping() -> Iterator[Runtime]:
    """Ours on an event loop in another thread."""
    with running_loop() as (_, dispatcher):
        base = LoopActor.bound(dispatcher)
        yield Runtime("loop", base, dispatcher, threading.Event, Future, time.sleep)


@contextmanager
def simulated(seed: int = 7) -> Iterator[Runtime]:
    """Ours in a simulation."""
    sim = SimDispatcher(seed)
    yield Runtime("simulated", LoopActor.bound(sim), sim, sim.event, lambda: Future(sim), sim.sleep)
    sim.stop_all()


ALL = {"threads": threads, "loop": looping, "simulated": simulated}
