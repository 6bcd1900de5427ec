"""The life of a request: what is known of it and what happened in, what it becomes out.

Every function takes rows and returns new ones with a higher `rev`, or raises and changes
nothing; the store decides whether they count. No clock is read: `now` comes with the event.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from boruta.domain import defaults
from boruta.domain.commands import KeptJob
from boruta.domain.errors import ActionRefused, ProlongLimit, WorkerNotAssigned
from boruta.domain.rows import JobRow, ProlongedBy, RequestRow, WorkerRow
from boruta.domain.states import ReqEvent, request_after
from boruta.domain.types import (
    AccessInfo,
    Capabilities,
    Prolonged,
    ReqState,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take; durations in seconds."""

    job_timeout_s: float = defaults.JOB_TIMEOUT_S
    max_job_timeout_s: float = defaults.MAX_JOB_TIMEOUT_S
    prolongs: int = defaults.PROLONGS
    prolong_total_s: float = defaults.PROLONG_TOTAL_S


REASONS = {
    "closed": "closed by {by}",
    "cancelled": "cancelled by {by}",
    "time_up": "the job's time is up",
    "client_lost": "its client vanished and its lease ran out",
    "deadline": "no board came before its deadline",
    "unservable": "no known board could ever serve it",
    "internal": "Boruta failed; see the server's log",
}


def body_hash(caps: Capabilities, *rest: object) -> bytes:
    """What tells a repeated `new` from another one with the same token."""
    text = repr((sorted(caps.items()), rest))
    return hashlib.sha256(text.encode()).digest()[:16]


def ended(row: RequestRow, event: ReqEvent, now: datetime, code: str, reason: str) -> RequestRow:
    """The request after an event that ends it.

    Raises:
        ActionRefused: its state does not allow the event.
    """
    return row._replace(
        rev=row.rev + 1,
        state=request_after(row.state, event),
        reason_code=code,
        reason=reason,
        ended=now,
    )


def closed(row: RequestRow, now: datetime, by: str, code: str = "") -> RequestRow:
    """Cancelled if it waits, done if it runs (original, 5.2).

    Args:
        row: the request.
        now: aware UTC.
        by: who closes it.
        code: the reason if it is not the user's wish, e.g. ``client_lost``.

    Raises:
        ActionRefused: it has ended; details say how.
    """
    if row.state.ended:
        raise ActionRefused(
            f"request {row.id} is {row.state.value} since "
            f"{row.ended:%Y-%m-%d %H:%M:%S}Z ({row.reason}): there is nothing to close",
            state=row.state.value,
            reason_code=row.reason_code,
        )
    if not code:
        code = "cancelled" if row.state is ReqState.WAIT else "closed"
    return ended(row, ReqEvent.CLOSED, now, code, REASONS[code].format(by=by or "its owner"))


def expired(row: RequestRow, now: datetime) -> RequestRow | None:
    """TIMEOUT if its deadline is not after `now` and it still waits, else None."""
    if row.state is not ReqState.WAIT or row.deadline > now:
        return None
    return ended(row, ReqEvent.DEADLINE_PASSED, now, "deadline", REASONS["deadline"])


def out_of_time(row: RequestRow, job: JobRow | None, now: datetime) -> RequestRow | None:
    """DONE with ``time_up`` if its job's end is not after `now`, else None (original, 5.2)."""
    if row.state is not ReqState.INPROGRESS or job is None or job.ends_at > now:
        return None
    return ended(row, ReqEvent.TIME_UP, now, "time_up", REASONS["time_up"])


def early(row: RequestRow, now: datetime) -> bool:
    """Whether it is not valid yet.

    It is never earlier than its own creation: a clock that was set back since then, with a server
    that was started again, makes nobody wait who was valid at once.
    """
    return row.valid_after > max(now, row.created)


def ready(row: RequestRow, now: datetime) -> bool:
    """Whether it may be matched: waiting, valid, its deadline still ahead."""
    return row.state is ReqState.WAIT and not early(row, now) and now < row.deadline


def assigned(
    row: RequestRow, worker: WorkerRow, now: datetime, host: str, port: int
) -> tuple[RequestRow, JobRow]:
    """The request and its job after the claim of `worker`, whose prepared key is the job's.

    Raises:
        ActionRefused: the request does not wait.
    """
    request = row._replace(
        rev=row.rev + 1,
        state=request_after(row.state, ReqEvent.ASSIGNED),
        started=now,
        reason="",
        reason_code="",
    )
    job = JobRow(
        request_id=row.id,
        rev=1,
        worker_uuid=worker.uuid,
        board_epoch=worker.board_epoch,
        started=now,
        ends_at=now + timedelta(seconds=row.job_timeout_s),
        end_rev=1,
        key=worker.prepared_key,
        username=worker.username,
        host_keys=worker.host_keys,
        tunnel_host=host,
        tunnel_port=port,
    )
    return request, job


