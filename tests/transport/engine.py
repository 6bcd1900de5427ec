"""A small engine of plain dictionaries that writes down what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from boruta.domain import listing
from boruta.domain.changes import Change, Gap, RequestChanged
from boruta.domain.commands import Registered, Registration
from boruta.domain.errors import (
    ActionRefused,
    NotFoundError,
    TimedOut,
    WorkerNotAssigned,
)
from boruta.domain.history import Event
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Caller,
    Capabilities,
    Check,
    Epoch,
    Prolonged,
    ReqInfo,
    ReqState,
    UserInfo,
    WorkerInfo,
    WorkerState,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class FakeFront:
    """An engine of plain dictionaries that writes down what it is told."""

    def __init__(self) -> None:
        self.infos: dict[int, ReqInfo] = {}
        self.tokens: dict[str, int] = {}
        self.calls: list[tuple[str, Caller]] = []
        self.reached_at: list[str] = []
        self.news: list[tuple[Any, ...]] = []
        self.sessions: set[tuple[str, bytes]] = set()
        self.boards: dict[int, asyncio.Future[None]] = {}
        self.workers_: dict[str, WorkerInfo] = {}
        self.registrations: list[tuple[Registration, Any]] = []
        self.prolonged: dict[str, Prolonged] = {}
        self.hold_register: asyncio.Event | None = None
        self.hold_close: asyncio.Event | None = None
        self.hold_check: asyncio.Event | None = None
        self.hold_new: asyncio.Event | None = None
        self.watchers: list[FakeWatch] = []
        self.seq = 0
        self.changes: list[Change] = []
        self.changed = asyncio.Event()
        self.break_info = False

    def told(self, *news: Any) -> None:
        self.news.append(news)
        self.changed.set()

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What was told of this kind."""
        return [news for news in self.news if news[0] == kind]

    async def until(self, true: Callable[[], Any], within_s: float = 10.0) -> None:
        """Waits until something that the engine is told makes it true."""
        async with asyncio.timeout(within_s):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    # --- Front
    def requests(self, caller: Caller, reached_at: str = "") -> FakeRequests:
        self.reached_at.append(reached_at)
        return FakeRequests(self, caller)

    def workers(self, caller: Caller) -> FakeWorkers:
        return FakeWorkers(self, caller)

    def superviser(self, caller: Caller) -> FakeSuperviser:
        return FakeSuperviser(self, caller)

    def feed(self, caller: Caller) -> FakeFront:
        return self

    def session_opened(self, caller: Caller) -> bool:
        key = caller.name, caller.session
        kept = key in self.sessions
        self.sessions.add(key)
        self.told("opened", *key)
        return kept

    def session_lost(self, caller: Caller) -> None:
        self.told("session_lost", caller.name, caller.session)

    def worker_lost(self, uuid: str, port: Any) -> None:
        self.told("worker_lost", uuid, port)

    def worker_heard(self, uuid: str, port: Any) -> None:
        self.told("worker_heard", uuid, port)

    async def history(self, **which: Any) -> list[Event]:
        self.told("history", which)
        return [Event(AT, "request.changed", 7, by="\u00e9" * 200, reason="x" * 2000, id=41)]

    def info(self) -> Mapping[str, object]:
        if self.break_info:
            raise RuntimeError("oddly broken")
        return {"software": "fake 1", "seq": f"x-{self.seq}"}

    # --- Feed
    def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[int] | None = None,
        workers: Sequence[str] | None = None,
        after_seq: str | None = None,
    ) -> tuple[str, FakeWatch]:
        watch = FakeWatch(self, deliver, kinds)
        if after_seq is not None:
            life, _, number = after_seq.rpartition("-")
            if life == "x":
                for change in self.changes[int(number) :]:
                    deliver(change)
            else:
                deliver(Gap(f"x-{self.seq}", AT))
        self.watchers.append(watch)
        self.told("subscribed", kinds, after_seq)
        return f"x-{self.seq}", watch

    def change(self, req_id: int = 1, kind: str = "updated") -> None:
        self.seq += 1
        change = RequestChanged(f"x-{self.seq}", kind, AT, ReqInfo(req_id, 8))
        self.changes.append(change)
        for watch in list(self.watchers):
            if watch.kinds is None or kind in watch.kinds:
                watch.deliver(change)


@dataclass(eq=False)
class FakeWatch:
    front: FakeFront
    deliver: Callable[[Change], None]
    kinds: Sequence[str] | None

    def close(self) -> None:
        if self in self.front.watchers:
            self.front.watchers.remove(self)
            self.front.told("unsubscribed")


