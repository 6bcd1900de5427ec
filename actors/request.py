"""One request: waits, holds a board, ends once."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from actors.base import answer, fail
from actors.inboxes import RequestMessage
from actors.messages import (
    Acquire,
    Assigned,
    Close,
    Describe,
    Due,
    FoundUnservable,
    Prolong,
    Rebind,
    RequestLeft,
    StopAcquiring,
    TellEnd,
    Update,
    WorkerGone,
    WorkerReach,
)
from actors.request_shell import RequestShell
from actors.runtime import Future
from boruta.domain import defaults, policy, request, returning
from boruta.domain.commands import KeptJob
from boruta.domain.errors import BorutaError, Busy, TimedOut, Unreachable
from boruta.domain.rows import Conflict, JobRow, RequestRow, Write
from boruta.domain.states import ReqEvent
from boruta.domain.types import Caller, ReqInfo, ReqState


class RequestActor(RequestShell):
    """One request: a timer while it is not valid yet, a place in the queue, a board, an end."""

    def begin(self) -> None:
        """Goes on from the row; tells what a predecessor may not have lived to tell (A5)."""
        super().begin()
        job = self._job
        if self._row.state is not ReqState.INPROGRESS or job is None:
            return
        self.directory.tell_matcher(RequestLeft(self._id))
        board = self.directory.store.worker(job.worker_uuid)
        if board is None or (board.request_id, board.board_epoch) != (self._id, job.board_epoch):
            code, reason = returning.why_taken_back(board)
            over = request.out_of_time(self._row, job, self._now)
            self._end(over or self._ended(ReqEvent.WORKER_FAILED, code, reason))
        else:
            self.directory.tell_worker(job.worker_uuid, TellEnd(job))

    def on_message(self, message: RequestMessage, reply: Future | None) -> object:
        """Turns a message into an event of the request's life."""
        match message:
            case Assigned(request=row, job=job):
                self._assigned(row, job)
            case Close(by=by, code=code):
                policy.check_may_hold(by, self._row.owner_name)
                self._close(by, code, reply)
            case Update(info=info, by=by):
                policy.check_may_hold(by, self._row.owner_name)
                self._update(info, by, reply)
            case Acquire(by=by):
                policy.check_may_hold(by, self._row.owner_name)
                self._acquire(message, reply)
            case StopAcquiring(waiter=waiter, late=late):
                self._stop_waiting(waiter, late)
            case Prolong(by=by, token=token):
                policy.check_may_hold(by, self._row.owner_name)
                self._prolong(token, by.name, reply)
            case Rebind(by=by):
                self._rebind(by, reply)
            case WorkerGone(epoch=epoch, code=code, reason=reason):
                self._worker_gone(epoch, code, reason)
            case WorkerReach(epoch=epoch, reachable=reachable, kept=kept):
                self._worker_reach(epoch, reachable, kept)
            case FoundUnservable(rev=rev):
                if rev == self._row.rev and self._row.state is ReqState.WAIT:
                    reason = request.REASONS["unservable"]
                    self._end(self._ended(ReqEvent.UNSERVABLE, "unservable", reason))
            case Due(what=what):
                if message is self._next:
                    self._due(what)
            case Describe():
                return self._info()
            case _:
                assert_never(message)
        return None

    # --- what users ask
    def _close(self, by: Caller, code: str, reply: Future | None) -> None:
        if code == "client_lost" and self._row.state.ended:
            answer(reply)
            return
        self._end(request.closed(self._row, self._now, by.name, code), reply)

    def _update(self, info: ReqInfo, by: Caller, reply: Future | None) -> None:
        changed = policy.check_update(
            self._row, self._now, info.priority, info.valid_after, info.deadline
        )
        if changed is None:
            answer(reply)
            return
        if changed.priority != self._row.priority:
            changed = changed._replace(queue_seq=self.directory.store.next_seq())
        was = self._row.rev
        changed = changed._replace(rev=was + 1)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(reply, lambda: self._update(info, by, reply))
                return
            self._row = changed
            self._arrange()
            self._tell_feed("updated")
            answer(reply)

        self.commit((Write(changed, was),), then)

    def _rebind(self, by: Caller, reply: Future | None) -> None:
        row = self._row
        if row.session == by.session or row.state.ended:
            answer(reply)
            return
        changed = row._replace(rev=row.rev + 1, session=by.session)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(reply, lambda: self._rebind(by, reply))
                return
            self._row = changed
            self._arrange()
            answer(reply)

        self.commit((Write(changed, row.rev),), then)

    def _acquire(self, message: Acquire, reply: Future | None) -> None:
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
        job = self._job_that_lasts()
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

    def _job_that_lasts(self) -> JobRow:
        """The live job. One whose time is up ends now, though a call came before its timer.

        The agent has ended it by its own clock: what is prolonged then opens nothing.
        """
        job = request.running(self._row, self._job)
        if self._lasts(job):
            return job
        self._due("job_end")
        return request.running(self._row, self._job)

    def _stop_waiting(self, waiter: Acquire, late: bool) -> None:
        for held in self._waiters:
            if held[0] is waiter:
                self._waiters.remove(held)
                self.directory.acquire_over(waiter.by.name)
                if late:
                    text = f"request {self._id} still waits; boruta show {self._id} says why"
                    fail(held[1], TimedOut(text, id=self._id))
                return

    def _prolong(self, token: str | None, by: str, reply: Future | None) -> None:
        job = self._job_that_lasts()
        limits = self.directory.rules.limits
        before = request.prolonged_before(job, limits, token, by)
        if before is not None:
            answer(reply, before)
            return
        if not self._reachable:
            raise Unreachable(
                f"the board of request {self._id} is out of reach: its job cannot be prolonged "
                f"now; it ends {job.ends_at:%Y-%m-%d %H:%M:%S}Z",
                retry_after_s=defaults.HEARTBEAT_S,
            )
        renewed = request.prolonged(self._row, self._dated(job), self._now, limits, token, by)
        self._change_job(
            renewed,
            "prolonged",
            reply,
            lambda: self._prolong(token, by, reply),
            lambda now: request.prolong_answer(now, limits),
        )

    def _change_job(
        self,
        renewed: JobRow,
        kind: str,
        reply: Future | None,
        again: Callable[[], None],
        answer_of: Callable[[JobRow], object],
    ) -> None:
        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(reply, again)
                return
            self._job, self._end_was_read = renewed, False
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
        if self._row.rev == row.rev:
            # It was told, and the worker is a new one that cannot know. Its tunnel may have moved.
            if self._job is not None and job.rev > self._job.rev:
                self._job = job
            return
        self._row, self._job = row, job
        self._began()

    def _began(self) -> None:
        self._reachable, self._end_was_read = True, False
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

    def _worker_reach(self, epoch: int, reachable: bool, kept: KeptJob | None) -> None:
        if self._job is None or self._job.board_epoch != epoch or self._row.state.ended:
            return
        if reachable and self._end_was_read:
            self._agent_is_back(self._job, kept)
        if reachable is not self._reachable:
            self._reachable = reachable
            self._tell_feed("back" if reachable else "out_of_reach")

    def _agent_is_back(self, job: JobRow, said: KeptJob | None) -> None:
        self._end_was_read = False
        corrected = None if said is None else request.kept(self._row, job, said, self._now)
        if corrected is None:
            self._arrange()
            return

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._caught_up(None, lambda: None)
                return
            self._job = corrected
            self._arrange()
            self._tell_feed("updated")

        self.commit((Write(corrected, job.rev),), then)

    # --- time
    def _due(self, what: str) -> None:
        now = self._now
        # A deadline that is now wins over becoming ready (SAFETY, B4).
        over = request.expired(self._row, now)
        if over is None and self._job is not None and not self._lasts(self._job):
            over = request.out_of_time(self._row, self._job, max(now, self._job.ends_at))
        if over is not None:
            self._end(over)
        elif what == "ending_soon":
            self._tell_feed("job_ending")
            self._arrange()
        else:
            self._arrange()

    def _host(self, message: Acquire) -> str:
        rules = self.directory.rules
        return rules.access_host or message.reached_at or "127.0.0.1"
