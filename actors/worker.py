"""One board: has its dryad prepare it, lends it to a request, takes it back."""

from __future__ import annotations

from functools import partial
from typing import assert_never

from actors.base import answer, fail
from actors.directory import less
from actors.inboxes import WorkerMessage
from actors.messages import (
    Answered,
    Assign,
    AssignRefused,
    Deregister,
    Describe,
    Gone,
    LinkLost,
    OfferAgain,
    PermitGranted,
    Register,
    Release,
    RunCheck,
    SetFail,
    SetGroups,
    SetState,
    Sweep,
    TellEnd,
    WorkerDue,
    WorkerForgotten,
    WorkerReach,
)
from actors.runtime import Future
from actors.worker_shell import WorkerShell
from boruta.domain import defaults, policy, request, returning, worker
from boruta.domain.commands import Checks, Registered
from boruta.domain.errors import BorutaError, InternalLogicError, StaleEpoch, Unreachable
from boruta.domain.ports import Endpoint
from boruta.domain.rows import Conflict, Remove, RequestRow, WorkerRow, Write
from boruta.domain.types import Caller, ReqState, WorkerState


class WorkerActor(WorkerShell):
    """One board. What it is stands in its row; who its agent is, in the directory's presence."""

    def on_message(self, message: WorkerMessage, reply: Future | None) -> object:
        """Turns a message into an event of the board's life."""
        match message:
            case Assign(request=row):
                self._assign(row)
            case Release(request=req_id, epoch=epoch) | Gone(request=req_id, epoch=epoch):
                self._release(req_id, epoch)
            case Answered(epoch=epoch, command=command, outcome=outcome):
                self._answered(epoch, command, outcome)
            case Describe():
                return self._info()
            case Register():
                self._register(message, reply)
            case LinkLost(port=port):
                if self._presence.port is port:
                    self._link_lost()
            case TellEnd(job=job):
                if self._holds(job):
                    self._board.tell_lease(job)
            case SetState(state=state, reason=reason, drain=drain):
                policy.check_admin(message.by)
                changed = worker.state_set(self._known, state, self._now, reason, drain)
                self._change(changed, reply, over=("maintenance", reason or "put in maintenance"))
            case SetGroups(groups=groups):
                policy.check_admin(message.by)
                self._change(worker.groups_set(self._known, groups), reply)
            case SetFail(reason=reason):
                failed = worker.reported(self._known, reason, self._now, self._job)
                self._change(failed, reply, over=("board_failed", failed.reason))
            case RunCheck():
                self._check(reply)
            case Deregister(by=by):
                policy.check_admin(by)
                self._deregister(by, reply)
            case WorkerDue(what=what, epoch=epoch):
                self._due(what, epoch)
            case PermitGranted(epoch=epoch):
                self._permitted(epoch)
            case OfferAgain():
                self._offered = False
                self._sync_offer()
            case Sweep():
                self._sweep()
            case _:
                assert_never(message)
        return None

    # --- its agent comes and goes
    def _register(self, message: Register, reply: Future | None) -> None:
        old, rules = self._row, self.directory.rules
        if old is None:
            self._check_may_have_another(message.by)
        back = returning.registered(
            old,
            message.said,
            self._now,
            message.by.name,
            initial=rules.initial,
            auto_recover=rules.auto_recover,
            job=self._job,
        )
        if old is None or old.request_id is None or not back.job_over:
            # It would not be answered before it is written, and be tried again until then: each try
            # would be one more change that waits. The end of a job comes once, and goes on (A10).
            self._check_store_takes_it()

        def then() -> None:
            if old is None:
                self.directory.boards_of[back.row.owner_key] += 1
            # One that this life of the server has not seen before was not lost: the server was,
            # unless its process is another one now.
            seen = self._presence.last_seen is not None
            was_lost = self._presence.port is None and old is not None and (
                seen or message.said.session != old.session
            )
            self._presence.port = message.port
            self._presence.last_seen = self._now
            self._settled = not was_lost
            if was_lost:
                self._board.later("settled", defaults.SETTLED_AFTER_S)
            self._board.cancel("grace")
            job = self._job if back.keeps_job else None
            left = 0.0 if job is None else self.directory.job_ends.left(job)
            kept = None if job is None else worker.kept_job(job, left, message.said.job)
            answer(reply, Registered(self._info(), back.row.epoch, kept, first=old is None))
            self._news("registered" if old is None else "online")
            if job is not None:
                reach = WorkerReach(back.row.board_epoch, True, message.said.job)
                self._tell_holder(old, reach)
                self._board.tell_lease(job)

        over = (back.job_over, back.job_reason) if back.job_over else None
        self._change(
            back.row, None, over=over, before=then, refused=lambda: self._register(message, reply)
        )

    def _link_lost(self) -> None:
        row = self._known
        self._presence.port = None
        self._board.link_lost()
        self.directory.give_back_permit(self._uuid)
        if row.state is WorkerState.RUN:
            self._tell_holder(row, WorkerReach(row.board_epoch, False))
            self._board.later("grace", self.directory.rules.grace_s, row.board_epoch)
        elif row.state is WorkerState.BUSY:
            self._board.later("maintenance", defaults.MAINTENANCE_WITHIN_S, row.board_epoch)
        self._sync_offer()
        self._news("offline")

    # --- it is lent and taken back
    def _assign(self, wanted: RequestRow) -> None:
        row = self._known
        endpoint = None
        well = self.directory.store.unwell is None
        if well and self._may_be_lent() and wanted.state is ReqState.WAIT:
            endpoint = self._reserve()
        if endpoint is None:
            self._refuse(wanted)
            return
        host, port = endpoint.host, endpoint.port
        held, job = request.assigned(wanted, row, self._now, host, port)
        mine = worker.claimed(row, wanted.id, self._now)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self.directory.access.close(endpoint)
                self._row = self.directory.store.worker(self._uuid)
                if conflict.kind is not RequestRow:
                    self._assign_again_later()  # the same offer would be refused at once again
                self._refuse(wanted)
                return
            self._row, self._refusals, self._offered = mine, 0, False
            self._board.lent(job, endpoint)
            self._lend(endpoint, mine, held, job)
            self._news("state")

        # One transaction (SAFETY, A1): if any row moved, nothing happened.
        self.commit((Write(held, wanted.rev), Write(mine, row.rev), Write(job, 0)), then)

    def _reserve(self) -> Endpoint | None:
        try:
            return self.directory.access.reserve()
        except (BorutaError, OSError) as error:
            self._assign_again_later()
            self._board.log("no_tunnel", error=error)
            return None

    def _assign_again_later(self) -> None:
        self._refusals += 1
        self._board.later("assign_again", worker.back_off(self._refusals, 0.5))

    def _refuse(self, wanted: RequestRow) -> None:
        self._offered = False
        self.directory.tell_matcher(AssignRefused(wanted.id, wanted.rev, self._uuid))
        self._sync_offer()

    def _release(self, req_id: int, epoch: int) -> None:
        row = self._row
        if row is None or row.state is not WorkerState.RUN:
            return
        if (row.request_id, row.board_epoch) == (req_id, epoch):
            self._change(worker.released(row, self._now), None)

    def _sweep(self) -> None:
        row = self._row
        if row is None or row.state is not WorkerState.RUN or row.request_id is None:
            return
        held = self.directory.store.request(row.request_id)
        if held is None or held.state is not ReqState.INPROGRESS:
            self._release(row.request_id, row.board_epoch)
        elif row.request_id not in self.directory.requests:
            self._board.log("holder_missing", request=row.request_id)

    # --- what its agent answers
    def _answered(self, epoch: int, command: str, outcome: object) -> None:
        row = self._row
        if row is None:
            return
        if command == "prepare" and (
            epoch == row.board_epoch or row.state is not WorkerState.PREPARE
        ):
            self.directory.give_back_permit(self._uuid)  # else a later prepare goes on with it
        if epoch != row.board_epoch:
            return  # of an older life of the board
        ok = not isinstance(outcome, BorutaError)
        if ok and command not in ("lease", "check"):
            self._board.session_over(self._now)
        match command, row.state:
            case "prepare", WorkerState.PREPARE:
                self._prepare_answered(row, outcome)
            case "maintenance", WorkerState.BUSY:
                if ok:
                    self._change(worker.in_maintenance(row, self._now), None)
                elif not isinstance(outcome, Unreachable):
                    self._change(worker.maintenance_failed(row, str(outcome), self._now), None)
            case "check", WorkerState.IDLE:
                self._checked(row, outcome)
            case "end_session", WorkerState.FAIL:
                if not ok and not isinstance(outcome, Unreachable):
                    self._board.later("end_session", defaults.END_SESSION_WITHIN_S, epoch)
            case _:
                pass

    def _checked(self, row: WorkerRow, outcome: object) -> None:
        if isinstance(outcome, Unreachable):
            return self._check_later()
        if isinstance(outcome, Checks):
            bad = [f"{one.name}: {one.detail}" for one in outcome.checks if not one.ok]
        else:
            bad = [str(outcome)]
        self._bad_checks = self._bad_checks + 1 if bad else 0
        if self._bad_checks < defaults.CHECKS_FAIL:
            return self._check_later()
        why = f"{self._bad_checks} healthchecks in a row failed; the last: {'; '.join(bad)}"
        return self._change(worker.unhealthy(row, why, self._now), None)

    def _prepare_answered(self, row: WorkerRow, outcome: object) -> None:
        ready = self._board.ready(outcome)
        if ready is not None:
            key, done = ready
            self._change(worker.prepared(row, key, done.username, done.host_keys, self._now), None)
        elif isinstance(outcome, Unreachable):
            return  # a cut link is no failed prepare: the order goes again when it registers (B7)
        elif isinstance(outcome, StaleEpoch):
            self._change(worker.retried(row), None)
        else:
            failed = worker.prepare_failed(row, str(outcome), self._now)
            self._board.log("prepare_failed", tries=row.failures + 1, error=repr(str(outcome)))
            self._change(failed, None, owes=False)
            if failed.state is WorkerState.PREPARE:
                delay = worker.back_off(failed.failures, self.directory.random())
                self._board.later("retry", delay, failed.board_epoch)

    def _due(self, what: str, epoch: int) -> None:
        row = self._row
        if row is None:
            return
        if what == "settled":
            self._settled = True
            self._sync_offer()
        elif what == "assign_again":
            self._sync_offer()
        elif epoch != row.board_epoch:
            return
        elif what == "check" and row.state is WorkerState.IDLE:
            self._board.order_check(row) if self._presence.online else self._check_later()
        elif what == "retry" and row.state is WorkerState.PREPARE:
            self._change(worker.retried(row), None)
        elif what == "grace" and row.state is WorkerState.RUN and not self._presence.online:
            if self.directory.store.unwell is not None:
                # Its agent cannot register while that cannot be written.
                self._board.later("grace", self.directory.rules.grace_s, epoch)
                return
            grace, ran = self.directory.rules.grace_s, self.directory.open_for
            if ran < grace:  # the server stood still (SAFETY, A7), or had to refuse it
                self._board.later("grace", grace - ran, epoch)
                return
            gone = worker.lost(row, self._now, self._job)
            self._change(gone, None, over=("board_lost", "its worker was lost: " + gone.reason))
        elif what == "maintenance" and row.state is WorkerState.BUSY:
            if not self._presence.online:
                self._change(worker.in_maintenance(row, self._now, told=False), None)
        elif what == "end_session" and row.state is WorkerState.FAIL:
            self._board.order_end(row, row.reason)
        elif what == "lease" and row.state is WorkerState.RUN and self._job is not None:
            self._board.tell_lease(self._job)

    def _permitted(self, epoch: int) -> None:
        row = self._row
        if row is not None and row.state is WorkerState.PREPARE and epoch == row.board_epoch:
            self._board.order_prepare(row)
        else:
            self.directory.give_back_permit(self._uuid)

    def _deregister(self, by: Caller, reply: Future | None) -> None:
        row = self._known
        worker.check_removable(row)
        self._board.session_over(self._now)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._row = self.directory.store.worker(self._uuid)
                fail(reply, InternalLogicError(f"worker {self._uuid} changed meanwhile"))
                return
            told, port = self._info(), self._presence.port
            self._row = None
            self.directory.tell_matcher(WorkerForgotten(self._uuid))
            self.directory.give_back_permit(self._uuid)  # the answer to its prepare comes to nobody
            self.directory.workers.pop(self._uuid, None)
            self.directory.presence.pop(self._uuid, None)
            less(self.directory.boards_of, row.owner_key)
            self.directory.feed.worker("deregistered", self._uuid, lambda: told)
            if port is not None:
                # Nobody listens to it any more. It comes back as a board that is not known yet, and
                # ends what it may still keep, since the answer then tells it of no job (A3).
                cut = partial(port.cut, f"worker {self._uuid} was deregistered by {by.name}")
                self.directory.journal.after(self._uuid, cut)
            answer(reply)
            self.stop()

        self.commit((Remove(WorkerRow, self._uuid, row.rev),), then)
