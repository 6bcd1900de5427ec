"""Starts, restarts and stops the actors; owns every ref."""

from __future__ import annotations

import logging
from collections.abc import Callable

from actors.directory import Directory, Rules
from actors.matcher import MatcherActor
from actors.messages import (
    Match,
    OfferAgain,
    Release,
    RequestLeft,
    RequestReady,
    Sweep,
    WorkerForgotten,
    WorkerKnown,
)
from actors.request import RequestActor
from actors.runtime import Dispatcher, TimerHandle
from actors.sessions import Sessions
from actors.worker import WorkerActor
from boruta.domain import defaults, request, showing
from boruta.domain.errors import NotLeader
from boruta.domain.ports import Access, Store
from boruta.domain.rows import RequestRow, Write
from boruta.domain.states import ReqEvent
from boruta.domain.types import ReqID, WorkerUUID

log = logging.getLogger("boruta.system")
RESTARTS = 3  # within RESTARTS_WITHIN_S; then a request ends as FAILED, others wait longer
RESTARTS_WITHIN_S = 60.0
SWEPT_A_TURN = 500  # boards told of a sweep in one turn, about 1 ms
TICK_S = 0.5


class System:
    """All actors of one server or farm. Made and used on the dispatcher's thread.

    Args:
        dispatcher: where the actors run.
        store: what outlives them.
        access: the ways to the boards.
        make_key: a new session key: (private OpenSSH text, public line).
        random: 0..1, for jitter.
        rules: what the lab has set.
        life: tells this life of the server from others.
    """

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
        self.directory = Directory(dispatcher, store, access, make_key, random, rules, life)
        self.directory.failed = self._failed
        store.on_health(self._store_health)
        self.sessions = Sessions(self.directory)
        self.on_deposed: Callable[[NotLeader], None] = lambda _: None
        self.closing = False
        self.matcher_rests = False  # it failed again and again, and is started anew in a while
        self._failures: dict[ReqID | WorkerUUID, list[float]] = {}
        self._sweep_timer: TimerHandle | None = None
        self._tick_timer: TimerHandle | None = None
        self._ticked_at = dispatcher.now()
        self._was_unwell = False  # the store
        self.worst_lag_s = 0.0  # how late a tick was at most: what the thread was held for

    def start(self, *, looks: bool = True) -> None:
        """Starts the matcher and an actor for whatever the store knows.

        Args:
            looks: whether it looks for lost messages, and for a process that stood still; where
                neither can be, as in a simulation without faults, that only costs time.
        """
        directory = self.directory
        directory.matcher = directory.dispatcher.start(MatcherActor, directory)
        for board in directory.store.workers():
            self._start_worker(board.uuid)
        ended = []
        for row in directory.store.requests():
            if row.state.ended:
                ended.append(row)
                continue
            self.start_request(row)
            if row.bound:
                self.sessions.restore(row)
        for row in sorted(ended, key=lambda row: row.ended or row.created):
            directory.keep_ended(row)
        if directory.store.survives:
            counts = (len(directory.requests), len(directory.workers))
            log.info("store=%s requests=%d workers=%d", directory.store.name, *counts)
        else:
            log.info("store=memory: a restart loses all requests and workers")
        if directory.known_at_start:
            directory.dispatcher.call_later(
                defaults.START_HOLD_S, lambda: directory.tell_matcher(Match())
            )
        if looks:
            self._sweep_later()
            self._tick()

    def _store_health(self) -> None:
        store = self.directory.store
        unwell = store.unwell
        self.directory.journal.health_changed()
        if store.deposed is not None:
            self.on_deposed(store.deposed)
        elif unwell is not None:
            log.error("store_unwell reason=%r: nothing is lent until it is well", str(unwell))
        elif self._was_unwell:  # else it is full, or not full any more, which the store has logged
            log.warning("store_well position=%d", store.position)
            self.directory.well_since = self.directory.dispatcher.now()
            self.directory.tell_matcher(Match())
        self._was_unwell = unwell is not None

    def _tick(self) -> None:
        """Notices that this process was stopped, or its machine asleep (SAFETY, A7)."""
        now = self.directory.dispatcher.now()
        gap = now - self._ticked_at - TICK_S
        self._ticked_at = now
        self.worst_lag_s = max(self.worst_lag_s, gap)
        if gap > defaults.SLEEP_GAP_S:
            self.directory.awoke_at = now
            log.warning("stood_still seconds=%.1f: silence before now does not count", gap)
        self._tick_timer = self.directory.dispatcher.call_later(TICK_S, self._tick)
        self.directory.next_tick = (self._tick_timer, now + TICK_S)

    def start_request(self, row: RequestRow) -> None:
        """Starts the actor of a request whose row is committed."""
        directory = self.directory
        directory.live[row.owner_name] += 1
        directory.requests[row.id] = directory.dispatcher.start(RequestActor, directory, row.id)

    def worker(self, uuid: WorkerUUID) -> None:
        """Makes sure that the worker has an actor."""
        if uuid not in self.directory.workers:
            self._start_worker(uuid)

    def _start_worker(self, uuid: WorkerUUID) -> None:
        directory = self.directory
        directory.workers[uuid] = directory.dispatcher.start(WorkerActor, directory, uuid)

    def _sweep_later(self) -> None:
        self._sweep_timer = self.directory.dispatcher.call_later(defaults.SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweep_later()  # first of all: one that fails is not the last one
        self.directory.tell_matcher(Sweep())
        self.sessions.sweep()
        self._sweep_some(tuple(self.directory.workers))

    def _sweep_some(self, boards: tuple[WorkerUUID, ...]) -> None:
        """Tells some of them, and the others in turns of their own: there may be 10,000."""
        for uuid in boards[:SWEPT_A_TURN]:
            self.directory.tell_worker(uuid, Sweep())
        left = boards[SWEPT_A_TURN:]
        if left and not self.closing:
            self.directory.dispatcher.call_soon(lambda: self._sweep_some(left))

    # --- failures
    def _failed(self, kind: str, key: ReqID | WorkerUUID, error: BaseException) -> None:
        log.error("actor_failed kind=%s key=%s error=%r", kind, key, error)
        if self.closing:
            return
        # From a fresh turn: the failing actor is still being torn down in this one.
        self.directory.dispatcher.call_soon(lambda: self._restart(kind, key, error))

    def _restart(self, kind: str, key: ReqID | WorkerUUID, error: BaseException) -> None:
        if self.closing:
            return
        now = self.directory.dispatcher.now()
        recent = [at for at in self._failures.get(key, []) if now - at < RESTARTS_WITHIN_S]
        self._failures[key] = [*recent, now]
        often = len(recent) >= RESTARTS
        wait_s = defaults.BACKOFF_S[1] if often else 0.0
        if kind == "request" and isinstance(key, int):
            self._restart_request(key, error, often)
        elif kind == "matcher":
            self.matcher_rests = often
            self._later(wait_s, self._restart_matcher)
        else:
            self._later(wait_s, lambda: self._restart_worker(str(key)))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        if seconds:
            dispatcher = self.directory.dispatcher
            dispatcher.call_later(seconds, lambda: None if self.closing else what())
        else:
            what()

    def _restart_request(self, key: ReqID, error: BaseException, often: bool) -> None:
        directory = self.directory
        row, left = directory.store.request(key), directory.left.pop(key, [])
        if row is not None and not row.state.ended and not often:
            directory.requests[key] = directory.dispatcher.start(RequestActor, directory, key)
            for message in left:
                directory.requests[key].tell(message)
            return
        self._failures.pop(key, None)
        if row is not None and not row.state.ended:
            row = self._give_up(row, error)
        if row is not None and key in directory.requests:  # else it had told everybody
            self._tell_end(row)

    def _give_up(self, row: RequestRow, error: BaseException) -> RequestRow:
        """The request's actor fails again and again: it ends."""
        now = self.directory.dispatcher.utcnow()
        reason = f"Boruta failed: {type(error).__name__}: {error}"
        failed = request.ended(row, ReqEvent.BROKEN, now, "internal", reason)
        self.directory.journal.submit((Write(failed, row.rev),), lambda _: None)
        return failed

    def _tell_end(self, row: RequestRow) -> None:
        """What an actor tells whose request has ended, and this one did not live to tell."""
        directory, job = self.directory, self.directory.store.job(row.id)
        directory.tell_matcher(RequestLeft(row.id))
        if job is not None:
            told = Release(row.id, job.board_epoch, row.reason_code, row.reason)
            directory.tell_worker(job.worker_uuid, told)
        limits = directory.rules.limits
        directory.feed.request("ended", row.id, lambda: showing.info(row, job, limits))
        directory.request_ended(row)

    def _restart_worker(self, uuid: WorkerUUID) -> None:
        directory = self.directory
        left = directory.left.pop(uuid, [])
        if directory.store.worker(uuid) is None:  # it was removed, or never written
            directory.workers.pop(uuid, None)
            directory.presence.pop(uuid, None)
            directory.tell_matcher(WorkerForgotten(uuid))
            return
        self._start_worker(uuid)
        for message in left:
            directory.workers[uuid].tell(message)

    def _restart_matcher(self) -> None:
        directory = self.directory
        directory.left.pop("matcher", None)
        self.matcher_rests = False
        directory.matcher = directory.dispatcher.start(MatcherActor, directory)
        for board in directory.store.workers():
            directory.tell_matcher(WorkerKnown(board))
        now = directory.dispatcher.utcnow()
        for row in directory.store.requests():
            if request.ready(row, now):
                directory.tell_matcher(RequestReady(row))
        # Whether it may be lent, each worker says itself: its offer went with the old matcher.
        for uuid in tuple(directory.workers):
            directory.tell_worker(uuid, OfferAgain())

    def stop(self) -> None:
        """Stops every actor, in order; no message of ours stops a host's actor."""
        self.closing = True
        for timer in (self._sweep_timer, self._tick_timer):
            if timer is not None:
                timer.cancel()
        self.sessions.close()
        self.directory.dispatcher.stop_all()
