"""What stands behind every change of a request: its rows, its timers, its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType

from actors.base import FarmActor, answer, fail
from actors.directory import Directory
from actors.inboxes import RequestMessage
from actors.messages import Acquire, Due, Release, RequestLeft, RequestReady
from actors.runtime import Future, TimerHandle
from boruta.domain import defaults, request, showing
from boruta.domain.errors import ActionRefused, BorutaError, InternalLogicError
from boruta.domain.rows import Conflict, JobRow, RequestRow, Write
from boruta.domain.states import ReqEvent
from boruta.domain.types import ReqID, ReqInfo, ReqState

_MOMENT_S = 0.001  # what floats make of a moment that has come is not worth another timer


class RequestShell(FarmActor[RequestMessage]):
    """The rows of one request, its timers, and the one way to end it."""

    kind = "request"
    use_pykka_registry = False  # there are 100,000 of them, and Pykka's registry is a list

    def __init__(self, directory: Directory, key: ReqID) -> None:
        super().__init__(directory, key)
        self._id = key
        self._row: RequestRow
        self._job: JobRow | None = None
        self._waiters: list[tuple[Acquire, Future]] = []
        self._timer: TimerHandle | None = None
        self._next: Due | None = None  # what it brings; one that comes late is of an older timer
        self._reachable = True
        self._end_was_read = False  # from the store: by a wall clock that may have been set since

    def begin(self) -> None:
        """Starts from the row in the store, never from a predecessor's memory (A5)."""
        self._reload()
        if self._job is not None:
            there = self.directory.presence.get(self._job.worker_uuid)
            self._reachable = there is not None and there.online
            self._end_was_read = not self._reachable
        self._arrange()

    def on_stop(self) -> None:
        """No timer outlives it, nobody waits for it."""
        self._drop_timer()
        self._drop_waiters()
        super().on_stop()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves nothing behind for the one that is started in its place."""
        self._drop_timer()
        self._drop_waiters()
        super().on_failure(exception_type, exception_value, traceback)

    def _arrange(self) -> None:
        """The timer of what comes next, and the queue, as the row wants them."""
        row, now = self._row, self._now
        if row.state is ReqState.WAIT:
            if request.early(row, now):
                next_at = min(row.valid_after, row.deadline)
                self.directory.tell_matcher(RequestLeft(self._id))
            else:
                next_at = row.deadline
                if next_at > now:
                    self.directory.tell_matcher(RequestReady(row))
            self._wake(max(0.0, (next_at - now).total_seconds()), "row")
        elif row.state is ReqState.INPROGRESS and self._job is not None:
            left = self._lasts(self._job)
            for before in defaults.ENDING_SOON_S:
                if left > before:
                    self._wake(left - before, "ending_soon")
                    break
            else:
                self._wake(left, "job_end")
        else:
            self._drop_timer()

    def _wake(self, seconds: float, what: str) -> None:
        self._drop_timer()
        self._next = Due(what)
        self._timer = self.directory.dispatcher.tell_later(seconds, self.actor_ref, self._next)

    def _job_left(self, job: JobRow) -> float:
        """Seconds to the job's end, which no step of the wall clock moves (SAFETY, A8)."""
        left = self.directory.job_ends.left(job)
        return left if left > _MOMENT_S else 0.0

    def _dated(self, job: JobRow) -> JobRow:
        """The job with its end as a date of the clock as it is now; it may have been set since."""
        ends_at = self._now + timedelta(seconds=self._job_left(job))
        if abs((ends_at - job.ends_at).total_seconds()) < defaults.CLOCKS_AGREE_S:
            return job
        return job._replace(ends_at=ends_at)

    def _lasts(self, job: JobRow) -> float:
        """Seconds until the server itself ends the job.

        After a start the agents come back and tell how much of their jobs is left, and meanwhile
        end them by their own clocks: an end that was read from the store waits for that.
        """
        left = self._job_left(job)
        if self._end_was_read:
            return max(left, self.directory.start_left(defaults.START_GRACE_S))
        return left

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._next = None

    def _drop_waiters(self) -> list[tuple[Acquire, Future]]:
        if not self._waiters:
            return []
        waiters, self._waiters = self._waiters, []
        for message, _ in waiters:
            self.directory.acquire_over(message.by.name)
        return waiters

    # --- the end
    def _ended(self, event: ReqEvent, code: str, reason: str) -> RequestRow:
        return request.ended(self._row, event, self._now, code, reason)

    def _end(self, row: RequestRow, reply: Future | None = None) -> None:
        def then(conflict: Conflict | None) -> None:
            if conflict is not None:
                # Somebody else moved the row: what ends it is decided anew from what it is now.
                self._caught_up(reply, lambda: self._end_anew(row, reply))
                return
            self._row = row
            self._finish()
            answer(reply)

        self.commit((Write(row, row.rev - 1),), then)

    def _end_anew(self, wanted: RequestRow, reply: Future | None) -> None:
        if self._row.state.ended:
            raise ActionRefused(
                f"request {self._id} is {self._row.state.value} already ({self._row.reason})",
                state=self._row.state.value,
            )
        code = "" if wanted.reason_code in ("closed", "cancelled") else wanted.reason_code
        self._end(request.closed(self._row, self._now, self._row.owner_name, code), reply)

    def _finish(self) -> None:
        self._drop_timer()
        job = self._job
        if job is None:  # else it has left the queue already
            self.directory.tell_matcher(RequestLeft(self._id))
        else:
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
    def _caught_up(self, reply: Future | None, again: Callable[[], None]) -> None:
        """After a refused compare-and-set: read the row, decide anew (SAFETY, A5)."""
        waited = self._row.state is ReqState.WAIT
        before = (self._row.rev, self._job.rev if self._job else 0)
        self._reload()
        if (self._row.rev, self._job.rev if self._job else 0) == before:
            raise InternalLogicError(f"request {self._id}: a change was refused without a cause")
        if waited and self._row.state is ReqState.INPROGRESS:
            self._began()  # its claim is read before it is told, and what is told then is old news
        else:
            self._arrange()
        try:
            again()
        except BorutaError as error:
            fail(reply, error)

    def _began(self) -> None:
        """A board is claimed for it."""
        raise NotImplementedError

    def _reload(self) -> None:
        row = self.directory.store.request(self._id)
        if row is None:
            raise InternalLogicError(f"request {self._id} has no row")
        self._row, self._job = row, self.directory.store.job(self._id)

    def _info(self) -> ReqInfo:
        return describe(self._row, self._job, self.directory, self._reachable)

    def _tell_feed(self, kind: str) -> None:
        directory = self.directory
        directory.feed.tell(
            kind, self._id, describe, self._row, self._job, directory, self._reachable
        )

    @property
    def _now(self) -> datetime:
        return self.directory.dispatcher.utcnow()


def describe(
    row: RequestRow, job: JobRow | None, directory: Directory, reachable: bool = True
) -> ReqInfo:
    """The request as anyone may see it; says so if its board is out of reach."""
    lost = job is not None and not reachable and row.state is ReqState.INPROGRESS
    said = out_of_reach(job) if job is not None and lost else ""
    return showing.info(row, job, directory.rules.limits, reason=said)


def out_of_reach(job: JobRow) -> str:
    """What is said of a running request whose board is not there."""
    return f"its worker {job.worker_uuid} is out of reach; the job goes on"
