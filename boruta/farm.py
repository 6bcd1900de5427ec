"""A whole farm in this process: server, agents and boards, for test harnesses that embed it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.errors import (
    BorutaError,
    NotFoundError,
    ShuttingDown,
    TimedOut,
)
from boruta.domain.types import (
    Caller,
    Priority,
    ReqID,
    Role,
    UserInfo,
    WorkerState,
    WorkerUUID,
)

if TYPE_CHECKING:
    import pykka

    from boruta.client import Client
    from boruta.config import ServerConfig
    from boruta.delivery import Delivery
    from boruta.reservation import Reservation
    from boruta.serving import Running

_SIMULATE_WITHIN_S = 60.0
_open: weakref.WeakSet[Farm] = weakref.WeakSet()


class FarmActors:
    """Refs of the engine's own actors; they take the messages of `actors/messages.py`."""

    def __init__(self, running: Running) -> None:
        self._directory = running.engine.system.directory

    @property
    def matcher(self) -> pykka.ActorRef[Any]:
        """The matcher."""
        ref = self._directory.matcher
        if ref is None:
            raise ShuttingDown("the farm is closed")
        return ref

    def worker(self, uuid: WorkerUUID) -> pykka.ActorRef[Any]:
        """The worker's actor.

        Raises:
            NotFoundError: no such worker.
        """
        try:
            return self._directory.workers[uuid]
        except KeyError:
            raise NotFoundError(f"worker {uuid} not found") from None

    def request(self, req_id: ReqID) -> pykka.ActorRef[Any]:
        """The request's actor.

        Raises:
            NotFoundError: no such request, or it has ended.
        """
        try:
            return self._directory.requests[req_id]
        except KeyError:
            raise NotFoundError(f"request {req_id} not found among the live ones") from None


