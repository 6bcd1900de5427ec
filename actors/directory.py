"""Ids and refs: who is there, and what all actors share. Lives on the dispatcher's thread."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pykka

from actors.feed import ChangeFeed
from actors.inboxes import MatcherMessage, RequestMessage, WorkerMessage
from actors.job_ends import JobEnds
from actors.journal import Journal
from actors.messages import Gone, Once, PermitGranted
from actors.runtime import Dispatcher, TimerHandle
from boruta.domain import defaults
from boruta.domain.errors import StoreUnavailable
from boruta.domain.holds import Holds
from boruta.domain.ports import Access, DryadPort, Store
from boruta.domain.request import Limits
from boruta.domain.rows import Remove, RequestRow
from boruta.domain.types import ReqID, WorkerState, WorkerUUID


@dataclass(slots=True)
class Presence:
    """Whether a worker's agent is there: never stored, so that beats cost no write."""

    port: DryadPort | None = None
    last_seen: datetime | None = None
    heard_at: float = 0.0

    @property
    def online(self) -> bool:
        """Whether there is a connection."""
        return self.port is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a lab may set."""

    limits: Limits = field(default_factory=Limits)
    unservable: str = defaults.UNSERVABLE
    default_deadline_s: float | None = None  # None: one calendar month
    initial: WorkerState = WorkerState.MAINTENANCE
    auto_recover: bool = False
    grace_s: float = defaults.WORKER_GRACE_S
    check_every_s: float = 0.0  # healthchecks of idle boards; 0: never
    per_key: int = defaults.WORKERS_A_KEY  # boards that one worker key may register
    access_host: str = ""


class Permits:
    """At most `PREPARES_AT_ONCE` boards are prepared at the same time (SAFETY, B6)."""

    def __init__(self, most: int = defaults.PREPARES_AT_ONCE) -> None:
        self._most = most
        self._held: set[WorkerUUID] = set()
        self._waiting: dict[WorkerUUID, int] = {}
        # Which of those that wait the queue wants most, if any; the matcher knows.
        self.wanted: Callable[[Collection[WorkerUUID]], WorkerUUID | None] = lambda _: None

    def ask(self, uuid: WorkerUUID, epoch: int) -> bool:
        """Whether the worker may go on now; else it is told later."""
        if uuid in self._held or len(self._held) < self._most:
            self._waiting.pop(uuid, None)
            self._held.add(uuid)
            return True
        self._waiting[uuid] = epoch
        return False

    def give_back(self, uuid: WorkerUUID) -> tuple[WorkerUUID, int] | None:
        """The worker needs it no more; whoever is next."""
        self._waiting.pop(uuid, None)
        self._held.discard(uuid)
        if not self._waiting or len(self._held) >= self._most:
            return None
        following = self.wanted(self._waiting) or next(iter(self._waiting))
        epoch = self._waiting.pop(following)
        self._held.add(following)
        return following, epoch


class Directory:
    """Finds actors by id and carries messages to them; one that is gone answers `Gone`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        store: Store,
        access: Access,
        make_key: Callable[[], tuple[str, str]],
        random: Callable[[], float],
        rules: Rules,
        life: str,
    ) -> None:
        self.dispatcher = dispatcher
        self.store = store
        self.access = access
        self.make_key = make_key  # (private OpenSSH text, public line)
        self.random = random
        self.rules = rules
        self.journal = Journal(store, dispatcher)
        self.feed = ChangeFeed(life, dispatcher.utcnow, store)
        self.permits = Permits()
        self.holds = Holds()
        self.presence: dict[WorkerUUID, Presence] = {}
        self.requests: dict[ReqID, pykka.ActorRef[Any]] = {}
        self.job_ends = JobEnds(dispatcher, self.requests)
        self.workers: dict[WorkerUUID, pykka.ActorRef[Any]] = {}
        self.matcher: pykka.ActorRef[Any] | None = None
        self.failed: Callable[[str, ReqID | WorkerUUID, BaseException], None] | None = None
        # For those that failed and are started anew; a turn later, mostly, this is empty again.
        self.left: dict[ReqID | WorkerUUID, list[Once]] = {}
        self.ended: deque[ReqID] = deque()
        self.live: Counter[str] = Counter()  # live requests by owner
        self.boards_of: Counter[str] = Counter(row.owner_key for row in store.workers())
        self.waiting_acquires: Counter[str] = Counter()  # by key
        self.unbind: Callable[[ReqID], None] | None = None
        self.undeliverable = 0
        self.next_tick: tuple[TimerHandle, float] | None = None  # and when it is due
        self.started_at = self.awoke_at = dispatcher.now()
        self.well_since = self.started_at  # the store; what could not be written was refused before
        self.known_at_start = frozenset(row.uuid for row in store.workers())
        self.ever_registered = bool(self.known_at_start)

    def tell_matcher(self, message: MatcherMessage) -> None:
        """Tells the matcher."""
        if self.matcher is not None:
            try:
                self.matcher.tell(message)
            except pykka.ActorDeadError:
                self._came_late(message)

    def tell_worker(self, uuid: WorkerUUID, message: WorkerMessage) -> bool:
        """Tells the worker, if there is one."""
        ref = self.workers.get(uuid)
        if ref is None:
            return False
        try:
            ref.tell(message)
        except pykka.ActorDeadError:
            return self._came_late(message, uuid)
        return True

    def tell_request(
        self, req_id: ReqID, message: RequestMessage, sender: tuple[WorkerUUID, int] | None = None
    ) -> bool:
        """Tells the request; a `sender` (uuid, epoch) hears `Gone` if there is none."""
        ref = self.requests.get(req_id)
        if ref is not None:
            try:
                ref.tell(message)
                return True
            except pykka.ActorDeadError:
                if self._came_late(message, req_id):
                    return True
        if sender is not None and req_id not in self.left:  # one that is started anew will know
            uuid, epoch = sender
            self.tell_worker(uuid, Gone(req_id, epoch))
        return False

    def _came_late(self, message: object, key: ReqID | WorkerUUID | None = None) -> bool:
        """Its actor has stopped; whether the one that is started in its place will hear it."""
        if key is not None and key in self.left and isinstance(message, Once):
            self.left[key].append(message)
            return True
        self.undeliverable += 1
        return False

    def there(self, uuid: WorkerUUID) -> Presence:
        """Whether the worker's agent is there."""
        there = self.presence.get(uuid)
        if there is None:
            there = self.presence[uuid] = Presence()
        return there

    def give_back_permit(self, uuid: WorkerUUID) -> None:
        """The worker is not being prepared any more."""
        following = self.permits.give_back(uuid)
        while following is not None:
            if self.tell_worker(following[0], PermitGranted(following[1])):
                return
            following = self.permits.give_back(following[0])  # nobody is there to use it

    def request_ended(self, row: RequestRow) -> None:
        """The request is over: its ref goes, and the oldest ended ones go from the store."""
        self.requests.pop(row.id, None)
        self.job_ends.forget(row.id)
        less(self.live, row.owner_name)
        if row.bound and self.unbind is not None:
            self.unbind(row.id)
        self.keep_ended(row)

    def keep_ended(self, row: RequestRow) -> None:
        """Remembers an ended request; the oldest ones go from the store."""
        if row.started is not None and row.ended is not None:
            held_s = (row.ended - row.started).total_seconds()
            self.holds.add((row.caps, row.owner_groups), held_s)
        self.ended.append(row.id)
        for _ in range(len(self.ended) - defaults.ENDED_KEPT):
            self._forget(self.ended.popleft())

    def acquire_over(self, name: str) -> None:
        """A call of this key waits to acquire no longer."""
        less(self.waiting_acquires, name)

    def _forget(self, req_id: ReqID) -> None:
        row, job = self.store.request(req_id), self.store.job(req_id)
        if row is None:
            return
        if job is not None and job.ended_at is None:
            self.ended.append(req_id)  # its session is not surely over yet (SAFETY, A4)
            return
        self.journal.submit((Remove(RequestRow, req_id, row.rev),), lambda _: None)

    def check_store(self) -> None:
        """Refuses what could not be written: better now than half done (SAFETY, A10).

        Raises:
            StoreUnavailable: it is unwell, or does not keep up.
        """
        if self.store.unwell is not None:
            raise self.store.unwell
        if self.store.full:
            raise StoreUnavailable(
                "the store does not keep up: too many changes wait to be written",
                retry_after_s=1.0,
            )

    @property
    def open_for(self) -> float:
        """Seconds for which an agent that came back could have registered, as far as we know."""
        return min(self.ran_for, self.dispatcher.now() - self.well_since)

    @property
    def ran_for(self) -> float:
        """Seconds since this process last stood still; silence before that counts not (A7)."""
        now = self.dispatcher.now()
        if self.next_tick is not None:
            timer, due = self.next_tick
            if not timer.done and now - due > defaults.SLEEP_GAP_S:
                return 0.0  # it has just awoken: another timer was due before the tick
        return now - self.awoke_at

    def start_left(self, grace_s: float) -> float:
        """What is left of the seconds that agents and clients have after a start.

        Nothing, if the start found no farm in the store: then nobody is coming back.
        """
        if not self.known_at_start:
            return 0.0
        return self.started_at + grace_s - self.dispatcher.now()

    @property
    def holding(self) -> bool:
        """Whether nothing is lent: known agents may come back yet (B2), or the store is ill."""
        if self.store.unwell is not None:
            return True  # a claim could not be written (SAFETY, A10)
        if self.dispatcher.now() - self.started_at >= defaults.START_HOLD_S:
            return False
        absent = Presence()
        return any(not self.presence.get(uuid, absent).online for uuid in self.known_at_start)

    @property
    def judging(self) -> bool:
        """Whether unservable may be judged: not before the first worker registered."""
        return self.ever_registered


def less(counter: Counter[str], name: str) -> None:
    """One less of `name`; none is not kept."""
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
