"""What a farm's lists tell of its use: boards, queue, waits, holds, turn-over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from boruta.domain.types import Priority, ReqInfo, ReqState, WorkerInfo


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds: half of all no longer than p50, 95 % than p95."""

    count: int = 0
    p50_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class FarmStats:
    """A farm's use, looked back over `window_s` seconds.

    `boards` and `waiting` are counts as they are now. Of a wait the time before `valid_after` is no
    part. `held_share` is which part of the time of all boards was held, 0 to 1.
    """

    window_s: float
    boards: Mapping[str, int] = field(default_factory=dict)
    offline: int = 0
    waiting: Mapping[Priority, int] = field(default_factory=dict)
    longest_wait_s: float | None = None
    waits: Spread = Spread()
    holds: Spread = Spread()
    outcomes: Mapping[str, int] = field(default_factory=dict)
    jobs_per_hour: float = 0.0
    held_share: float = 0.0


def spread(values: Sequence[float]) -> Spread:
    """The spread of some durations; the nearest rank, so that each figure was really seen."""
    if not values:
        return Spread()
    ordered = sorted(values)
    last = len(ordered) - 1
    p50, p95 = (ordered[min(last, int(part * len(ordered)))] for part in (0.5, 0.95))
    return Spread(len(ordered), round(p50, 3), round(p95, 3))


def farm_stats(
    requests: Sequence[ReqInfo], workers: Sequence[WorkerInfo], now: datetime, window_s: float
) -> FarmStats:
    """The use of a farm, from its lists of all requests and all workers.

    Args:
        requests: all that are known, ended ones too.
        workers: all that are known.
        now: aware UTC.
        window_s: how far to look back; what began or ended earlier does not count.
    """
    since = now - timedelta(seconds=window_s)
    waiting = [info for info in requests if info.state is ReqState.WAIT]
    waits, holds = [], []
    held_s, jobs = 0.0, 0
    for info in requests:
        if info.started is None:
            continue
        ended = info.ended or now
        held_s += max(0.0, (ended - max(info.started, since)).total_seconds())
        if info.started >= since:
            waits.append((info.started - _queued(info)).total_seconds())
        if info.ended is not None and info.ended >= since:
            jobs += 1
            holds.append((info.ended - info.started).total_seconds())
    over = [info for info in requests if info.ended is not None and info.ended >= since]
    return FarmStats(
        window_s=window_s,
        boards=dict(Counter(worker.state.value for worker in workers)),
        offline=sum(not worker.online for worker in workers),
        waiting=dict(sorted(Counter(info.priority for info in waiting).items())),
        longest_wait_s=max(
            (max(0.0, (now - _queued(info)).total_seconds()) for info in waiting), default=None
        ),
        waits=spread(waits),
        holds=spread(holds),
        outcomes=dict(Counter(info.state.value for info in over)),
        jobs_per_hour=jobs * 3600 / window_s,
        held_share=min(1.0, held_s / (window_s * len(workers))) if workers else 0.0,
    )


def _queued(info: ReqInfo) -> datetime:
    """Since when it waits: not before it is valid."""
    assert info.created is not None
    return max(info.created, info.valid_after or info.created)
