"""Buckets and boards, and the links between those that fit: computed once, in slices."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Final

from boruta.domain.capindex import CapIndex
from boruta.domain.pools import Boards, Bucket, Node, Place, link
from boruta.domain.requirements import ABSENT, PRESENT, Requirements, parse_caps
from boruta.domain.types import UUID_CAP, Capabilities, Groups, WorkerUUID

RIVALS: Final = 64  # with more kinds of rivals, a position is the one in the whole queue


class Links:
    """What exists, and who fits whom.

    `linked` is called with a node when all its links are known.
    """

    def __init__(self, linked: Callable[[Node], None]) -> None:
        self._linked = linked
        self._index = CapIndex()
        self._buckets: dict[tuple[Capabilities, Groups], Bucket] = {}
        self._pinned: dict[Bucket, None] = {}
        self._shapes: dict[tuple[Capabilities, Groups], Boards] = {}
        # What is to be linked yet, with the candidates that were not looked at.
        self._new_buckets: dict[Bucket, list[Boards]] = {}
        self._new_boards: dict[Boards, list[Bucket]] = {}
        self._blocking: dict[Boards, None] = {}  # of the latter, those with idle workers
        self._firsts: list[tuple[Place, int, Bucket]] = []  # first requests of new buckets
        self.version = 0  # rises whenever a link, a bucket or boards come or go
        self._boards_version = 0  # rises whenever boards come or go

    # --- buckets
    def bucket(self, caps: Capabilities, groups: Groups) -> Bucket:
        """The bucket of those who ask for this, a new one if need be."""
        bucket = self._buckets.get((caps, groups))
        if bucket is None:
            bucket = make_bucket(caps, groups)
            self._buckets[caps, groups] = bucket
            candidates = self._index.add_bucket(bucket)
            if bucket.pinned:
                self._pinned[bucket] = None
            self.version += 1
            if candidates and not bucket.nobody:
                bucket.pending = True
                self._new_buckets[bucket] = candidates
        return bucket

    def buckets(self) -> list[Bucket]:
        """All of them."""
        return list(self._buckets.values())

    def drop_bucket(self, bucket: Bucket) -> None:
        """Forgets a bucket."""
        del self._buckets[bucket.caps, bucket.groups]
        self._new_buckets.pop(bucket, None)
        self._pinned.pop(bucket, None)
        self._index.remove_bucket(bucket)
        bucket.die()
        self.version += 1

    def first_changed(self, bucket: Bucket, place: Place) -> None:
        """A bucket's first request is another one now, further ahead."""
        if bucket.pending:
            heapq.heappush(self._firsts, (place, bucket.number, bucket))

    # --- boards
    def shape(self, caps: Capabilities, groups: Groups) -> Boards:
        """The boards of one shape, new ones if need be. `caps` are without UUID."""
        boards = self._shapes.get((caps, groups))
        if boards is None:
            boards = self._shapes[caps, groups] = Boards(caps, groups)
            self._add(boards)
        return boards

    def alone(self, uuid: WorkerUUID, shape: Boards) -> Boards:
        """New boards for one worker of a shape by its name."""
        caps = Capabilities({**shape.caps, UUID_CAP: uuid})
        boards = Boards(caps, shape.groups, shape)
        self._add(boards)
        return boards

    def _add(self, boards: Boards) -> None:
        candidates = self._index.add_boards(boards)
        self.version += 1
        self._boards_version += 1
        if candidates:
            boards.pending = True
            self._new_boards[boards] = candidates

    def drop_boards(self, boards: Boards) -> None:
        """Forgets boards."""
        if self._shapes.get((boards.caps, boards.groups)) is boards:
            del self._shapes[boards.caps, boards.groups]
        self._new_boards.pop(boards, None)
        self._blocking.pop(boards, None)
        self._index.remove_boards(boards)
        boards.die()
        self.version += 1
        self._boards_version += 1

    def idle_changed(self, boards: Boards) -> None:
        """Boards have an idle worker now, or none any more."""
        if boards.pending and boards.idle:
            self._blocking[boards] = None
        else:
            self._blocking.pop(boards, None)

    # --- slices
    @property
    def blocked(self) -> bool:
        """Whether boards with idle workers are not linked yet."""
        return bool(self._blocking)

    def advance(self, budget: int) -> bool:
        """Computes at most `budget` fits; whether more is to do."""
        while budget > 0:
            node = self._next()
            if node is None:
                return False
            budget = self._link_some(node, budget)
        return self._next() is not None

    def first_pending(self) -> Place | None:
        """The place of the first request whose bucket is not linked yet, if there is one."""
        firsts = self._firsts
        while firsts:
            place, number, bucket = firsts[0]
            actual = bucket.queue.first() if bucket.alive and bucket.pending else None
            if actual is None:
                heapq.heappop(firsts)
            elif actual == place:
                return place
            else:
                heapq.heapreplace(firsts, (actual, number, bucket))
        return None

    def _next(self) -> Node | None:
        """What holds up others first: boards with idle workers, then the first in the queue."""
        if self._blocking:
            return next(iter(self._blocking))
        if self._new_buckets:
            if self.first_pending() is not None:
                return self._firsts[0][2]
            return next(iter(self._new_buckets))
        return next(iter(self._new_boards), None)

    def _link_some(self, node: Node, budget: int) -> int:
        """Looks at up to `budget` candidates of one node; how much of the budget is left."""
        if isinstance(node, Bucket):
            boards_left = self._new_buckets[node]
            while boards_left and budget > 0:
                self._look(node, boards_left.pop())
                budget -= 1
            if boards_left:
                return 0
            del self._new_buckets[node]
        elif isinstance(node, Boards):
            buckets_left = self._new_boards[node]
            while buckets_left and budget > 0:
                self._look(buckets_left.pop(), node)
                budget -= 1
            if buckets_left:
                return 0
            del self._new_boards[node]
            self._blocking.pop(node, None)
        node.pending = False
        self._linked(node)
        return budget

    def _look(self, bucket: Bucket, boards: Boards) -> None:
        if bucket.alive and boards.alive and bucket.fits(boards):
            link(bucket, boards)
            self.version += 1

    # --- questions
    def fitting(self, caps: Capabilities, groups: Groups) -> tuple[Bucket, list[Boards]]:
        """All boards that fit, asked without making a bucket."""
        bucket = self._buckets.get((caps, groups))
        if bucket is not None and not bucket.pending and not self._new_boards:
            return bucket, [node for node in bucket.links if isinstance(node, Boards)]
        bucket = make_bucket(caps, groups)
        if bucket.nobody:
            return bucket, []
        return bucket, [one for one in self._index.candidates(bucket) if bucket.fits(one)]

    def fit_of(self, caps: Capabilities, groups: Groups) -> Hashable:
        """What is equal where the same boards fit; falsy if none do."""
        bucket, fitting = self.fitting(caps, groups)
        boards = frozenset(fitting)
        return (boards, bucket.refuses) if boards and bucket.refuses is not None else boards

    def rivals(self, bucket: Bucket) -> list[Bucket] | None:
        """The buckets, itself among them, that fit a board which this one fits.

        None if there are more than `RIVALS`. Computed anew after a change of links alone.
        """
        version, rivals = bucket.rivals
        if version != self.version:
            rivals = self._find_rivals(bucket)
            bucket.rivals = (self.version, rivals)
        return rivals

    def _find_rivals(self, bucket: Bucket) -> list[Bucket] | None:
        found: set[Node] = {bucket}
        shapes: set[Node] = set()
        for boards in bucket.links:
            assert isinstance(boards, Boards)
            shapes.add(boards.shape)
            found |= boards.links
            found |= boards.shape.links
            if len(found) > RIVALS:
                return None
        if not bucket.pinned:
            # Those who name a board of these shapes; they are linked to the boards alone.
            if len(self._pinned) > RIVALS:
                return None
            for other in self._pinned:
                if any(isinstance(one, Boards) and one.shape in shapes for one in other.links):
                    found.add(other)
        return [rival for rival in found if isinstance(rival, Bucket)]

    def unmet(self, caps: Capabilities, groups: Groups) -> list[str]:
        """What no boards have of it, as words of the command line; worked out once."""
        bucket = self._buckets.get((caps, groups))
        if bucket is None:
            return self._find_unmet(caps, groups)
        version, missing = bucket.unmet
        if version != self._boards_version:
            missing = self._find_unmet(caps, groups)
            bucket.unmet = (self._boards_version, missing)
        return missing

    def _find_unmet(self, caps: Capabilities, groups: Groups) -> list[str]:
        missing = [
            part.word
            for part in parse_caps(caps, lenient=True).parts
            if not any(one.offers(part) for one in self._index.answering(part))
        ]
        if groups and not any(
            not boards.group_set.isdisjoint(groups) for boards in self._shapes.values()
        ):
            missing.append(f"group {' or '.join(groups)}")
        return missing


def make_bucket(caps: Capabilities, groups: Groups) -> Bucket:
    """A bucket that nobody knows of yet.

    A UUID that is asked for names boards, one that is refused makes the bucket picky, `*` says
    nothing, and `!*` fits nobody.
    """
    parts = parse_caps(caps, lenient=True).parts
    named = next((part for part in parts if part.key == UUID_CAP), None)
    if named is None:
        return Bucket(caps, groups, Requirements(parts))
    others = Requirements(tuple(part for part in parts if part is not named))
    if named.text == PRESENT:
        return Bucket(caps, groups, others)
    if named.text == ABSENT:
        return Bucket(caps, groups, others, nobody=True)
    if named.negated:
        return Bucket(caps, groups, others, refuses=named)
    return Bucket(caps, groups, Requirements(parts), pinned=True)
