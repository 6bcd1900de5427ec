"""Why the requests of one list wait, worked out in slices."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from actors.directory import Directory
from actors.runtime import Future
from boruta.domain import waiting
from boruta.domain.later import Later
from boruta.domain.matching import Matching
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Bucket, Place
from boruta.domain.rows import RequestRow
from boruta.domain.showing import Waits
from boruta.domain.slices import Sliced, chunks
from boruta.domain.snapshot import Asked, Seen, Snapshot
from boruta.domain.types import Capabilities, Groups, ReqID, ReqState, WorkerUUID

ROWS: Final = 1024  # looked at between two looks at the clock, less than 1 ms
BOARDS: Final = 200  # looked at between two looks at the clock, likewise
MANY: Final = 2_000  # rows; with more, and at least this part of the queue, all of it is kept
PART: Final = 16


class _Kind(NamedTuple):
    """Requests of the list that ask for the same."""

    reason: waiting.Reason
    places: list[Place]


class Explaining:
    """One question, and what was found out so far.

    A board is looked at once, how boards stand is worked out once for all kinds of requests that
    they fit, and places in the queue are counted for all rows together. What changes between two
    slices may show in some of the answers only.

    Args:
        rows: requests; those that wait are explained.
        reply: gets a `Later` for each row, None where it does not wait; a `Snapshot` if they are
            many and most of what waits.
    """

    def __init__(
        self, rows: Sequence[RequestRow], directory: Directory, matching: Matching, reply: Future
    ) -> None:
        self._rows = rows
        self._directory = directory
        self._matching = matching
        self._reply = reply
        self._found: Waits = None
        self._places: dict[ReqID, int] = {}
        self._boards: dict[WorkerUUID, waiting.Board | None] = {}
        self._holds: dict[tuple[Capabilities, Groups], float | None] = {}
        self._standings: dict[Hashable, waiting.Standing] = {}
        self._now = directory.dispatcher.utcnow()
        many = len(rows) > MANY and len(rows) * PART > matching.length
        self._steps = self._of_all() if many else self._of_each()

    def go_on(self, seconds: float) -> bool:
        """Works on for so long; whether all is answered."""
        now = self._directory.dispatcher.now
        until = now() + seconds
        for _ in self._steps:
            if now() >= until:
                return False
        self._reply.answer(self._found)
        return True

    def _of_all(self) -> Iterator[None]:
        """By all kinds of requests that there are, and the queues for each."""
        matching, kinds, strangers = self._matching, dict[Asked, Seen](), set[ReqID]()
        self._found = Snapshot(kinds, strangers)
        copies: dict[OrderedKeys[Place], OrderedKeys[Place]] = {}
        yield from self._see(kinds, copies)
        for chunk in chunks(self._rows, ROWS):
            for row in [row for row in chunk if row.id not in matching]:
                if row.state is ReqState.WAIT:
                    strangers.add(row.id)
                    asked = (row.caps, row.owner_groups)
                    if asked not in kinds:
                        standing = yield from self._judge(*asked)
                        kinds[asked] = (standing, self._typical(*asked), ())
            yield
        yield from self._see(kinds, copies)  # some may have come meanwhile

    def _see(
        self, kinds: dict[Asked, Seen], copies: dict[OrderedKeys[Place], OrderedKeys[Place]]
    ) -> Iterator[None]:
        matching = self._matching
        for bucket in matching.kinds():
            asked = (bucket.caps, bucket.groups)
            if asked in kinds:
                continue
            queues = []
            for queue in matching.queues_of(bucket):
                copy = copies.get(queue)
                if copy is None:
                    copy = copies[queue] = queue.snapshot()
                queues.append(copy)
            kinds[asked] = ((yield from self._judge(*asked)), self._typical(*asked), queues)
            yield

    def _of_each(self) -> Iterator[None]:
        """By what each row asks for."""
        find, kinds = self._matching.find, dict[object, _Kind]()
        found: list[Later | None] = []
        self._found = found
        wanted: dict[Bucket, list[Place]] = {}
        for chunk in chunks(self._rows, ROWS):
            for row in chunk:
                if row.state is not ReqState.WAIT:
                    found.append(None)
                    continue
                request = find(row.id)
                asked = (row.caps, row.owner_groups) if request is None else request.bucket
                kind = kinds.get(asked)
                if kind is None:
                    standing = yield from self._judge(row.caps, row.owner_groups)
                    typical_s = self._typical(row.caps, row.owner_groups)
                    reason = waiting.Reason(standing, typical_s, self._places)
                    kind = kinds[asked] = _Kind(reason, [])
                    if request is not None:
                        wanted[request.bucket] = kind.places
                found.append(kind.reason)
                if request is not None:
                    kind.places.append(request.place)
            yield
        self._places.update((yield from self._matching.count_places(wanted)))

    def _judge(self, caps: Capabilities, groups: Groups) -> Sliced[waiting.Standing]:
        """How the boards stand that fit this kind."""
        directory, matching, known = self._directory, self._matching, self._boards
        fit = matching.fit_of(caps, groups)
        found = self._standings.get(fit)
        if found is not None:
            return found
        uuids = matching.fitting_workers(caps, groups) if fit else ()
        new = [uuid for uuid in uuids if uuid not in known]
        for number, uuid in enumerate(new, 1):
            known[uuid] = self._look(uuid)
            if number % BOARDS == 0:
                yield
        fitting = [board for uuid in uuids if (board := known[uuid]) is not None]
        unmet = [] if fitting else matching.unmet(caps, groups)
        found = waiting.Standing(fitting, unmet, directory.judging, self._now)
        if fitting:
            self._standings[fit] = found
            yield
        return found

    def _typical(self, caps: Capabilities, groups: Groups) -> float | None:
        """How long requests like this hold a board."""
        kind = (caps, groups)
        if kind not in self._holds:
            self._holds[kind] = self._directory.holds.typical(kind)
        return self._holds[kind]

    def _look(self, uuid: WorkerUUID) -> waiting.Board | None:
        store = self._directory.store
        row = store.worker(uuid)
        if row is None:
            return None
        there = self._directory.presence.get(uuid)
        held = None if row.request_id is None else store.request(row.request_id)
        job = None if held is None else store.job(held.id)
        typical_s = None if held is None else self._typical(held.caps, held.owner_groups)
        likely_end = None
        if job is not None and typical_s is not None:
            likely_end = job.started + timedelta(seconds=typical_s)
        return waiting.look(
            uuid,
            row.state,
            self._now,
            reason=row.reason,
            online=there is not None and there.online,
            request=row.request_id,
            owner=None if held is None or job is None else held.owner_name,
            ends_at=None if job is None else job.ends_at,
            likely_end=likely_end,
        )
