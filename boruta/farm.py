"""A whole farm in this process: server, agents and boards, for test harnesses that embed it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from boruta.blocking import BlockingRequests, BlockingWorkers
from boruta.closing import Closing
from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.errors import BadRequest, ShuttingDown, TimedOut
from boruta.domain.history import Event
from boruta.domain.types import (
    NOBODY,
    Caller,
    Priority,
    ReqID,
    Role,
    UserInfo,
    WorkerState,
    WorkerUUID,
)
from boruta.loops import GuardedLoop, LoopThread

if TYPE_CHECKING:
    import pykka

    from boruta.agents import Agents
    from boruta.client import Client
    from boruta.config import ServerConfig
    from boruta.delivery import Delivery, Subscribed
    from boruta.domain.ports import Subscription
    from boruta.refs import FarmActors
    from boruta.reservation import Reservation
    from boruta.serving import Running

T = TypeVar("T")
SIMULATE_WITHIN_S: Final = 60.0
_CLOSE_GRACE_S: Final = 0.2  # for the goodbye to leave; all peers are on this machine
_open: set[Farm] = set()  # those never closed are closed at exit


class Farm(BlockingRequests, BlockingWorkers, Closing):
    """A server in this process, on a thread and loop of its own; loopback only by default.

    It may be used from any number of threads, and beside a running loop (Jupyter). One that is
    never closed is closed at the interpreter's exit; in a forked child it is closed already.

    Args:
        data: the data directory; None makes a temporary one, removed at `close`.
        bind: the ZeroMQ address.
        config: a `boruta.config.ServerConfig`, or a path of a boruta.toml.

    Raises:
        BorutaError: the server could not start; the text says why.
    """

    def __init__(
        self,
        *,
        data: str | os.PathLike[str] | None = None,
        bind: str = "tcp://127.0.0.1:0",
        config: ServerConfig | str | os.PathLike[str] | None = None,
    ) -> None:
        from boruta.imports import check_imports

        check_imports()
        from boruta.serving import farm_config

        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._running: Running | None = None
        self._client: Client | None = None
        self._delivery: Delivery | None = None
        self._agents: list[Agents] = []
        self._own_data = data is None
        self._data = Path(tempfile.mkdtemp(prefix="boruta-farm-") if data is None else data)
        self._thread: LoopThread | None = None
        try:
            settings = farm_config(config, self._data.absolute(), bind, kept=not self._own_data)
            self._thread = LoopThread(name="boruta-farm")
            self._start(settings, self._thread)
        except BaseException:
            self.close()
            raise
        _open.add(self)

    def _start(self, settings: ServerConfig, thread: LoopThread) -> None:
        from boruta.client import Client
        from boruta.serving import Running

        self._running = running = thread.call(
            lambda: Running.open(settings), undo=lambda late: late.close(grace_s=0.0)
        )
        caller = Caller("local", Role.ADMIN)
        front = running.engine.front
        requests, workers = front.requests(caller), front.workers(caller)
        self._client = Client.in_process(
            requests, workers, thread.loop, feed=front.feed(caller), info=front.info,
            history=front.history,
        )  # fmt: skip
        guarded = GuardedLoop(thread.loop, lambda: self._live)
        BlockingRequests.__init__(self, guarded, lambda: requests)
        BlockingWorkers.__init__(self, guarded, lambda: workers)

    # --- what it is
    @property
    def url(self) -> str:
        """The ZeroMQ address under which clients and agents reach the farm."""
        return self._live.url

    @property
    def data(self) -> Path:
        """The data directory; `boruta --data DIR ...` talks to this farm."""
        return self._data

    @property
    def actors(self) -> FarmActors:
        """Refs of the engine's own actors."""
        from boruta.refs import FarmActors

        return FarmActors(self._live.engine.system.directory)

    @property
    def requests(self) -> BlockingRequests:
        """The seed's Requests."""
        return self._ours.requests

    @property
    def workers(self) -> BlockingWorkers:
        """The seed's Workers."""
        return self._ours.workers

    @property
    def _live(self) -> Running:
        running, thread = self._running, self._thread
        if self._closed or running is None or thread is None or os.getpid() != self._pid:
            raise ShuttingDown("the farm is closed: make a new Farm")
        if running.stopped.is_set() or (
            running.engine.stopped_from_outside and thread.call(running.surely_stopped)
        ):
            raise ShuttingDown(
                "the farm is closed: its actors were stopped from outside "
                "(pykka.ActorRegistry.stop_all stops every actor of the process): make a new Farm"
            )
        return running

    def _check_open(self) -> None:
        _ = self._live

    @property
    def _ours(self) -> Client:
        self._check_open()
        assert self._client is not None
        return self._client

    # --- boards
    def simulate(
        self,
        n: int = 1,
        *,
        caps: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        timeout: float = SIMULATE_WITHIN_S,
    ) -> list[WorkerUUID]:
        """Starts real agents with simulated boards in a process of their own.

        Args:
            n: how many.
            caps: capabilities of each, beside its UUID.
            groups: the workers' groups.
            timeout: seconds within which all must be IDLE.

        Returns:
            Their UUIDs, once all are IDLE.

        Raises:
            BadRequest: less than one.
            BoardLost: their process ended.
            TimedOut: they were not ready in time; those that are stay.
        """
        from boruta.agents import Agents

        if n < 1:
            raise BadRequest(f"simulate: {n} boards (want 1 or more)")
        self._check_open()
        until = time.monotonic() + timeout
        with self._lock:
            if self._closed:
                raise ShuttingDown("the farm is closed: make a new Farm")
            agents = Agents(self._data, n, caps, groups)
            self._agents.append(agents)
        found = agents.uuids(timeout)
        self._wait_idle(found, until)
        return found

    def _wait_idle(self, uuids: Sequence[WorkerUUID], until: float) -> None:
        changed = threading.Event()
        waits = list(uuids)
        with contextlib.closing(self.subscribe(lambda _: changed.set())):
            while True:
                infos = [self.get_worker_info(uuid) for uuid in waits]
                waits = [i.worker_uuid for i in infos if i.state is not WorkerState.IDLE]
                if not waits:
                    return
                if not changed.wait(max(0.0, until - time.monotonic())):
                    late = next(i for i in infos if i.worker_uuid == waits[0])
                    raise TimedOut(
                        f"{len(waits)} of {len(uuids)} boards are not IDLE in time: worker "
                        f"{late.worker_uuid} is {late.state.value} ({late.reason or 'no reason'})"
                    )
                changed.clear()

    # --- what a client does
    def reserve(self, caps: Mapping[str, str], **options: Any) -> Reservation:
        """A board with these capabilities; see `Client.reserve`."""
        return self._ours.reserve(caps, **options)

    def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority = defaults.PRIORITY,
        owner: UserInfo = NOBODY,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        **options: Any,
    ) -> ReqID:
        """Queues a request; see `Requests.new_request`."""
        return super().new_request(caps, priority, owner, valid_after, deadline, **options)

    def attach(self, req_id: ReqID, *, timeout: float | None = None) -> Reservation:
        """The board of a request that exists; see `Client.attach`."""
        return self._ours.attach(req_id, timeout=timeout)

    def info(self) -> Mapping[str, Any]:
        """Plain facts about the server."""
        return self._ours.info()

    def history(self, **which: Any) -> Sequence[Event]:
        """Who did what, when and why; see `Client.history`."""
        return self._ours.history(**which)

    def subscribe(
        self,
        target: pykka.ActorRef[Any] | Callable[[Change], None],
        kinds: Sequence[str] | None = None,
    ) -> Subscribed:
        """Tells an actor of yours, or calls you back, with each change.

        All deliveries come on one thread; a subscriber that is too slow gets a `Gap`. That of an
        actor that has stopped ends.

        Args:
            target: a ref of any Pykka runtime, told; or a callable, called.
            kinds: only changes of these kinds.
        """
        from boruta.delivery import Delivery, Subscribed

        running, thread = self._live, self._thread
        assert thread is not None
        with self._lock:
            if self._delivery is None:
                self._delivery = Delivery()
            deliver = target.tell if hasattr(target, "tell") else target
            lane = self._delivery.lane(deliver)
        feed = running.engine.system.directory.feed

        async def begin() -> Subscription:
            def put(change: Change) -> None:
                lane.put(change)
                if lane.closed:
                    inner.close()

            _, inner = feed.subscribe(put, kinds=kinds)
            return inner

        return Subscribed(thread, thread.call(begin), lane)

    # --- the end
    def close(self) -> None:
        """Gives boards back, ends agents, server and thread; idempotent, also from atexit."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        _open.discard(self)
        if os.getpid() != self._pid:
            return  # a forked child: threads, agents and files are the parent's
        for agents in self._agents:
            agents.let_go()
        try:
            self._stop_server()
        finally:
            for agents in self._agents:
                agents.end()
            if self._delivery is not None:
                self._delivery.close()
            if self._own_data:
                shutil.rmtree(self._data, ignore_errors=True)

    def _stop_server(self) -> None:
        thread, running = self._thread, self._running
        if thread is None:
            return
        try:
            if running is not None:
                # Closed from one of its own threads, or by somebody who gave up: no harm.
                with contextlib.suppress(ShuttingDown, asyncio.CancelledError):
                    thread.call(lambda: running.close("the farm is closed", _CLOSE_GRACE_S))
        finally:
            thread.stop()


@atexit.register
def _close_all() -> None:
    for farm in tuple(_open):
        farm.close()
