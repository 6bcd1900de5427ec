"""The queue and the index: who gets which board (SAFETY, B1, B2, B5; the original, 5.6).

The order is priority, then the place in the queue; a request that nobody can serve now never
stands in another's way. Its board is the one with the fewest caps and groups, among equals one
that has not failed lately, then the lowest UUID.

What a scan over all requests and all workers would find is found here through links between
buckets and shapes (`pools`), and looked for only among what has changed: a bucket with another
first request, a shape that has an idle worker again.

Links of a new bucket or shape are computed in slices (`advance`). Meanwhile `matches` hands out
a prefix of what the scan would hand out, and nothing else: nothing while a shape with an idle
worker is not linked yet (it may be the better board, or the one that a request further ahead
wants), and no request that stands behind the first one of a bucket that is not linked yet. So a
slice can delay a match, but never break priority nor give the second-best board.

Costs: a request or a worker that comes or goes, and a match, O(log n) amortised; a new bucket or
shape a look at each candidate of `capindex`. Where many shapes become idle at once, requests are
walked instead of workers, which costs a look at each bucket that has requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import islice
from typing import Final

from boruta.domain.links import Links
from boruta.domain.ordered import OrderedKeys
from boruta.domain.places import count_places
from boruta.domain.pools import Boards, Bucket, Node, Place
from boruta.domain.slices import Sliced
from boruta.domain.types import Capabilities, Groups, Priority, ReqID, WorkerUUID
from boruta.domain.walk import PROBES, Pair, Request, Walk, Worker

EMPTY_KEPT: Final = 256  # buckets without a request that keep their links; then the oldest goes
WANTED_LOOKS: Final = 20_000  # at workers to be prepared, for one question; about 2 ms
PAIRS_A_TURN: Final = 256  # what one call of `matches` hands out, about 5 ms


class Matching:
    """Ready requests and idle workers in, pairs out. Knows ids, caps and groups, nothing else."""

    def __init__(self) -> None:
        self._walk = Walk()
        self._requests, self._workers = self._walk.requests, self._walk.workers
        # The request with this id, None if it is not known here. All that ask for the same share a
        # bucket.
        self.find: Callable[[ReqID], Request | None] = self._requests.get
        self._links = Links(self._linked)
        self._empty: dict[Bucket, None] = {}  # buckets without a request, the oldest first

    # --- requests
    def request_ready(
        self,
        req_id: ReqID,
        rev: int,
        priority: Priority,
        seq: int,
        caps: Capabilities,
        groups: Groups,
    ) -> None:
        """The request may be matched, at the place of (priority, seq); an older rev is ignored."""
        known = self._requests.get(req_id)
        if known is not None:
            if known.rev > rev:
                return
            self.request_gone(req_id)
        bucket = self._links.bucket(caps, groups)
        bucket.size += 1
        self._empty.pop(bucket, None)
        request = self._requests[req_id] = Request(rev, (priority, seq, req_id), bucket)
        self._enqueue(request)

    def request_gone(self, req_id: ReqID) -> None:
        """The request is not to be matched any more."""
        request = self._requests.pop(req_id, None)
        if request is None:
            return
        if request.ready:
            self._dequeue(request)
        bucket = request.bucket
        bucket.size -= 1
        if not bucket.size:
            self._empty[bucket] = None
            if len(self._empty) > EMPTY_KEPT:
                oldest = next(iter(self._empty))
                del self._empty[oldest]
                self._links.drop_bucket(oldest)

    def refused(self, req_id: ReqID) -> None:
        """The worker did not take it: the request stands at its place again."""
        request = self._requests.get(req_id)
        if request is not None and not request.ready:
            self._enqueue(request)

    def _enqueue(self, request: Request) -> None:
        bucket, place = request.bucket, request.place
        request.ready = True
        self._walk.queue.add(place)
        first = bucket.queue.first()
        bucket.queue.add(place)
        if first is None:
            self._walk.filled[bucket] = None
        elif first < place:
            return
        bucket.improved()
        self._links.first_changed(bucket, place)
        self._walk.changed(bucket)

    def _dequeue(self, request: Request) -> None:
        request.ready = False
        self._walk.queue.remove(request.place)
        request.bucket.queue.remove(request.place)
        if not request.bucket.queue:
            del self._walk.filled[request.bucket]

    # --- workers
    def worker_known(self, uuid: WorkerUUID, caps: Capabilities, groups: Groups) -> None:
        """The worker exists, with these caps (with or without its UUID) and groups.

        One that is idle stays idle.
        """
        caps = caps.without_uuid()
        old = self._workers.get(uuid)
        if old is not None and (old.caps, old.groups) == (caps, groups):
            return
        rank = None if old is None else old.rank
        self.worker_forgotten(uuid)
        shape = self._links.shape(caps, groups)
        alone = self._links.alone(uuid, shape)
        shape.workers.add(uuid)
        alone.workers.add(uuid)
        self._workers[uuid] = Worker(caps, groups, shape, alone)
        if rank is not None:
            self.worker_offered(uuid, recently_failed=rank[1])

    def worker_forgotten(self, uuid: WorkerUUID) -> None:
        """The worker does not exist any more."""
        self.worker_withdrawn(uuid)
        worker = self._workers.pop(uuid, None)
        if worker is None:
            return
        for boards in (worker.shape, worker.alone):
            boards.workers.discard(uuid)
            if not boards.workers:
                self._walk.gone(boards)
                self._links.drop_boards(boards)

    def worker_offered(self, uuid: WorkerUUID, *, recently_failed: bool = False) -> None:
        """The worker may be lent. One that is not known is ignored."""
        worker = self._workers.get(uuid)
        if worker is None:
            return
        rank = (len(worker.caps) + 1 + len(worker.groups), recently_failed, uuid)
        if worker.rank == rank:
            return
        self.worker_withdrawn(uuid)
        worker.rank = rank
        self._walk.idle.add(rank)
        for boards in (worker.shape, worker.alone):
            best = boards.idle.first()
            boards.idle.add(rank)
            if best is None:
                self._links.idle_changed(boards)
                self._walk.awake(boards)
            if best is None or rank < best:
                boards.improved()
            self._walk.idle_came(boards)

    def worker_withdrawn(self, uuid: WorkerUUID) -> None:
        """The worker may not be lent."""
        worker = self._workers.get(uuid)
        if worker is None or worker.rank is None:
            return
        for boards in (worker.shape, worker.alone):
            boards.idle.remove(worker.rank)
            if not boards.idle:
                self._links.idle_changed(boards)
        self._walk.idle.remove(worker.rank)
        worker.rank = None

    # --- pairs
    def advance(self, budget: int) -> bool:
        """Computes at most `budget` fits of new buckets and shapes; whether more is to do."""
        return self._links.advance(budget)

    def matches(self, most: int = PAIRS_A_TURN) -> list[Pair]:
        """Up to `most` pairs that can be made now, in the order of the queue.

        Both leave the queue: the request until `refused` or `request_ready`, the worker until
        `worker_offered`. There may be more after a full answer, after `advance`, and if
        `unfinished` is set; else there is none until something changes.
        """
        found: list[Pair] = []
        if self._links.blocked:
            return found
        walk = self._walk
        walk.begin()
        limit = self._links.first_pending()
        while len(found) < most:
            pair = walk.next_pair(limit)
            if pair is None:
                break
            found.append(pair)
            self._dequeue(self._requests[pair.request_id])
            self.worker_withdrawn(pair.worker_uuid)
        return found

    @property
    def unfinished(self) -> bool:
        """Whether the last `matches` did not look everywhere, so that it should be asked again."""
        return self._walk.unfinished

    def _linked(self, node: Node) -> None:
        """All links of a new bucket or of new boards are known."""
        if isinstance(node, Boards):
            if node.idle:
                self._walk.awake(node)
                self._walk.idle_came(node)
        elif isinstance(node, Bucket) and node.queue:
            self._walk.changed(node)

    # --- questions
    def most_wanted(self, of: Collection[WorkerUUID]) -> WorkerUUID | None:
        """Which of these workers the requests at the front of the queue want; None if none.

        Of several that fit the same request, the first. Costs `WANTED_LOOKS` at most: far behind
        the front nobody is preferred.
        """
        looks, seen = WANTED_LOOKS, set[Bucket]()
        for place in islice(self._walk.queue, PROBES):
            bucket = self._requests[place[2]].bucket
            if bucket in seen:
                continue
            seen.add(bucket)
            for uuid in of:
                looks -= 1
                if looks < 0:
                    return None
                worker = self._workers.get(uuid)
                if worker is None or not bucket.takes(uuid):
                    continue
                if (worker.alone if bucket.pinned else worker.shape) in bucket.links:
                    return uuid
        return None

    def queue_position(self, req_id: ReqID) -> int:
        """The request's place, from 1, among those that could take one of its boards; else 0.

        With many kinds of such rivals it is its place in the whole queue, which is no lower.
        Costs a rank in the queue of each kind, of at most `links.RIVALS`.
        """
        request = self._requests.get(req_id)
        if request is None:
            return 0
        return 1 + sum([queue.rank(request.place) for queue in self.queues_of(request.bucket)])

    def count_places(self, wanted: Mapping[Bucket, Sequence[Place]]) -> Sliced[dict[ReqID, int]]:
        """The same of many requests, of which `find` told the buckets and places; in slices."""
        return count_places(wanted, self._walk.queue, self._links.rivals)

    def servable(self, caps: Capabilities, groups: Groups) -> bool:
        """Whether a known worker could ever serve it."""
        bucket, fitting = self._links.fitting(caps, groups)
        if bucket.refuses is None:
            return bool(fitting)
        return any(bucket.takes(uuid) for boards in fitting for uuid in boards.workers)

    def unservable(self) -> list[ReqID]:
        """The ready requests that no known worker could ever serve; costs a look a bucket."""
        found: list[ReqID] = []
        for bucket in self._walk.filled:
            if not bucket.pending and not self.servable(bucket.caps, bucket.groups):
                found.extend(place[2] for place in bucket.queue)
        return found

    def __contains__(self, req_id: object) -> bool:
        """Whether the request is known here."""
        return req_id in self._requests

    @property
    def length(self) -> int:
        """How many requests are ready."""
        return len(self._walk.queue)

    def kinds(self) -> list[Bucket]:
        """A bucket for all that is asked for."""
        return self._links.buckets()

    def queues_of(self, bucket: Bucket) -> list[OrderedKeys[Place]]:
        """Where those stand that compete with the requests of a bucket; see `queue_position`."""
        rivals = self._links.rivals(bucket)
        return [self._walk.queue] if rivals is None else [one.queue for one in rivals]

    def fit_of(self, caps: Capabilities, groups: Groups) -> Hashable:
        """What is equal for those whom the same known workers could serve; falsy if none could."""
        return self._links.fit_of(caps, groups)

    def fitting_workers(self, caps: Capabilities, groups: Groups) -> list[WorkerUUID]:
        """The known workers that could serve it, idle or not, by UUID."""
        bucket, fitting = self._links.fitting(caps, groups)
        uuids = [uuid for boards in fitting for uuid in boards.workers]
        if bucket.refuses is not None:
            uuids = [uuid for uuid in uuids if bucket.takes(uuid)]
        uuids.sort()
        return uuids

    def unmet(self, caps: Capabilities, groups: Groups) -> list[str]:
        """What no known worker has of it, as words of the command line; groups too."""
        return self._links.unmet(caps, groups)
