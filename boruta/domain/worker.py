"""The life of a board: what is known of it and what happened in, what it becomes out.

Every function takes the worker's row and returns a new one with a higher `rev`, or raises and
changes nothing. A row in PREPARE or BUSY whose board epoch has risen owes the agent a command
under that epoch (SAFETY, A2: the epoch is committed before a command carries it).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from boruta.domain import defaults
from boruta.domain.commands import KeptJob
from boruta.domain.errors import FailRefused, StateNotAllowed, WorkerNotRemovable
from boruta.domain.quick import quick
from boruta.domain.rows import JobRow, WorkerRow
from boruta.domain.states import WorkerEvent, worker_after
from boruta.domain.types import Groups, ReqID, WorkerInfo, WorkerState

_S, _E = WorkerState, WorkerEvent
_worker_info: Final = quick(WorkerInfo)
BOARD_FAULTS: Final = frozenset({"board_failed", "board_lost"})


def _step(row: WorkerRow, event: WorkerEvent, now: datetime, **fields: object) -> WorkerRow:
    state = worker_after(row.state, event)
    if state is not row.state:
        fields["since"] = now
    return row._replace(rev=row.rev + 1, state=state, **fields)  # type: ignore[arg-type]


def prepare_anew(row: WorkerRow, event: WorkerEvent, now: datetime, **more: object) -> WorkerRow:
    """PREPARE under a new epoch, with nothing left of what was."""
    return _step(
        row,
        event,
        now,
        board_epoch=row.board_epoch + 1,
        request_id=None,
        prepared_key="",
        reason="",
        reason_code="",
        **more,
    )


def taken_out(row: WorkerRow, now: datetime, reason: str) -> WorkerRow:
    """BUSY under a new epoch, on its way to MAINTENANCE."""
    return _step(
        row,
        _E.TAKE_OUT,
        now,
        board_epoch=row.board_epoch + 1,
        request_id=None,
        prepared_key="",
        drain=False,
        reason=reason,
        reason_code="",
        failures=0,
    )


def job_failed(
    row: WorkerRow, event: WorkerEvent, now: datetime, why: str, job: JobRow | None
) -> WorkerRow:
    """After a job that the board failed: a third short one in a row takes it out (B5)."""
    short = job is not None and (now - job.started).total_seconds() < defaults.SHORT_JOB_S
    counted = row._replace(short_jobs=row.short_jobs + 1 if short else 0, failed_at=now)
    if counted.short_jobs >= defaults.SHORT_JOBS_FAIL:
        text = f"failed {counted.short_jobs} short jobs in a row; the last: {why}"
        return _fail(counted, _E.UNHEALTHY, now, "health", text)
    if event is _E.RETURNED:
        return prepare_anew(counted, event, now)
    code = "lost" if event is _E.LOST else "reported"
    return _fail(counted, event, now, code, why)


def _fail(row: WorkerRow, event: WorkerEvent, now: datetime, code: str, reason: str) -> WorkerRow:
    return _step(
        row,
        event,
        now,
        request_id=None,
        prepared_key="",
        reason=reason,
        reason_code=code,
        failed_at=now,
        drain=False,
    )


def check_settable(state: WorkerState) -> None:
    """Whether an admin may set this state at all.

    Raises:
        StateNotAllowed: neither IDLE nor MAINTENANCE.
    """
    if state not in (_S.IDLE, _S.MAINTENANCE):
        raise StateNotAllowed(
            f"state {str(state)!r} cannot be set; allowed are IDLE and MAINTENANCE"
        )


def state_set(
    row: WorkerRow, state: WorkerState, now: datetime, reason: str, drain: bool
) -> WorkerRow | None:
    """The worker after an admin's order, or None if there is nothing to do (original, 6.3).

    Raises:
        StateNotAllowed: neither IDLE nor MAINTENANCE.
        TransitionRefused: not from this state.
    """
    check_settable(state)
    if state is _S.IDLE:
        if row.state is _S.PREPARE:
            return None
        if row.state is _S.RUN and row.drain:
            return row._replace(rev=row.rev + 1, drain=False, reason="")
        return prepare_anew(row, _E.ENABLE, now)
    if row.state is _S.BUSY:
        return None
    if drain and row.state is _S.RUN:
        return row._replace(rev=row.rev + 1, drain=True, reason=reason)
    return taken_out(row, now, reason)


def groups_set(row: WorkerRow, groups: Groups) -> WorkerRow:
    """The worker with other groups, sorted (original, 6.3)."""
    return row._replace(rev=row.rev + 1, groups=tuple(sorted(groups)))


def prepared(
    row: WorkerRow, key: str, username: str, host_keys: tuple[str, ...], now: datetime
) -> WorkerRow:
    """IDLE, with the key that the next job gets."""
    return _step(
        row,
        _E.PREPARED,
        now,
        prepared_key=key,
        username=username,
        host_keys=host_keys,
        failures=0,
        reason="",
        reason_code="",
    )


def prepare_failed(row: WorkerRow, why: str, now: datetime) -> WorkerRow:
    """One failure more: still PREPARE, or FAILED after `defaults.PREPARE_TRIES`."""
    failures = row.failures + 1
    if failures >= defaults.PREPARE_TRIES:
        text = f"could not be prepared ({failures} times): {why}"
        return _fail(row, _E.PREPARE_FAILED, now, "prepare", text)._replace(failures=0)
    text = f"prepare failed ({failures} of {defaults.PREPARE_TRIES}): {why}"
    return row._replace(rev=row.rev + 1, failures=failures, reason=text, failed_at=now)


def retried(row: WorkerRow) -> WorkerRow:
    """The same order under a new epoch (B7)."""
    return row._replace(rev=row.rev + 1, board_epoch=row.board_epoch + 1)


def in_maintenance(row: WorkerRow, now: datetime, *, told: bool = True) -> WorkerRow:
    """MAINTENANCE; `told` is False if the agent is out of reach and hears it when it returns."""
    if told:
        return _step(row, _E.IN_MAINTENANCE, now, reason_code="")
    return _step(row, _E.IN_MAINTENANCE, now, reason_code="unreachable")


def maintenance_failed(row: WorkerRow, why: str, now: datetime) -> WorkerRow:
    """FAILED: the agent did not carry out put_in_maintenance."""
    return _fail(row, _E.MAINTENANCE_FAILED, now, "prepare", f"put_in_maintenance failed: {why}")


def claimed(row: WorkerRow, request: ReqID, now: datetime) -> WorkerRow:
    """RUN, held by `request`."""
    return _step(row, _E.CLAIMED, now, request_id=request)


def released(row: WorkerRow, now: datetime) -> WorkerRow:
    """After a job that ended well: to be prepared anew, or put in maintenance if it drains."""
    fresh = prepare_anew(row, _E.RELEASED, now, short_jobs=0)
    if not row.drain:
        return fresh
    return taken_out(fresh, now, row.reason)._replace(rev=row.rev + 1)


def unhealthy(row: WorkerRow, why: str, now: datetime) -> WorkerRow:
    """FAILED: healthchecks found the same kind of thing again and again."""
    return _fail(row, _E.UNHEALTHY, now, "health", why)


def reported(row: WorkerRow, reason: str, now: datetime, job: JobRow | None) -> WorkerRow:
    """FAILED, as its agent reports (original, 6.3, but the reason is kept).

    Raises:
        FailRefused: in MAINTENANCE or BUSY.
    """
    if row.state in (_S.MAINTENANCE, _S.BUSY):
        raise FailRefused(
            f"worker {row.uuid} is {row.state.value}: it is not set FAILED in that state",
            state=row.state.value,
        )
    why = reason or "its agent reported a failure"
    if row.state is _S.RUN:
        return job_failed(row, _E.REPORTED, now, why, job)
    return _fail(row, _E.REPORTED, now, "reported", why)


def lost(row: WorkerRow, now: datetime, job: JobRow | None) -> WorkerRow:
    """FAILED: out of reach for longer than the grace while it held a job."""
    return job_failed(row, _E.LOST, now, "its agent was out of reach for too long", job)


def check_removable(row: WorkerRow) -> None:
    """Whether it may be deregistered.

    Raises:
        WorkerNotRemovable: not in MAINTENANCE or FAILED.
    """
    if row.state not in (_S.MAINTENANCE, _S.FAIL):
        raise WorkerNotRemovable(
            f"worker {row.uuid} is {row.state.value}; only one in MAINTENANCE or FAILED is "
            f"deregistered: boruta worker maintenance {row.uuid}",
            state=row.state.value,
        )


def kept_job(job: JobRow, left_s: float, said: KeptJob | None) -> KeptJob:
    """What a returning agent is told of its job; of the same end its own clock knows best (A8)."""
    if said is not None and said.end_rev == job.end_rev:
        return KeptJob(job.request_id, job.board_epoch, said.remaining_s, job.end_rev)
    return KeptJob(job.request_id, job.board_epoch, max(0.0, left_s), job.end_rev)


def back_off(failures: int, jitter: float) -> float:
    """Seconds before the next try: doubling from 1 to 60, times 0.5..1 by `jitter` in 0..1."""
    least, most = defaults.BACKOFF_S
    return float(min(most, least * 2 ** max(0, failures - 1)) * (0.5 + jitter / 2))


def info(row: WorkerRow, online: bool, last_seen: datetime | None) -> WorkerInfo:
    """The worker as anyone may see it."""
    return _worker_info(
        worker_uuid=row.uuid,
        state=row.state,
        groups=row.groups,
        caps=row.caps,
        reason=row.reason,
        reason_code=row.reason_code,
        online=online,
        since=row.since,
        last_seen=last_seen,
        request=row.request_id,
    )
