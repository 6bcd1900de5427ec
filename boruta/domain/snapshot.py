"""The whole queue as it stands at one moment, for lists of most of what waits.

Nothing is worked out for one request before somebody looks: of the queues it has what costs next
to nothing, their blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from boruta.domain.later import Later
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Place
from boruta.domain.rows import RequestRow
from boruta.domain.types import Capabilities, Groups, QueueInfo, ReqID
from boruta.domain.waiting import Standing, why

Asked: TypeAlias = tuple[Capabilities, Groups]
# How the boards stand that fit, how long they are held, and the queues for them.
Seen: TypeAlias = tuple[Standing, float | None, Sequence[OrderedKeys[Place]]]


class Snapshot(Later):
    """Why each request waits that waited then.

    Args:
        kinds: all that is asked for.
        strangers: those that wait and stand in no queue.
    """

    __slots__ = ("kinds", "strangers")

    def __init__(self, kinds: dict[Asked, Seen], strangers: Collection[ReqID]) -> None:
        self.kinds = kinds
        self.strangers = strangers

    def told_of(self, row: RequestRow) -> Later:
        """Knows the row by which its place is found."""
        return _Waits(row, self)


class _Waits(Later):
    __slots__ = ("_row", "_snapshot")

    def __init__(self, row: RequestRow, snapshot: Snapshot) -> None:
        self._row = row
        self._snapshot = snapshot

    def of(self, _: Any) -> QueueInfo | None:
        row, snapshot = self._row, self._snapshot
        seen = snapshot.kinds.get((row.caps, row.owner_groups))
        if seen is None:  # its kind came and went while the snapshot was taken
            return None
        standing, typical_s, queues = seen
        position = 0
        if row.id not in snapshot.strangers:
            place = (row.priority, row.queue_seq, row.id)
            position = 1 + sum([queue.rank(place) for queue in queues])
        return why(row, position, standing, typical_s)
