"""What stands behind every change of a board: the row, the agent, the matcher, the watchers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType

from actors.base import FarmActor, answer, fail
from actors.board import Board
from actors.directory import Directory
from actors.inboxes import WorkerMessage
from actors.messages import (
    Assigned,
    Gone,
    WorkerGone,
    WorkerKnown,
    WorkerOffered,
    WorkerReach,
    WorkerWithdrawn,
)
from actors.runtime import Future
from boruta.domain import defaults, returning, worker
from boruta.domain.commands import Checks, CommandReply, Healthcheck
from boruta.domain.errors import (
    BorutaError,
    Busy,
    InternalLogicError,
    NotFoundError,
    Unreachable,
)
from boruta.domain.ports import Endpoint
from boruta.domain.rows import Conflict, JobRow, RequestRow, WorkerRow, Write
from boruta.domain.types import Caller, ReqState, Role, WorkerInfo, WorkerState, WorkerUUID

_MOVES = 3  # ports that are tried in the place of one that is taken


class WorkerShell(FarmActor[WorkerMessage]):
    """The row of one board, and the one way to change it: commit, then tell everybody."""

    kind = "worker"

    def __init__(self, directory: Directory, key: WorkerUUID) -> None:
        super().__init__(directory, key)
        self._uuid = key
        self._row: WorkerRow | None = None
        self._presence = directory.there(key)
        self._board = Board(directory, self.actor_ref, key, self._presence)
        self._offered = False
        self._settled = True
        self._refusals = 0
        self._bad_checks = 0

    def begin(self) -> None:
        """Starts from the row in the store, never from a predecessor's memory (A5)."""
        row = self._row = self.directory.store.worker(self._uuid)
        self.directory.give_back_permit(self._uuid)
        if row is None:
            return
        self.directory.tell_matcher(WorkerKnown(row))
        job = self.directory.store.live_job(self._uuid)
        if job is not None:
            self._resume(row, job)
        if row.state is WorkerState.RUN and not self._presence.online:
            # After a start the agents need longer: all of them come back at once (SAFETY, B6).
            left = self.directory.start_left(defaults.START_GRACE_S)
            grace = max(self.directory.rules.grace_s, left)
            self._board.later("grace", grace, row.board_epoch)
        if row.state in (WorkerState.PREPARE, WorkerState.BUSY) and self._presence.online:
            self._change(worker.retried(row), None)  # what a predecessor has sent is not waited for
        else:
            self._owe(None, row)
        self._check_later()
        self._sync_offer()

    def _resume(self, row: WorkerRow, job: JobRow) -> None:
        """What a predecessor committed of this job, it may not have lived to tell."""
        endpoint = self._board.resume(job)
        if (row.request_id, row.board_epoch) != (job.request_id, job.board_epoch):
            self._board.close_tunnel()
            gone = WorkerGone(job.board_epoch, *returning.why_taken_back(row))
            self.directory.tell_request(job.request_id, gone)
            return
        held = self.directory.store.request(job.request_id)
        if held is not None and held.state is ReqState.INPROGRESS:
            self._lend(endpoint, row, held, job, moves=_MOVES)
        else:  # its end was written, the board's release was not: nobody gets in meanwhile (A4)
            self.actor_ref.tell(Gone(job.request_id, job.board_epoch))

    def _lend(
        self, endpoint: Endpoint, row: WorkerRow, held: RequestRow, job: JobRow, moves: int = 0
    ) -> None:
        """Tells of a job that is committed: the agent, the tunnel, the request. May be repeated.

        Where the tunnel's own port is taken, `moves` others are tried.
        """
        lost = None
        try:
            self.directory.access.open(endpoint, row.ssh_address, label=str(held.id))
        except (BorutaError, OSError) as error:
            self._board.log("no_tunnel", request=held.id, error=error)
            if moves:
                self._move(row, held, job, moves)
                return
            lost = WorkerGone(job.board_epoch, "internal", f"no tunnel to its board: {error}")
        self._board.tell_lease(job)
        sender = (self._uuid, job.board_epoch)
        self.directory.tell_request(held.id, Assigned(held, job), sender)
        if lost is not None:
            self._tell_holder(row, lost)

    def _move(self, row: WorkerRow, held: RequestRow, job: JobRow, moves: int) -> None:
        """The job goes on by another port: its own has been taken since the server went away."""
        try:
            endpoint = self.directory.access.reserve()
        except (BorutaError, OSError):
            self._lend(self._board.resume(job), row, held, job)
            return
        moved = job._replace(rev=job.rev + 1, tunnel_host=endpoint.host, tunnel_port=endpoint.port)

        def then(conflict: Conflict | None) -> None:
            if conflict is not None:  # that port is another job's, which comes back after this one
                self.directory.access.close(endpoint)
                self._lend(self._board.resume(job), row, held, job, moves - 1)
                return
            self._lend(self._board.resume(moved), row, held, moved)

        self.commit((Write(moved, job.rev),), then)

    def on_stop(self) -> None:
        """No timer outlives it, nobody waits for it."""
        self._board.drop_timers()
        super().on_stop()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves nothing behind for the one that is started in its place."""
        self._board.drop_timers()
        super().on_failure(exception_type, exception_value, traceback)

    # --- every change goes this way
    def _change(
        self,
        row: WorkerRow | None,
        reply: Future | None,
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
                if self.directory.store.unwell is not None:
                    # The order that ends it waits for the store; he must not stay so long (A10).
                    self._board.order_end(old, row.reason)
                if over is not None:
                    self._tell_holder(old, WorkerGone(old.board_epoch, *over))
            if before is not None:
                before()
            if owes:
                self._owe(old, row)
            if old is None or old.state is not row.state:
                self._check_later()
            self._sync_offer()
            answer(reply)
            if old is not None and old.state is not row.state:
                self._news("state")
                if row.state is WorkerState.FAIL:
                    self._board.log("failed", cause=row.reason_code, reason=repr(row.reason))
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
                # Nobody is there to be told: it hears of it when it comes back (SAFETY, A4).
                self._board.later("maintenance", 0.0, row.board_epoch)
        elif row.state is WorkerState.FAIL:
            self._board.order_end(row, row.reason)  # if a session may be alive

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

    def _check_later(self) -> None:
        every = self.directory.rules.check_every_s
        if every and self._row is not None and self._row.state is WorkerState.IDLE:
            self._board.later("check", every, self._row.board_epoch)
        else:
            self._bad_checks = 0
            self._board.cancel("check")

    def _may_be_lent(self) -> bool:
        row = self._row
        return (
            row is not None
            and row.state is WorkerState.IDLE
            and bool(row.prepared_key)
            and self._presence.online
            and self._settled
        )

    # --- what is asked of it
    def _check_may_have_another(self, by: Caller) -> None:
        """Whether this key may register one more board (SAFETY, C11).

        Raises:
            Busy: it has too many; there is no such board then, and no actor for it.
        """
        count, most = self.directory.boards_of[by.name], self.directory.rules.per_key
        if by.role is not Role.WORKER or count < most:
            return
        self._leave_unknown()
        raise Busy(
            f"the key {by.name} has registered {count} boards; [workers] per_key allows {most}",
            retry_after_s=defaults.BACKOFF_S[1],
        )

    def _check_store_takes_it(self) -> None:
        try:
            self.directory.check_store()
        except BorutaError:
            if self._row is None:
                self._leave_unknown()
            raise

    def _leave_unknown(self) -> None:
        """There is no such board: no actor of it is left either."""
        self.directory.workers.pop(self._uuid, None)
        self.directory.presence.pop(self._uuid, None)
        self.stop()

    def _check(self, reply: Future | None) -> None:
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

    def _info(self) -> WorkerInfo:
        there = self._presence
        return worker.info(self._known, there.online, there.last_seen)

    def _news(self, kind: str) -> None:
        there = self._presence
        self.directory.feed.tell(
            kind, self._uuid, worker.info, self._known, there.online, there.last_seen
        )

    @property
    def _now(self) -> datetime:
        return self.directory.dispatcher.utcnow()
