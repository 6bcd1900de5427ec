"""Speed and memory of the actor runtime, each beside what a bare loop or stock Pykka does.

The loop stands in a thread of its own, as in a Farm; what it costs to get there is part of the
figures "from another thread". Best of a few rounds: the machine's noise only ever slows down.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import pykka

from actors.runtime import LoopActor, LoopDispatcher
from benchmarks.result import result
from benchmarks.scale import Scale

now = time.perf_counter
ROUNDS = 3


class Idle(LoopActor):
    """As small as an actor of a farm: not in Pykka's registry."""

    use_pykka_registry = False


class Counter(Idle):
    """Counts what it is told and says when it has had enough."""

    def __init__(self, enough: list[int], done: threading.Event) -> None:
        super().__init__()
        self.enough = enough
        self.done = done

    def on_receive(self, message: object) -> object:
        self.enough[0] -= 1
        if not self.enough[0]:
            self.done.set()
        return message


class Echo(Idle):
    """Answers with what it is asked."""

    def on_receive(self, message: object) -> object:
        return message


class StockEcho(pykka.ThreadingActor):
    """The same with a thread of its own."""

    def on_receive(self, message: object) -> object:
        return message


class Flooder(Idle):
    """Never runs out of work: each message makes another one."""

    def on_receive(self, message: pykka.ActorRef[Any] | None) -> None:
        if message is not None:
            message.tell(self.actor_ref)