class Farm:
    """A server in this process, on a thread and loop of its own; loopback only by default.

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
        from boruta.serving import check_imports

        check_imports()
        self._own_data = data is None
        self._data = Path(tempfile.mkdtemp(prefix="boruta-farm-") if data is None else data)
        self._children: list[subprocess.Popen[str]] = []
        self._delivery: Delivery | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._running: Running
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="boruta-farm", daemon=True)
        self._thread.start()
        try:
            self._start(bind, config)
        except BaseException:
            self.close()
            raise
        _open.add(self)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _start(self, bind: str, config: ServerConfig | str | os.PathLike[str] | None) -> None:
        from boruta.client import Client
        from boruta.serving import Running, farm_config

        settings = farm_config(config, self._data, bind)
        self._running = self._call(Running.open(settings))
        caller = Caller("local", Role.ADMIN)
        front = self._running.engine.front
        self._client: Client = Client.in_process(
            front.requests(caller), front.workers(caller), self._loop
        )

    def _call(self, coroutine: Any, timeout: float | None = 30.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    @property
    def url(self) -> str:
        """The ZeroMQ address under which clients and agents reach the farm."""
        return self._running.url

    @property
    def data(self) -> Path:
        """The data directory; `boruta --data DIR ...` talks to this farm."""
        return self._data

    @property
    def actors(self) -> FarmActors:
        """Refs of the engine's own actors."""
        self._check_open()
        return FarmActors(self._running)

    @property
    def requests(self) -> Any:
        """The seed's Requests."""
        self._check_open()
        return self._client.requests

    @property
    def workers(self) -> Any:
        """The seed's Workers."""
        self._check_open()
        return self._client.workers

    def _check_open(self) -> None:
        if self._closed:
            raise ShuttingDown("the farm is closed: make a new Farm")
        if self._running.engine.stopped_from_outside:
            raise ShuttingDown(
                "the farm's actors were stopped from outside (pykka.ActorRegistry.stop_all): "
                "make a new Farm"
            )

    # --- boards
    def simulate(
        self,
        n: int = 1,
        *,
        caps: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        timeout: float = _SIMULATE_WITHIN_S,
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
            TimedOut: they were not.
        """
        self._check_open()
        command = [sys.executable, "-m", "dryad", "simulate", "-n", str(n)]
        command += ["--data", str(self._data), "--exit-with-stdin"]
        for key, value in (caps or {}).items():
            command += ["-c", f"{key}={value}"]
        for group in groups:
            command += ["--group", group]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._children.append(child)
        assert child.stdout is not None
        found = _read_uuids(child.stdout, child, n, timeout)
        until = time.monotonic() + timeout
        for uuid in found:
            self._wait_idle(uuid, until)
        return found

    def _wait_idle(self, uuid: WorkerUUID, until: float) -> None:
        arrived = threading.Event()

        def look(change: Change) -> None:
            worker = getattr(change, "worker", None)
            if worker is None or (worker.worker_uuid == uuid and worker.state is WorkerState.IDLE):
                arrived.set()

        with contextlib.closing(self.subscribe(look)):
            while self._client.get_worker_info(uuid).state is not WorkerState.IDLE:
                if not arrived.wait(max(0.0, until - time.monotonic())):
                    info = self._client.get_worker_info(uuid)
                    raise TimedOut(
                        f"worker {uuid} is {info.state.value}, not IDLE, in time {info.reason}"
                    )
                arrived.clear()

    # --- what a client does
    def reserve(self, caps: Mapping[str, str], **options: Any) -> Reservation:
        """A board with these capabilities; see `Client.reserve`."""
        self._check_open()
        return self._client.reserve(caps, **options)

    def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority = defaults.PRIORITY,
        owner: UserInfo = UserInfo(),
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        **options: Any,
    ) -> ReqID:
        """Queues a request; see `Requests.new_request`."""
        self._check_open()
        return self._client.new_request(caps, priority, owner, valid_after, deadline, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._client, name)

    def subscribe(
        self,
        target: pykka.ActorRef[Any] | Callable[[Change], None],
        kinds: Sequence[str] | None = None,
    ) -> Subscribed:
        """Tells an actor of yours, or calls you back, with each change.

        All deliveries come on one thread; a subscriber that is too slow gets a `Gap`.

        Args:
            target: a ref of any Pykka runtime, told; or a callable, called.
            kinds: only changes of these kinds.
        """
        from boruta.delivery import Delivery

        self._check_open()
        if self._delivery is None:
            self._delivery = Delivery()
        deliver = target.tell if hasattr(target, "tell") else target
        lane = self._delivery.lane(deliver)
        feed = self._running.engine.system.directory.feed

        async def begin() -> Any:
            return feed.subscribe(lane.put, kinds=kinds)[1]

        return Subscribed(self, self._call(begin()), lane)

    # --- the end
    def close(self) -> None:
        """Ends agents, server and thread; idempotent, also from atexit."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for child in self._children:
            _end_child(child)
        running = getattr(self, "_running", None)
        if running is not None:
            with contextlib.suppress(BorutaError, TimeoutError, RuntimeError):
                self._call(running.close(), 10.0)
        if self._delivery is not None:
            self._delivery.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()
        if self._own_data:
            shutil.rmtree(self._data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Subscribed:
    """A subscription; `close` ends it."""

    def __init__(self, farm: Farm, inner: Any, lane: Any) -> None:
        self._farm = farm
        self._inner = inner
        self._lane = lane

    def close(self) -> None:
        """Delivers no more."""
        self._lane.close()
        with contextlib.suppress(RuntimeError):
            self._farm._loop.call_soon_threadsafe(self._inner.close)


def _read_uuids(
    stream: IO[str], child: subprocess.Popen[str], n: int, timeout: float
) -> list[WorkerUUID]:
    found: list[WorkerUUID] = []
    done = threading.Event()

    def read() -> None:
        for line in stream:
            words = line.split()
            if words and len(found) < n:
                found.append(words[0])
                if len(found) == n:
                    done.set()
        done.set()

    threading.Thread(target=read, name="boruta-farm-agents", daemon=True).start()
    if not done.wait(timeout) or len(found) < n:
        status = child.poll()
        raise TimedOut(
            f"{len(found)} of {n} agents registered in {timeout:g} s"
            + ("" if status is None else f"; their process ended with status {status}")
        )
    return found


def _end_child(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        child.wait(5.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(5.0)
    if child.stdout is not None:
        child.stdout.close()


@atexit.register
def _close_all() -> None:
    for farm in tuple(_open):
        farm.close()
