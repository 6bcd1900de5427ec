"""One request: waits, holds a board, ends once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, assert_never

import pykka

from actors.base import ActorGone, FarmActor, answer, fail
from actors.directory import Directory
from actors.messages import (
    Acquire,
    Assigned,
    Close,
    Describe,
    Due,
    FoundUnservable,
    Prolong,
    Release,
    RequestLeft,
    RequestMessage,
    RequestReady,
    StopAcquiring,
    TellEnd,
    Update,
    WorkerGone,
    WorkerReach,
)
from actors.runtime import TimerHandle
from boruta.domain import defaults, policy, request
from boruta.domain.errors import (
    ActionRefused,
    BorutaError,
    Busy,
    InternalLogicError,
    Unreachable,
)
from boruta.domain.rows import Conflict, JobRow, RequestRow, Write
from boruta.domain.states import ReqEvent
from boruta.domain.types import Caller, ReqID, ReqInfo, ReqState


class RequestActor(FarmActor[RequestMessage]):
    """One request: a timer while it is not valid yet, a place in the queue, a board, an end."""

    kind = "request"
    use_pykka_registry = False  # there are 100,000 of them, and Pykka's registry is a list

    def __init__(self, directory: Directory, key: ReqID) -> None:
        super().__init__(directory, key)
        self._id = key
        self._row: RequestRow
        self._job: JobRow | None = None
        self._waiters: list[tuple[Acquire, pykka.Future[Any]]] = []
        self._timers: dict[str, TimerHandle] = {}
        self._reachable = True

    def on_start(self) -> None:
        """Starts from the row in the store, never from a predecessor's memory (A5)."""
        self._reload()
        self._arrange()

    def on_stop(self) -> None:
        """No timer outlives it, nobody waits for it."""
        self._drop_timers()
        self._drop_waiters()
        self.close_questions(ActorGone(f"request {self._id} is gone"))

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves nothing behind for the one that is started in its place."""
        self._drop_timers()
        self._drop_waiters()
        super().on_failure(exception_type, exception_value, traceback)

    def on_message(self, message: RequestMessage, reply: pykka.Future[Any] | None) -> object:
        """Turns a message into an event of the request's life."""
        match message:
            case Describe():
                return self._info()
            case Close(by=by, code=code):
                policy.check_may_hold(by, self._row.owner_name)
                self._close(by, code, reply)
            case Update(info=info, by=by):
                policy.check_may_hold(by, self._row.owner_name)
                self._update(info, by, reply)
            case Acquire(by=by):
                policy.check_may_hold(by, self._row.owner_name)
                self._acquire(message, reply)
            case StopAcquiring(waiter=waiter):
                self._stop_waiting(waiter)
            case Prolong(by=by, token=token):
                policy.check_may_hold(by, self._row.owner_name)
                self._prolong(token, reply)
            case Assigned(request=row, job=job):
                self._assigned(row, job)
            case WorkerGone(epoch=epoch, code=code, reason=reason):
                self._worker_gone(epoch, code, reason)
            case WorkerReach(epoch=epoch, reachable=reachable):
                self._worker_reach(epoch, reachable)
            case FoundUnservable(rev=rev):
                if rev == self._row.rev and self._row.state is ReqState.WAIT:
                    reason = request.REASONS["unservable"]
                    self._end(self._ended(ReqEvent.UNSERVABLE, "unservable", reason))
            case Due(what=what):
                self._due(what)
            case _:
                assert_never(message)
        return None

    # --- what users ask
    def _close(self, by: Caller, code: str, reply: pykka.Future[Any] | None) -> None:
        if code == "client_lost" and self._row.state.ended:
            answer(reply)
            return
        self._end(request.closed(self._row, self._now, by.name, code), reply)

    def _update(self, info: ReqInfo, by: Caller, reply: pykka.Future[Any] | None) -> None:
        changed = policy.check_update(
            self._row, self._now, info.priority, info.valid_after, info.deadline
        )
        if changed is None:
            answer(reply)
            return
        if changed.priority != self._row.priority:
            changed = replace(changed, queue_seq=self.directory.store.next_seq())
        was = self._row.rev
        changed = replace(changed, rev=was + 1)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(reply, lambda: self._update(info, by, reply))
                return
            self._row = changed
            self._arrange()
            self._tell_feed("updated")
            answer(reply)

        self.commit((Write(changed, was),), then)

    def _acquire(self, message: Acquire, reply: pykka.Future[Any] | None) -> None:
        if self._row.state is ReqState.WAIT:
            waiting, name = self.directory.waiting_acquires, message.by.name
            if waiting[name] >= defaults.WAITING_ACQUIRES_A_KEY:
                raise Busy(
                    f"{waiting[name]} calls of {name} wait to acquire already; "
                    f"{defaults.WAITING_ACQUIRES_A_KEY} a key are allowed"
                )
            if reply is not None:
                waiting[name] += 1
                self._waiters.append((message, reply))
            return
        job = request.running(self._row, self._job)
        renewed = request.acquired(self._row, job, self._now)
        if renewed is None:
            answer(reply, request.access(job, self._host(message)))
            return
        self._change_job(
            renewed,
            "acquired",
            reply,
            lambda: self._acquire(message, reply),
            lambda now: request.access(now, self._host(message)),
        )

    def _stop_waiting(self, waiter: Acquire) -> None:
        kept = [held for held in self._waiters if held[0] is not waiter]
        if len(kept) < len(self._waiters):
            self._waiters = kept
            self.directory.acquire_over(waiter.by.name)

    def _drop_waiters(self) -> list[tuple[Acquire, pykka.Future[Any]]]:
        waiters, self._waiters = self._waiters, []
        for message, _ in waiters:
            self.directory.acquire_over(message.by.name)
        return waiters

    def _prolong(self, token: str | None, reply: pykka.Future[Any] | None) -> None:
        job = request.running(self._row, self._job)
        limits = self.directory.rules.limits
        if token is not None and token == job.last_prolong_token:
            answer(reply, request.prolong_answer(job, limits))
            return
        if not self._reachable:
            raise Unreachable(
                f"the board of request {self._id} is out of reach: its job cannot be prolonged "
                f"now; it ends {job.ends_at:%Y-%m-%d %H:%M:%S}Z",
                retry_after_s=defaults.HEARTBEAT_S,
            )
        renewed = request.prolonged(self._row, job, self._now, limits, token)
        self._change_job(
            renewed,
            "prolonged",
            reply,
            lambda: self._prolong(token, reply),
            lambda now: request.prolong_answer(now, limits),
        )

    def _change_job(
        self,
        renewed: JobRow,
        kind: str,
        reply: pykka.Future[Any] | None,
        again: Callable[[], None],
        answer_of: Callable[[JobRow], object],
    ) -> None:
        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(reply, again)
                return
            self._job = renewed
            self._arrange()
            self.directory.tell_worker(renewed.worker_uuid, TellEnd(renewed))
            self._tell_feed(kind)
            answer(reply, answer_of(renewed))

        self.commit((Write(renewed, renewed.rev - 1),), then)

    # --- what the board does
    def _assigned(self, row: RequestRow, job: JobRow) -> None:
        now = self.directory.store.request(self._id)
        if now is None or now.rev != row.rev or now.state is not ReqState.INPROGRESS:
            return  # the sweep of the worker finds what became of it
        self._row, self._job, self._reachable = row, job, True
        self.directory.tell_matcher(RequestLeft(self._id))
        self._arrange()
        self._tell_feed("assigned")
        for message, waiter in self._drop_waiters():
            try:
                self._acquire(message, waiter)
            except BorutaError as error:
                fail(waiter, error)

    def _worker_gone(self, epoch: int, code: str, reason: str) -> None:
        if self._job is None or self._job.board_epoch != epoch or self._row.state.ended:
            return
        if code == "time_up":
            row = self._ended(ReqEvent.TIME_UP, code, request.REASONS[code])
        else:
            row = self._ended(ReqEvent.WORKER_FAILED, code, reason)
        self._end(row)

    def _worker_reach(self, epoch: int, reachable: bool) -> None:
        if self._job is None or self._job.board_epoch != epoch or self._row.state.ended:
            return
        if reachable is not self._reachable:
            self._reachable = reachable
            self._tell_feed("back" if reachable else "out_of_reach")

    # --- time
    def _due(self, what: str) -> None:
        self._timers.pop(what, None)
        now = self._now
        # A deadline that is now wins over becoming ready (SAFETY, B4).
        over = request.expired(self._row, now) or request.out_of_time(self._row, self._job, now)
        if over is not None:
            self._end(over)
        elif what == "ending_soon":
            self._tell_feed("job_ending")
            self._arrange()
        else:
            self._arrange()

    def _arrange(self) -> None:
        """Timers and the queue, as the row wants them."""
        self._drop_timers()
        row, now = self._row, self._now
        if row.state is ReqState.WAIT:
            self._at("deadline", row.deadline, now)
            if row.valid_after > now:
                self._at("valid", row.valid_after, now)
                self.directory.tell_matcher(RequestLeft(self._id))
            elif row.deadline > now:
                self.directory.tell_matcher(RequestReady(row))
        elif row.state is ReqState.INPROGRESS and self._job is not None:
            end = self._job.ends_at
            self._at("job_end", end, now)
            left = (end - now).total_seconds()
            for before in defaults.ENDING_SOON_S:
                if left > before:
                    self._timers["ending_soon"] = self.directory.dispatcher.tell_later(
                        left - before, self.actor_ref, Due("ending_soon")
                    )
                    break

    def _at(self, what: str, when: datetime, now: datetime) -> None:
        delay = max(0.0, (when - now).total_seconds())
        self._timers[what] = self.directory.dispatcher.tell_later(delay, self.actor_ref, Due(what))

    def _drop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # --- the end
    def _ended(self, event: ReqEvent, code: str, reason: str) -> RequestRow:
        return request.ended(self._row, event, self._now, code, reason)

    def _end(self, row: RequestRow, reply: pykka.Future[Any] | None = None) -> None:
        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                # Somebody else moved the row: what ends it is decided anew from what it is now.
                self._caught_up(reply, lambda: self._end_anew(row, reply))
                return
            self._row = row
            self._finish()
            answer(reply)

        self.commit((Write(row, row.rev - 1),), then)

    def _end_anew(self, wanted: RequestRow, reply: pykka.Future[Any] | None) -> None:
        if self._row.state.ended:
            raise ActionRefused(
                f"request {self._id} is {self._row.state.value} already ({self._row.reason})",
                state=self._row.state.value,
            )
        code = "" if wanted.reason_code in ("closed", "cancelled") else wanted.reason_code
        self._end(request.closed(self._row, self._now, self._row.owner_name, code), reply)

    def _finish(self) -> None:
        self._drop_timers()
        self.directory.tell_matcher(RequestLeft(self._id))
        job = self._job
        if job is not None:
            self.directory.tell_worker(
                job.worker_uuid,
                Release(self._id, job.board_epoch, self._row.reason_code, self._row.reason),
            )
        self._tell_feed("ended")
        for _, waiter in self._drop_waiters():
            try:
                request.running(self._row, self._job)
            except BorutaError as error:
                fail(waiter, error)
        self.directory.request_ended(self._row)
        self.stop()

    # --- small things
    def _caught_up(self, reply: pykka.Future[Any] | None, again: Callable[[], None]) -> None:
        """After a refused compare-and-set: read the row, decide anew (SAFETY, A5)."""
        before = (self._row.rev, self._job.rev if self._job else 0)
        self._reload()
        if (self._row.rev, self._job.rev if self._job else 0) == before:
            raise InternalLogicError(f"request {self._id}: a change was refused without a cause")
        self._arrange()
        try:
            again()
        except BorutaError as error:
            fail(reply, error)

    def _reload(self) -> None:
        row = self.directory.store.request(self._id)
        if row is None:
            raise InternalLogicError(f"request {self._id} has no row")
        self._row, self._job = row, self.directory.store.job(self._id)

    def _info(self) -> ReqInfo:
        return describe(self._row, self._job, self.directory, reachable=self._reachable)

    def _tell_feed(self, kind: str) -> None:
        self.directory.feed.request(kind, self._info())

    def _host(self, message: Acquire) -> str:
        rules = self.directory.rules
        return rules.access_host or message.reached_at or "127.0.0.1"

    @property
    def _now(self) -> datetime:
        return self.directory.dispatcher.utcnow()


def describe(
    row: RequestRow, job: JobRow | None, directory: Directory, *, reachable: bool = True
) -> ReqInfo:
    """The request as anyone may see it; says so if its board is out of reach."""
    info = request.info(row, job, directory.rules.limits)
    if row.state is ReqState.INPROGRESS and not reachable and job is not None:
        return replace(
            info, reason=f"its worker {job.worker_uuid} is out of reach; the job goes on"
        )
    return info
