"""When jobs end, by the clock that nobody sets. Lives on the dispatcher's thread."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from actors.runtime import Dispatcher
from boruta.domain.rows import JobRow
from boruta.domain.types import ReqID


class JobEnds:
    """What is left of each live job; no step of the wall clock moves it (SAFETY, A8).

    A row has its end as a date. When that date is seen first it is taken for a moment of the
    monotonic clock, and the moment stands until the row has another date.

    Args:
        live: requests of which more is kept than the row; others are forgotten.
    """

    def __init__(self, dispatcher: Dispatcher, live: Container[ReqID]) -> None:
        self._dispatcher = dispatcher
        self._live = live
        self._ends: dict[ReqID, tuple[int, datetime, float]] = {}

    def left(self, job: JobRow) -> float:
        """Seconds to the job's end; below 0 after it."""
        now, known = self._dispatcher.now(), self._ends.get(job.request_id)
        if known is None or known[:2] != (job.end_rev, job.ends_at):
            left = (job.ends_at - self._dispatcher.utcnow()).total_seconds()
            if job.request_id in self._live:
                self._ends[job.request_id] = job.end_rev, job.ends_at, now + left
            return left
        return known[2] - now

    def forget(self, req_id: ReqID) -> None:
        """The request is over."""
        self._ends.pop(req_id, None)