def running(row: RequestRow, job: JobRow | None) -> JobRow:
    """The live job.

    Raises:
        WorkerNotAssigned: it waits or has ended; details.state says which.
    """
    if row.state is not ReqState.INPROGRESS or job is None:
        what = f" ({row.reason})" if row.reason else ""
        hint = "acquire waits for a board" if row.state is ReqState.WAIT else "make a new request"
        raise WorkerNotAssigned(
            f"request {row.id} is {row.state.value}{what} and holds no board; {hint}",
            state=row.state.value,
            reason_code=row.reason_code,
        )
    return job


def acquired(row: RequestRow, job: JobRow, now: datetime) -> JobRow | None:
    """The job after an acquire: the first one starts its time anew, others change nothing."""
    if job.acquired_at is not None:
        return None
    return job._replace(
        rev=job.rev + 1,
        acquired_at=now,
        ends_at=now + timedelta(seconds=row.job_timeout_s),
        end_rev=job.end_rev + 1,
    )


def kept(row: RequestRow, job: JobRow, said: KeptJob, now: datetime) -> JobRow | None:
    """The job whose end was read from a store, after its agent said how much of it is left.

    The agent has counted by a clock that no step moves, so it wins if it knows of the last end
    (SAFETY, A8). None if that changes nothing.
    """
    if (said.id, said.epoch, said.end_rev) != (row.id, job.board_epoch, job.end_rev):
        return None
    left = min(max(0.0, said.remaining_s), row.job_timeout_s)  # no end is set further ahead
    ends_at = now + timedelta(seconds=left)
    if abs((ends_at - job.ends_at).total_seconds()) < defaults.CLOCKS_AGREE_S:
        return None
    return job._replace(rev=job.rev + 1, ends_at=ends_at)


def prolongs_left(job: JobRow | None, limits: Limits) -> int:
    """How many prolongs are left."""
    return limits.prolongs if job is None else max(0, limits.prolongs - job.prolongs)


def prolonged(
    row: RequestRow,
    job: JobRow | None,
    now: datetime,
    limits: Limits,
    token: str | None,
    by: str = "",
) -> JobRow:
    """The job after a prolong: its end is now + job time, never earlier than it was.

    Args:
        row: the request.
        job: its job.
        now: aware UTC.
        limits: what it may take.
        token: what tells this call from another one, if it is to have its effect once.
        by: the name of the key whose token it is.

    Raises:
        WorkerNotAssigned: it holds no board.
        ProlongLimit: too often, or beyond the total; the text says how much is left.
    """
    job = running(row, job)
    if job.prolongs >= limits.prolongs:
        raise ProlongLimit(
            f"request {row.id} was prolonged {job.prolongs} times, which is the limit; "
            f"it ends {job.ends_at:%Y-%m-%d %H:%M:%S}Z",
            prolongs_left=0,
        )
    first_end = (job.acquired_at or job.started) + timedelta(seconds=row.job_timeout_s)
    last = first_end + timedelta(seconds=limits.prolong_total_s)
    end = min(now + timedelta(seconds=row.job_timeout_s), last)
    if end <= job.ends_at and now + timedelta(seconds=row.job_timeout_s) > last:
        raise ProlongLimit(
            f"request {row.id} may be prolonged by {limits.prolong_total_s:g} s in all, and "
            f"0 s are left; it ends {job.ends_at:%Y-%m-%d %H:%M:%S}Z",
            prolongs_left=0,
        )
    end, number = max(end, job.ends_at), job.prolongs + 1
    done = () if token is None else (ProlongedBy(by, token, end, number),)
    return job._replace(
        rev=job.rev + 1,
        ends_at=end,
        end_rev=job.end_rev + 1,
        prolongs=number,
        prolonged_by=job.prolonged_by + done,
    )


def prolong_answer(job: JobRow, limits: Limits) -> Prolonged:
    """What the one who prolonged is told."""
    return Prolonged(job.ends_at, prolongs_left(job, limits))


def prolonged_before(job: JobRow, limits: Limits, token: str | None, by: str) -> Prolonged | None:
    """What this very prolong was answered, if it has had its effect; else None."""
    for done in job.prolonged_by if token is not None else ():
        if (done.name, done.token) == (by, token):
            return Prolonged(done.ends_at, max(0, limits.prolongs - done.number))
    return None


def access(job: JobRow, host: str) -> AccessInfo:
    """How the holder reaches his board; `host` is the server as he knows it."""
    return AccessInfo(
        host=host,
        port=job.tunnel_port,
        username=job.username,
        key=job.key,
        host_keys=job.host_keys,
        expires=job.ends_at,
    )
