"""A farm in one thread and virtual time: the real engine over fake agents."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import SimDispatcher
from actors.system import System
from boruta.domain.changes import Change
from boruta.domain.types import (
    Caller,
    ReqID,
    ReqInfo,
    ReqState,
    Role,
    WorkerInfo,
    WorkerState,
    WorkerUUID,
)
from boruta.store.memory import MemoryStore
from boruta.testing.access import FakeAccess
from boruta.testing.dryad import FakeDryad

ADMIN = Caller("admin", Role.ADMIN, session=b"a" * 16)
ALICE = Caller("alice", Role.USER, session=b"b" * 16)
BOB = Caller("bob", Role.USER, session=b"c" * 16)
LAB = Caller("lab", Role.WORKER)
OPEN: list[SimFarm] = []  # ended after the test that made them


class SimFarm:
    """The engine under test, and shorthands for what users, admins and agents do."""

    def __init__(
        self,
        seed: int = 0,
        rules: Rules | None = None,
        store: MemoryStore | None = None,
        start: datetime | None = None,
        access: FakeAccess | None = None,
    ) -> None:
        OPEN.append(self)
        self.sim = SimDispatcher(seed, start)
        self.store = MemoryStore() if store is None else store
        self.access = FakeAccess() if access is None else access
        self._keys = 0
        self._calls: list[Coroutine[Any, Any, Any]] = []
        self.system = System(
            self.sim, self.store, self.access, self._make_key, lambda: 0.5, rules or Rules(), "life"
        )
        self.front = EngineFront(self.system)
        self.changes: list[Change] = []
        self.dryads: dict[WorkerUUID, FakeDryad] = {}
        self.system.start()
        self.front.feed(ADMIN).subscribe(self.changes.append)
        for caller in (ADMIN, ALICE, BOB):
            self.front.session_opened(caller)
        self.sim.run_until_idle()

    def _make_key(self) -> tuple[str, str]:
        self._keys += 1
        return f"private {self._keys}", f"ssh-ed25519 public{self._keys}"

    def end(self) -> None:
        """Stops all actors; ends calls that still wait, here and not when the collector does."""
        self.system.stop()
        for coroutine in self._calls:
            coroutine.close()

    # --- calls
    def call(self, coroutine: Coroutine[Any, Any, Any], within_s: float = 1e6) -> Any:
        """Runs a call of the api to its end."""
        return self.sim.spawn(coroutine).get(timeout=within_s)

    def start_call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Starts a call; a future of its answer."""
        self._calls.append(coroutine)
        future = self.sim.spawn(coroutine)
        self.sim.run_until_idle()
        return future

    def new(self, caps: Mapping[str, str] | None = None, prio: int = 8, **more: Any) -> ReqID:
        """A request of alice's, unless `by` says whose."""
        by = more.pop("by", ALICE)
        req_id = self.call(self.front.requests(by).new_request(caps or {}, prio, **more))
        assert isinstance(req_id, int)
        self.sim.run_until_idle()
        return req_id

    def close(self, req_id: ReqID, by: Caller = ALICE) -> None:
        """Closes a request."""
        self.call(self.front.requests(by).close_request(req_id))
        self.sim.run_until_idle()

    def info(self, req_id: ReqID) -> ReqInfo:
        """The request as its owner sees it."""
        found = self.call(self.front.requests(ALICE).get_request_info(req_id))
        assert isinstance(found, ReqInfo)
        return found

    def state(self, req_id: ReqID) -> ReqState:
        """The request's state."""
        return self.info(req_id).state

    def worker(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        found = self.call(self.front.workers(ADMIN).get_worker_info(uuid))
        assert isinstance(found, WorkerInfo)
        return found

    def set_state(self, uuid: WorkerUUID, state: WorkerState, **more: Any) -> None:
        """What an admin orders."""
        self.call(self.front.workers(ADMIN).set_state(uuid, state, **more))
        self.sim.run_until_idle()

    # --- boards
    def register(self, dryad: FakeDryad, by: Caller = LAB) -> Any:
        """Its agent says hello (again)."""
        answer = self.call(self.front.superviser(by).register(dryad.registration(), dryad))
        dryad.registered(answer)
        self.sim.run_until_idle()
        return answer

    def board(self, uuid: str, *, enable: bool = True, **caps: str) -> FakeDryad:
        """A board that has registered; IDLE unless `enable` is false."""
        dryad = FakeDryad(self.sim, {"UUID": uuid, **caps})
        self.dryads[uuid] = dryad
        self.register(dryad)
        if enable:
            self.set_state(uuid, WorkerState.IDLE)
        return dryad

    def lose(self, dryad: FakeDryad) -> None:
        """Its connection is gone."""
        dryad.cut("lost")
        self.front.worker_lost(dryad.uuid, dryad)
        self.sim.run_until_idle()

    def come_back(self, dryad: FakeDryad, *, restarted: bool = False) -> Any:
        """Its agent connects again."""
        dryad.reconnect(restarted=restarted)
        return self.register(dryad)

    # --- time
    @property
    def now(self) -> datetime:
        """The virtual date."""
        return self.sim.utcnow()

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.sim.advance(seconds)

    def until(self, true: Callable[[], bool], within_s: float = 60.0) -> None:
        """Runs until it is so."""
        self.sim.run_until(true, within_s)
