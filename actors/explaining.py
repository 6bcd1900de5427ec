"""Why the requests of one list wait, worked out in slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from actors.directory import Directory
from actors.runtime import Future
from boruta.domain import waiting
from boruta.domain.matching import Matching
from boruta.domain.rows import RequestRow
from boruta.domain.slices import Sliced
from boruta.domain.types import Capabilities, Groups, QueueInfo, ReqID, WorkerUUID

ROWS: Final = 64  # explained between two looks at the clock, less than 1 ms
BOARDS: Final = 200  # looked at between two looks at the clock, likewise


class Explaining:
    """One question, and what was found out so far.

    A board is looked at once, and how boards stand is worked out once for all kinds of requests
    that they fit. What changes between two slices may show in some of the answers only.

    Args:
        rows: requests that wait.
        reply: gets a map from id to QueueInfo.
    """

    def __init__(
        self, rows: Sequence[RequestRow], directory: Directory, matching: Matching, reply: Future
    ) -> None:
        self._rows = rows
        self._directory = directory
        self._matching = matching
        self._reply = reply
        self._found: dict[ReqID, QueueInfo] = {}
        self._boards: dict[WorkerUUID, waiting.Board | None] = {}
        self._kinds: dict[object, tuple[waiting.Standing, float | None]] = {}
        self._holds: dict[tuple[Capabilities, Groups], float | None] = {}
        self._standings: dict[tuple[WorkerUUID, ...], waiting.Standing] = {}
        self._now = directory.dispatcher.utcnow()
        self._steps = self._all()

    def go_on(self, seconds: float) -> bool:
        """Works on for so long; whether all is answered."""
        now = self._directory.dispatcher.now
        until = now() + seconds
        for _ in self._steps:
            if now() >= until:
                return False
        self._reply.answer(self._found)
        return True

    def _all(self) -> Iterator[None]:
        kinds, found, matching = self._kinds, self._found, self._matching
        for number, row in enumerate(self._rows, 1):
            asked = (row.caps, row.owner_groups)
            kind = matching.kind_of(row.id) or asked
            known = kinds.get(kind)
            if known is None:
                boards = yield from self._judge(asked)
                known = kinds[kind] = boards, self._typical(row)
            found[row.id] = waiting.why(row, matching.queue_position(row.id), *known)
            if number % ROWS == 0:
                yield

    def _judge(self, kind: tuple[Capabilities, Groups]) -> Sliced[waiting.Standing]:
        """How the boards stand that fit this kind."""
        directory, known = self._directory, self._boards
        uuids = tuple(self._matching.fitting_workers(*kind))
        found = self._standings.get(uuids) if uuids else None
        if found is None:
            new = [uuid for uuid in uuids if uuid not in known]
            for number, uuid in enumerate(new, 1):
                known[uuid] = self._look(uuid)
                if number % BOARDS == 0:
                    yield
            fitting = [board for uuid in uuids if (board := known[uuid]) is not None]
            unmet = [] if fitting else self._matching.unmet(*kind)
            found = waiting.Standing(fitting, unmet, directory.judging, self._now)
            self._standings[uuids] = found
            yield
        return found

    def _typical(self, row: RequestRow) -> float | None:
        """How long requests like this one hold a board."""
        kind = (row.caps, row.owner_groups)
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
        typical_s = None if held is None else self._typical(held)
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
