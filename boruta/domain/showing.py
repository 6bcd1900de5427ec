"""What anyone may see of requests, made of their rows; of a whole list in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, TypeAlias

from boruta.domain.later import Later
from boruta.domain.quick import quick
from boruta.domain.request import Limits, prolongs_left
from boruta.domain.rows import JobRow, RequestRow
from boruta.domain.slices import Sliced, chunks
from boruta.domain.snapshot import Snapshot
from boruta.domain.types import JobInfo, QueueInfo, ReqID, ReqInfo, ReqState, UserInfo

# Why the requests of a list wait: for each row, of all at once, or not known.
Waits: TypeAlias = Snapshot | Sequence[Later | None] | None

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
    one.queue = queue if row.state is ReqState.WAIT else None
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


class _Listed(ReqInfo):
    """A request of a long list, which waits and nobody has looked at: the row stands for its id.

    At the first look, whatever at, it becomes a `ReqInfo`; most of a long list never do. Threads
    that look at the same moment set the same values: the id comes last, then the class.
    """

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        row = _get_id(self)
        if type(row) is RequestRow:
            for put, at in _COPIED:
                put(self, row[at])
            _put_owner(self, _owner(row.owner_name, row.owner_groups))
            queue = _queue.seen(self)
            if isinstance(queue, Later):
                _queue.__set__(self, queue.told_of(row))
            _put_id(self, row.id)
            object.__setattr__(self, "__class__", ReqInfo)
        return ReqInfo if name == "__class__" else object.__getattribute__(self, name)


_slots: Final = ReqInfo.__dict__
_queue: Final = _slots["queue"]
_get_id: Final = _slots["id"].__get__
_put_id: Final = _slots["id"].__set__
_put_owner: Final = _slots["owner"].__set__
_COPIED: Final = tuple(
    (_slots[name].__set__, at)
    for at, name in enumerate(RequestRow._fields)
    if name in _slots and name != "id"
)


def infos(
    rows: Sequence[RequestRow],
    job_of: Callable[[ReqID], JobRow | None],
    limits: Limits,
    waits: Waits,
    said: Callable[[JobRow], str],
) -> Sliced[list[ReqInfo]]:
    """The requests of a list, in slices.

    Args:
        rows: of the list.
        job_of: finds the job of a request.
        limits: what each may take.
        waits: why they wait.
        said: what is to be said of a running job, "" if nothing is.
    """
    found: list[ReqInfo] = []
    first, prolongs = 0, limits.prolongs
    whole, each = (waits, None) if isinstance(waits, Snapshot) else (None, waits)
    for chunk in chunks(rows, _A_SLICE):
        reasons: Iterable[Later | None] = repeat(None)
        if each is not None:
            reasons = each[first : first + len(chunk)]
        first += len(chunk)
        for row, why in zip(chunk, reasons, strict=False):
            if row.state is ReqState.WAIT:
                if whole is not None:
                    one = _new(_Open)
                    one.id, one.job, one.prolongs_left, one.queue = row, None, prolongs, whole
                    one.__class__ = _Listed
                    found.append(one)
                else:
                    found.append(info(row, None, limits, why))
                continue
            job = job_of(row.id)
            told = ""
            if job is not None and row.state is ReqState.INPROGRESS:
                told = said(job)
            found.append(info(row, job, limits, None, told))
        yield
    return found