@dataclass
class FakeRequests:
    front: FakeFront
    caller: Caller

    async def new_request(
        self,
        caps: Mapping[str, str],
        priority: int,
        owner: UserInfo = NOBODY,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        **more: Any,
    ) -> int:
        front, token = self.front, more.get("token")
        if token is not None and token in front.tokens:
            front.told("new again", front.tokens[token])
            return front.tokens[token]
        req_id = len(front.infos) + 1
        front.infos[req_id] = ReqInfo(
            req_id,
            priority,
            UserInfo(self.caller.name, tuple(owner.groups)),
            more.get("note", ""),
            Capabilities(caps),
            valid_after,
            deadline,
            more.get("job_timeout") or 3600.0,
            more.get("bound", False),
        )
        if token is not None:
            front.tokens[token] = req_id
        front.told("new", req_id)
        if front.hold_new is not None:
            await front.hold_new.wait()
        return req_id

    def _get(self, req_id: int) -> ReqInfo:
        try:
            return self.front.infos[req_id]
        except KeyError:
            raise NotFoundError(f"request {req_id} not found", id=req_id) from None

    async def close_request(self, req_id: int) -> None:
        info = self._get(req_id)
        if info.state.ended:
            raise ActionRefused(
                f"request {req_id} is {info.state}", state=str(info.state), reason_code="cancelled"
            )
        self.front.infos[req_id] = replace(info, state=ReqState.CANCEL)
        self.front.told("closed", req_id)
        if self.front.hold_close is not None:
            await self.front.hold_close.wait()

    async def update_request(self, req_info: ReqInfo) -> None:
        info = self._get(req_info.id)
        self.front.infos[info.id] = replace(info, priority=req_info.priority or info.priority)

    async def get_request_info(self, req_id: int) -> ReqInfo:
        return self._get(req_id)

    async def list_requests(self, filter: Any = None, sort: Any = None, page: Any = None) -> Any:
        return listing.list_requests(list(self.front.infos.values()), filter, sort, page)

    async def acquire_worker(self, req_id: int, timeout: float | None = None) -> AccessInfo:
        info = self._get(req_id)
        if info.state.ended:
            raise WorkerNotAssigned("ended", state=str(info.state))
        board = self.front.boards.setdefault(req_id, asyncio.get_running_loop().create_future())
        self.front.told("acquiring", req_id, timeout)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(board)
        except TimeoutError:
            raise TimedOut("still waits", id=req_id) from None
        except asyncio.CancelledError:
            self.front.told("acquire cancelled", req_id)
            raise
        return AccessInfo("127.0.0.1", 4022, "board", "KEY", ("ssh-ed25519 AAAA",), AT)

    async def prolong_access(self, req_id: int, *, token: str | None = None) -> Prolonged:
        assert token is not None
        known = self.front.prolonged.get(token)
        if known is None:
            left = 10 - len(self.front.prolonged) - 1
            known = self.front.prolonged[token] = Prolonged(AT + timedelta(hours=1), left)
        return known


@dataclass
class FakeWorkers:
    front: FakeFront
    caller: Caller

    async def list_workers(self, filter: Any = None, sort: Any = None, page: Any = None) -> Any:
        return listing.list_workers(list(self.front.workers_.values()), filter, sort, page)

    async def get_worker_info(self, uuid: str) -> WorkerInfo:
        try:
            return self.front.workers_[uuid]
        except KeyError:
            raise NotFoundError(f"worker {uuid} not found") from None

    async def set_state(
        self, uuid: str, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        self.front.told("set_state", uuid, state, reason, drain)

    async def set_groups(self, uuid: str, groups: Sequence[str]) -> None:
        self.front.told("set_groups", uuid, tuple(groups))

    async def check(self, uuid: str) -> tuple[Check, ...]:
        self.front.told("check", uuid)
        if self.front.hold_check is not None:
            await self.front.hold_check.wait()
        return (Check("disk", ok=True, detail="12 GiB free"), Check("card", ok=False))

    async def deregister(self, uuid: str) -> None:
        self.front.told("deregister", uuid)


@dataclass
class FakeSuperviser:
    front: FakeFront
    caller: Caller

    async def register(self, registration: Registration, port: Any) -> Registered:
        front = self.front
        front.registrations.append((registration, port))
        front.told("registering", registration.caps["UUID"])
        if front.hold_register is not None:
            await front.hold_register.wait()
        uuid = registration.caps["UUID"]
        first = uuid not in front.workers_
        info = front.workers_[uuid] = WorkerInfo(uuid, WorkerState.IDLE, online=True)
        front.told("registered", uuid)
        return Registered(
            info,
            Epoch(registration.epoch.server + 1, registration.epoch.board),
            registration.job,
            first=first,
        )

    async def set_fail(self, uuid: str, reason: str) -> None:
        self.front.told("set_fail", uuid, reason)
