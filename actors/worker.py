"""One board: has its dryad prepare it, lends it to a request, takes it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, assert_never

import pykka

from actors.base import ActorGone, FarmActor, answer, fail
from actors.board import Board
from actors.directory import Directory, Presence
from actors.messages import (
    Answered,
    Assign,
    Assigned,
    AssignRefused,
    Deregister,
    Describe,
    Gone,
    LinkLost,
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
    WorkerGone,
    WorkerKnown,
    WorkerMessage,
    WorkerOffered,
    WorkerReach,
    WorkerWithdrawn,
)
from boruta.domain import defaults, policy, request, worker
from boruta.domain.commands import Checks, CommandReply, Healthcheck, Registered
from boruta.domain.errors import (
    BorutaError,
    InternalLogicError,
    NotFoundError,
    StaleEpoch,
    Unreachable,
)
from boruta.domain.interfaces import Endpoint
from boruta.domain.rows import Conflict, JobRow, Remove, RequestRow, WorkerRow, Write
from boruta.domain.types import ReqState, WorkerInfo, WorkerState, WorkerUUID


class WorkerActor(FarmActor[WorkerMessage]):
    """One board. What it is stands in its row; who its agent is, in the directory's presence."""

    kind = "worker"

    def __init__(self, directory: Directory, key: WorkerUUID) -> None:
        super().__init__(directory, key)
        self._uuid = key
        self._row: WorkerRow | None = None
        self._board = Board(directory, self.actor_ref, key)
        self._offered = False
        self._settled = True
        self._refusals = 0

    def on_start(self) -> None:
        """Starts from the row in the store, never from a predecessor's memory (A5)."""
        self._row = self.directory.store.worker(self._uuid)
        if self._row is None:
            return
        self.directory.tell_matcher(WorkerKnown(self._row))
        self._board.resume(self._row)
        self._owe(None, self._row)
        self._sync_offer()

    def on_stop(self) -> None:
        """No timer outlives it, nobody waits for it."""
        self._board.drop_timers()
        self.close_questions(ActorGone(f"worker {self._uuid} is gone"))

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves nothing behind for the one that is started in its place."""
        self._board.drop_timers()
        super().on_failure(exception_type, exception_value, traceback)

    def on_message(self, message: WorkerMessage, reply: pykka.Future[Any] | None) -> object:
        """Turns a message into an event of the board's life."""
        match message:
            case Describe():
                return self._info()
            case Register():
                self._register(message, reply)
            case LinkLost(port=port):
                if self._presence.port is port:
                    self._link_lost()
            case Assign(request=row):
                self._assign(row)
            case Release(request=req_id, epoch=epoch) | Gone(request=req_id, epoch=epoch):
                self._release(req_id, epoch)
            case TellEnd(job=job):
                if self._holds(job):
                    self._board.tell_lease(job)
            case SetState(state=state, reason=reason, drain=drain):
                policy.check_admin(message.by)
                row = worker.state_set(self._known, state, self._now, reason, drain)
                self._change(row, reply, over=("maintenance", reason or "put in maintenance"))
            case SetGroups(groups=groups):
                policy.check_admin(message.by)
                self._change(worker.groups_set(self._known, groups), reply)
            case SetFail(reason=reason):
                row = worker.reported(self._known, reason, self._now, self._job)
                self._change(row, reply, over=("board_failed", row.reason))
            case RunCheck():
                self._check(reply)
            case Deregister():
                policy.check_admin(message.by)
                self._deregister(reply)
            case Answered(epoch=epoch, command=command, outcome=outcome):
                self._answered(epoch, command, outcome)
            case WorkerDue(what=what, epoch=epoch):
                self._due(what, epoch)
            case PermitGranted(epoch=epoch):
                self._permitted(epoch)
            case Sweep():
                self._sweep()
            case _:
                assert_never(message)
        return None

    # --- its agent comes and goes
    def _register(self, message: Register, reply: pykka.Future[Any] | None) -> None:
        old, rules = self._row, self.directory.rules
        back = worker.registered(
            old,
            message.said,
            self._now,
            message.by.name,
            initial=rules.initial,
            auto_recover=rules.auto_recover,
            job=self._job,
        )

        def then() -> None:
            was_lost = self._presence.port is None and old is not None
            self._presence.port = message.port
            self._presence.last_seen = self._now
            self._settled = not was_lost
            if was_lost:
                self._board.later("settled", defaults.SETTLED_AFTER_S)
            self._board.cancel("grace")
            job = self._job if back.keeps_job else None
            kept = None if job is None else worker.kept_job(job, self._now)
            answer(reply, Registered(self._uuid, back.row.epoch, kept, first=old is None))
            self._news("registered" if old is None else "online")
            if job is not None:
                self._tell_holder(old, WorkerReach(back.row.board_epoch, True))
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
        if self._may_be_lent() and wanted.state is ReqState.WAIT:
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
                self._refuse(wanted)
                return
            self._row, self._refusals, self._offered = mine, 0, False
            self._board.lent(job, endpoint)
            self._board.tell_lease(job)
            try:
                self.directory.access.open(endpoint, mine.ssh_address, label=str(wanted.id))
            except BorutaError as error:
                self._assigned(held, job)
                self._tell_holder(mine, WorkerGone(job.board_epoch, "internal", str(error)))
                return
            self._assigned(held, job)
            self._news("state")

        # One transaction (SAFETY, A1): if any row moved, nothing happened.
        self.commit((Write(held, wanted.rev), Write(mine, row.rev), Write(job, 0)), then)

    def _assigned(self, held: RequestRow, job: JobRow) -> None:
        sender = (self._uuid, job.board_epoch)
        self.directory.tell_request(held.id, Assigned(held, job), sender)

    def _reserve(self) -> Endpoint | None:
        try:
            return self.directory.access.reserve()
        except (BorutaError, OSError) as error:
            self._refusals += 1
            self._board.later("assign_again", worker.back_off(self._refusals, 0.5))
            self._board.log("no_tunnel", error=error)
            return None

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
        if command == "prepare":
            self.directory.give_back_permit(self._uuid)
        if epoch != row.board_epoch:
            return  # of an older life of the board
        ok = not isinstance(outcome, BorutaError)
        if ok and command != "lease":
            self._board.session_over(self._now)
        match command, row.state:
            case "prepare", WorkerState.PREPARE:
                self._prepare_answered(row, outcome)
            case "maintenance", WorkerState.BUSY:
                if ok:
                    self._change(worker.in_maintenance(row, self._now), None)
                elif not isinstance(outcome, Unreachable):
                    self._change(worker.maintenance_failed(row, str(outcome), self._now), None)
            case "end_session", WorkerState.FAIL:
                if not ok and not isinstance(outcome, Unreachable):
                    self._board.later("end_session", defaults.END_SESSION_WITHIN_S, epoch)
            case _:
                pass

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
        elif what == "retry" and row.state is WorkerState.PREPARE:
            self._change(worker.retried(row), None)
        elif what == "grace" and row.state is WorkerState.RUN and not self._presence.online:
            grace, ran = self.directory.rules.grace_s, self.directory.ran_for
            if ran < grace:  # the server itself stood still (SAFETY, A7)
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

    def _check(self, reply: pykka.Future[Any] | None) -> None:
        port = self._presence.port
        if port is None:
            raise Unreachable(f"worker {self._uuid} is offline: nothing can be checked")

        def on_reply(outcome: CommandReply | BorutaError) -> None:
            if isinstance(outcome, Checks):
                answer(reply, outcome.checks)
            elif isinstance(outcome, BorutaError):
                fail(reply, outcome)
            else:
                fail(reply, InternalLogicError("the agent answered something else"))

        port.send(Healthcheck(), defaults.HEALTHCHECK_WITHIN_S, on_reply)

    def _deregister(self, reply: pykka.Future[Any] | None) -> None:
        row = self._known
        worker.check_removable(row)
        self._board.session_over(self._now)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._row = self.directory.store.worker(self._uuid)
                fail(reply, InternalLogicError(f"worker {self._uuid} changed meanwhile"))
                return
            info = self._info()
            self._row = None
            self.directory.tell_matcher(WorkerForgotten(self._uuid))
            self.directory.workers.pop(self._uuid, None)
            self.directory.presence.pop(self._uuid, None)
            self.directory.feed.worker("deregistered", info)
            answer(reply)
            self.stop()

        self.commit((Remove(WorkerRow, self._uuid, row.rev),), then)

    # --- every change goes this way
    def _change(
        self,
        row: WorkerRow | None,
        reply: pykka.Future[Any] | None,
        *,
        over: tuple[str, str] | None = None,
        before: Callable[[], None] | None = None,
        refused: Callable[[], None] | None = None,
        owes: bool = True,
    ) -> None:
        """Commits `row`, then tells: the holder, the matcher, the agent, those who watch.

        Args:
            row: the new row; None changes nothing.
            reply: who waits for it.
            over: reason code and reason for the holder, if his job ends with this change.
            before: what is told first of all.
            refused: what to do if the store refused, after the row was read anew.
            owes: whether the agent is owed a command if the row wants one.
        """
        if row is None:
            answer(reply)
            return
        old = self._row

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                self._row = self.directory.store.worker(self._uuid)
                if refused is not None:
                    refused()
                else:
                    fail(reply, InternalLogicError(f"worker {self._uuid} changed meanwhile"))
                return
            self._row = row
            if old is None or (old.caps, old.groups) != (row.caps, row.groups):
                self.directory.tell_matcher(WorkerKnown(row))
            if old is not None and old.request_id is not None and row.request_id is None:
                self._board.close_tunnel()  # before anything else (SAFETY, A4)
                if over is not None:
                    self._tell_holder(old, WorkerGone(old.board_epoch, *over))
            if before is not None:
                before()
            if owes:
                self._owe(old, row)
            self._sync_offer()
            answer(reply)
            if old is not None and old.state is not row.state:
                self._news("state")
            elif old is not None and old.groups != row.groups:
                self._news("groups")

        self.commit((Write(row, 0 if old is None else old.rev),), then)

    def _owe(self, old: WorkerRow | None, row: WorkerRow) -> None:
        """Sends the command of the row's state under the row's epoch."""
        new_order = old is None or old.board_epoch != row.board_epoch
        if row.state is WorkerState.PREPARE and new_order:
            self._board.order_prepare(row)
        elif row.state is WorkerState.BUSY and new_order:
            self._board.order_maintenance(row)
            if not self._presence.online:
                self._board.later("maintenance", defaults.MAINTENANCE_WITHIN_S, row.board_epoch)
        elif (
            row.state is WorkerState.FAIL
            and old is not None
            and (old.state is not row.state or self._board.owes_end)
        ):
            self._board.order_end(row, row.reason)

    def _sync_offer(self) -> None:
        may = self._may_be_lent() and not self._board.has_timer("assign_again")
        if may is self._offered:
            return
        self._offered = may
        if not may:
            self.directory.tell_matcher(WorkerWithdrawn(self._uuid))
            return
        failed_at = self._known.failed_at
        recently = failed_at is not None and self._now - failed_at < timedelta(
            seconds=defaults.RECENT_FAILURE_S
        )
        self.directory.tell_matcher(WorkerOffered(self._uuid, recently))

    def _may_be_lent(self) -> bool:
        row = self._row
        return (
            row is not None
            and row.state is WorkerState.IDLE
            and bool(row.prepared_key)
            and self._presence.online
            and self._settled
        )

    # --- small things
    def _tell_holder(self, row: WorkerRow | None, message: WorkerGone | WorkerReach) -> None:
        if row is not None and row.request_id is not None:
            self.directory.tell_request(row.request_id, message)

    def _holds(self, job: JobRow) -> bool:
        row = self._row
        return row is not None and (row.request_id, row.board_epoch) == (
            job.request_id,
            job.board_epoch,
        )

    @property
    def _job(self) -> JobRow | None:
        row = self._row
        if row is None or row.request_id is None:
            return None
        return self.directory.store.job(row.request_id)

    @property
    def _known(self) -> WorkerRow:
        if self._row is None:
            raise NotFoundError(f"worker {self._uuid} not found")
        return self._row

    @property
    def _presence(self) -> Presence:
        return self.directory.presence.setdefault(self._uuid, Presence())

    def _info(self) -> WorkerInfo:
        there = self._presence
        return worker.info(self._known, online=there.online, last_seen=there.last_seen)

    def _news(self, kind: str) -> None:
        self.directory.feed.worker(kind, self._info())

    @property
    def _now(self) -> datetime:
        return self.directory.dispatcher.utcnow()