@contextmanager
def running() -> Iterator[tuple[asyncio.AbstractEventLoop, LoopDispatcher]]:
    """A loop in a thread of its own, with a dispatcher."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    dispatcher = LoopDispatcher(loop)
    try:
        yield loop, dispatcher
    finally:
        dispatcher.stop_all()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# --- memory: in a process of its own, so that nothing else moves its size
class _Plain:
    def __init__(self) -> None:
        self.urn, self.inbox, self.stopped, self.ref = f"urn:{id(self)}", None, None, None


def rss() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _rss_each(count: int, make: Callable[[], object]) -> float:
    gc.collect()
    before = rss()
    kept = [make() for _ in range(count)]
    gc.collect()
    return (rss() - before) / len(kept)


def print_rss(count: int) -> None:
    """Prints bytes per actor and per plain object; the entry of the child process."""
    with running() as (_, dispatcher):
        dispatcher.start(Echo).ask("warm")
        ours = _rss_each(count, lambda: dispatcher.start(Idle))
        dispatcher.start(Echo).ask("all have started")
        plain = _rss_each(count, _Plain)
        print(ours, plain)
        sys.stdout.flush()
        os._exit(0)  # stopping them all is another figure


def memory(count: int) -> dict[str, Any]:
    """RSS per idle actor."""
    code = f"from benchmarks.actors import print_rss; print_rss({count})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, plain = map(float, out.stdout.split())
    what = "an object with four attributes, one of them a string"
    return result("actors.rss_per_idle_actor", ours, "B", "lower", plain, what)


# --- tells
def _bare_queue(count: int) -> float:
    """Items a second through a deque to a loop, with one wake-up a batch and no actor."""
    with running() as (loop, _):
        items: deque[int] = deque()
        woken, done, left = threading.Lock(), threading.Event(), [count]

        def drain() -> None:
            woken.release()
            for _ in range(len(items)):
                items.popleft()
                left[0] -= 1
            if not left[0]:
                done.set()

        began = now()
        for item in range(count):
            items.append(item)
            if woken.acquire(False):
                loop.call_soon_threadsafe(drain)
        done.wait()
        return count / (now() - began)


def _tells(count: int, actors: int) -> float:
    with running() as (_, dispatcher):
        done, left = threading.Event(), [count]
        refs = [dispatcher.start(Counter, left, done) for _ in range(actors)]
        tells = [ref.tell for ref in refs]
        began = now()
        for tell in tells * (count // actors):
            tell(1)
        done.wait()
        return count / (now() - began)


def tells(count: int) -> list[dict[str, Any]]:
    """Tells a second from another thread, all of them handled."""
    bare = max(_bare_queue(count) for _ in range(ROUNDS))
    return [
        result(
            f"actors.tells_to_{actors}",
            max(_tells(count, actors) for _ in range(ROUNDS)),
            "1/s",
            "higher",
            bare,
            "a deque and one wake-up a batch, without actors",
        )
        for actors in (1, 1_000)
    ]


# --- asks
def _p50_us(count: int, once: Callable[[], object]) -> float:
    took = []
    for _ in range(count):
        began = now()
        once()
        took.append(now() - began)
    return median(took) * 1e6


async def _awaited_us(count: int, once: Callable[[], Any]) -> float:
    took = []
    for _ in range(count):
        began = now()
        await once()
        took.append(now() - began)
    return median(took) * 1e6


def asks(count: int) -> list[dict[str, Any]]:
    """Round trips: blocking from another thread, and awaited on the loop."""
    stock = StockEcho.start()
    try:
        threads = min(_p50_us(count, lambda: stock.ask(1)) for _ in range(ROUNDS))
    finally:
        stock.stop()
    with running() as (loop, dispatcher):
        ref = dispatcher.start(Echo)
        blocking = min(_p50_us(count, lambda: ref.ask(1)) for _ in range(ROUNDS))

        def bare() -> asyncio.Future[int]:
            future = loop.create_future()
            loop.call_soon(future.set_result, 1)
            return future

        def on_loop(once: Callable[[], Any]) -> float:
            return min(
                asyncio.run_coroutine_threadsafe(_awaited_us(count, once), loop).result()
                for _ in range(ROUNDS)
            )

        awaited, least = on_loop(lambda: ref.ask(1, block=False)), on_loop(bare)
    return [
        result(
            "actors.ask_from_thread_p50", blocking, "us", "lower", threads, "pykka.ThreadingActor"
        ),
        result(
            "actors.ask_awaited_p50", awaited, "us", "lower", least, "a bare future and call_soon"
        ),
    ]


# --- life
def _life(count: int) -> float:
    with running() as (_, dispatcher):
        began = now()
        for _ in range(count):
            dispatcher.start(Idle)
        dispatcher.stop_all()
        return now() - began


def _bare_life(count: int) -> float:
    with running() as (loop, _):
        done = threading.Event()
        began = now()
        kept = {id(plain): plain for plain in (_Plain() for _ in range(count))}

        def end() -> None:
            while kept:
                kept.popitem()
            done.set()

        loop.call_soon_threadsafe(end)
        done.wait()
        return now() - began


def life(count: int) -> dict[str, Any]:
    """Starting from another thread and stopping so many actors."""
    what = "so many plain objects, made and dropped"
    return result(
        f"actors.start_stop_{count}",
        min(_life(count) for _ in range(ROUNDS)),
        "s",
        "lower",
        min(_bare_life(count) for _ in range(ROUNDS)),
        what,
    )


# --- fairness
def _lag_ms(timers: int, flooders: int) -> float:
    """How late a timer of 1 ms is, p50, while so many actors send to each other for ever."""
    with running() as (_, dispatcher):
        refs = [dispatcher.start(Flooder) for _ in range(flooders)]
        for index, ref in enumerate(refs):
            ref.tell(refs[index - 1])
        late: list[float] = []
        done = threading.Event()

        def again() -> None:
            due = dispatcher.now() + 0.001

            def rang() -> None:
                late.append(dispatcher.now() - due)
                if len(late) < timers:
                    again()
                else:
                    done.set()

            dispatcher.call_later(0.001, rang)

        dispatcher.call_soon(again)
        done.wait()
        return median(late) * 1e3


def lag(timers: int, flooders: int) -> dict[str, Any]:
    """A timer's lag under a flood."""
    idle = min(_lag_ms(timers, 0) for _ in range(ROUNDS))
    flooded = min(_lag_ms(timers, flooders) for _ in range(ROUNDS))
    what = "the same timer on an idle loop"
    return result("actors.timer_lag_under_flood_p50", flooded, "ms", "lower", idle, what)


def run(scale: Scale) -> list[dict[str, Any]]:
    """All figures of the runtime."""
    part = scale.pick(1, 10, 500)
    return [
        memory(100_000 // part),
        *tells(1_000_000 // part),
        *asks(max(10, 10_000 // part)),
        life(100_000 // part),
        lag(max(10, 1_000 // part), scale.pick(1_000, 1_000, 10)),
    ]
