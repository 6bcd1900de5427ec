"""The places in the queue of many requests, counted for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Final, TypeAlias

from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Bucket, Place
from boruta.domain.slices import Sliced, chunks, leading
from boruta.domain.types import ReqID

Queue: TypeAlias = OrderedKeys[Place]
Rivals: TypeAlias = Callable[[Bucket], Iterable[Bucket] | None]

_RANK: Final = 5  # what a rank costs, in steps of a count
_RANKS: Final = 500  # in one slice, less than 1 ms
_SORTED: Final = 4096  # places that are sorted in one slice, likewise
_id: Final = itemgetter(2)
_itself: Final = itemgetter(slice(None))


def count_places(
    wanted: Mapping[Bucket, Sequence[Place]], queue: Queue, rivals: Rivals
) -> Sliced[dict[ReqID, int]]:
    """The positions, from 1, of requests among those that could take one of their boards.

    Args:
        wanted: places of requests, by their bucket.
        queue: all that are ready.
        rivals: the buckets that compete with one, itself among them; None: the whole queue.
    """
    lines: dict[frozenset[Bucket] | None, list[Place]] = {}
    for bucket, places in wanted.items():
        among = rivals(bucket)
        lines.setdefault(None if among is None else frozenset(among), []).extend(places)
    yield
    found: dict[ReqID, int] = {}
    for line, places in lines.items():
        queues = [queue] if line is None else [bucket.queue for bucket in line]
        few = len(places) * len(queues) * _RANK < sum(map(len, queues))
        yield from (_ranked if few else _counted)(queues, places, found)
    return found


def _ranked(
    queues: Sequence[Queue], places: Sequence[Place], found: dict[ReqID, int]
) -> Sliced[None]:
    """A bisection in each queue for each place."""
    for some in chunks(places, max(1, _RANKS // len(queues))):
        for place in some:
            found[place[2]] = 1 + sum([queue.rank(place) for queue in queues])
        yield


def _counted(
    queues: Sequence[Queue], places: Sequence[Place], found: dict[ReqID, int]
) -> Sliced[None]:
    """One walk along all of them."""
    line: list[Place] = []
    for queue in queues:
        line += queue.keys()
    yield
    if len(queues) > 1:
        line = yield from leading(line, _itself, len(line))
    numbers = count(1)
    position: dict[ReqID, int] = {}
    for chunk in chunks(line):
        position.update(zip(map(_id, chunk), numbers, strict=False))
        yield
    for some in chunks(places, _SORTED):
        for place in some:
            at = position.get(place[2])
            if at is None:  # offered to a board just now, it stands in no queue
                at = 1 + sum([queue.rank(place) for queue in queues])
            found[place[2]] = at
        yield
