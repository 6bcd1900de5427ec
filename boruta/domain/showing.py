"""What anyone may see of requests, made of their rows; of a whole list in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

from boruta.domain.later import Later
from boruta.domain.quick import quick
from boruta.domain.request import Limits, prolongs_left
from boruta.domain.rows import JobRow, RequestRow
from boruta.domain.slices import Sliced, chunks
from boruta.domain.types import JobInfo, QueueInfo, ReqID, ReqInfo, ReqState, UserInfo

_A_SLICE: Final = 512  # rows that are shown in one slice, less than 1 ms
_new: Final[Callable[[Any], Any]] = object.__new__
_Open: Final = quick(ReqInfo)  # its fields can be set one by one
_job_info: Final = quick(JobInfo)
_owner: Final = lru_cache(maxsize=1000)(UserInfo)


def info(
    row: RequestRow,
    job: JobRow | None,
    limits: Limits,
    queue: QueueInfo | Later | None = None,
    reason: str = "",
) -> ReqInfo:
    """The request as anyone may see it.

    Args:
        row: the request.
        job: its job.
        limits: what it may take.
        queue: why it waits; looked at only if it does.
        reason: what is shown instead of the row's own.
    """
    one = _new(_Open)
    # All fields of the row; a call with as many arguments takes twice as long.
    (
        one.id, _, one.state, one.priority, _, one.caps, one.valid_after, one.deadline,
        one.job_timeout_s, one.created, name, groups, one.note, _, _, _, one.bound,
        one.reason, one.reason_code, one.started, one.ended,
    ) = row  # fmt: skip
    one.owner = _owner(name, groups)
    one.queue = queue if one.state is ReqState.WAIT else None
    if job is None:
        one.job, one.prolongs_left = None, limits.prolongs
    else:
        one.job = _job_info(job.worker_uuid, job.ends_at, job.board_epoch)
        one.prolongs_left = prolongs_left(job, limits)
    if reason:
        one.reason = reason
    one.__class__ = ReqInfo
    found: ReqInfo = one
    return found


def infos(
    rows: Sequence[RequestRow],
    job_of: Callable[[ReqID], JobRow | None],
    limits: Limits,
    waits: Sequence[Later | None] | None,
    said: Callable[[JobRow], str],
) -> Sliced[list[ReqInfo]]:
    """The requests of a list, in slices.

    Args:
        rows: of the list.
        job_of: finds the job of a request.
        limits: what each may take.
        waits: why each waits; None if that is not known of any.
        said: what is to be said of a running job, "" if nothing is.
    """
    found: list[ReqInfo] = []
    first = 0
    for chunk in chunks(rows, _A_SLICE):
        reasons = repeat(None) if waits is None else waits[first : first + len(chunk)]
        first += len(chunk)
        for row, why in zip(chunk, reasons, strict=False):
            if row.state is ReqState.WAIT:
                found.append(info(row, None, limits, why))
                continue
            job = job_of(row.id)
            told = ""
            if job is not None and row.state is ReqState.INPROGRESS:
                told = said(job)
            found.append(info(row, job, limits, None, told))
        yield
    return found
