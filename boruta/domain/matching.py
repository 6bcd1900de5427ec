"""The queue and the index: who gets which board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boruta.domain.requirements import Requirements, parse_caps
from boruta.domain.types import UUID_CAP, Capabilities, Groups, Priority, ReqID, WorkerUUID


@dataclass(frozen=True, slots=True)
class Pair:
    """The request gets the worker."""

    request_id: ReqID
    worker_uuid: WorkerUUID


@dataclass(slots=True)
class _Request:
    id: ReqID
    key: tuple[int, int, int]
    wanted: Requirements
    groups: Groups
    taken: bool = False


@dataclass(slots=True)
class _Worker:
    caps: Mapping[str, str]
    groups: Groups
    idle: bool = False
    failed: bool = False


class Matching:
    """A first version that scans."""

    def __init__(self) -> None:
        self._requests: dict[ReqID, _Request] = {}
        self._workers: dict[WorkerUUID, _Worker] = {}

    def request_ready(
        self,
        req_id: ReqID,
        rev: int,
        priority: Priority,
        seq: int,
        caps: Capabilities,
        groups: Groups,
    ) -> None:
        """The request may be matched, at the place of (priority, seq)."""
        wanted = parse_caps(caps, lenient=True)
        self._requests[req_id] = _Request(req_id, (priority, seq, req_id), wanted, groups)

    def request_gone(self, req_id: ReqID) -> None:
        """The request is not to be matched any more."""
        self._requests.pop(req_id, None)

    def refused(self, req_id: ReqID) -> None:
        """The worker did not take it: the request stands at its place again."""
        if req_id in self._requests:
            self._requests[req_id].taken = False

    def worker_known(self, uuid: WorkerUUID, caps: Capabilities, groups: Groups) -> None:
        """The worker exists, with these capabilities and groups."""
        old = self._workers.get(uuid)
        fresh = _Worker({**caps, UUID_CAP: uuid}, groups)
        if old is not None:
            fresh.idle, fresh.failed = old.idle, old.failed
        self._workers[uuid] = fresh

    def worker_forgotten(self, uuid: WorkerUUID) -> None:
        """The worker does not exist any more."""
        self._workers.pop(uuid, None)

    def worker_offered(self, uuid: WorkerUUID, *, recently_failed: bool = False) -> None:
        """The worker may be lent."""
        if uuid in self._workers:
            self._workers[uuid].idle = True
            self._workers[uuid].failed = recently_failed

    def worker_withdrawn(self, uuid: WorkerUUID) -> None:
        """The worker may not be lent."""
        if uuid in self._workers:
            self._workers[uuid].idle = False

    def advance(self, budget: int) -> bool:
        """Computes at most `budget` fits; whether more is to do."""
        return False

    def matches(self) -> list[Pair]:
        """The pairs that can be made now, best request first; both leave the queue."""
        found = []
        for request in sorted(self._requests.values(), key=lambda request: request.key):
            if request.taken:
                continue
            fitting = [
                (len(worker.caps) + len(worker.groups), worker.failed, uuid)
                for uuid, worker in self._workers.items()
                if worker.idle and _fits(request.wanted, request.groups, worker)
            ]
            if fitting:
                uuid = min(fitting)[2]
                self._workers[uuid].idle = False
                request.taken = True
                found.append(Pair(request.id, uuid))
        return found

    def queue_position(self, req_id: ReqID) -> int:
        """The request's place in the queue, from 1; 0 if it does not stand in it."""
        request = self._requests.get(req_id)
        if request is None:
            return 0
        return 1 + sum(1 for other in self._requests.values() if other.key < request.key)

    def servable(self, caps: Capabilities, groups: Groups) -> bool:
        """Whether a known worker could ever serve it."""
        return bool(self.fitting_workers(caps, groups))

    def fitting_workers(self, caps: Capabilities, groups: Groups) -> list[WorkerUUID]:
        """The known workers that could serve it, idle or not."""
        wanted = parse_caps(caps, lenient=True)
        return sorted(u for u, worker in self._workers.items() if _fits(wanted, groups, worker))

    def unmet(self, caps: Capabilities, groups: Groups) -> Sequence[str]:
        """What no known worker has of it, as words of the grammar."""
        wanted = parse_caps(caps, lenient=True)
        missing = [
            part.word
            for part in wanted.parts
            if not any(part.fits(worker.caps.get(part.key)) for worker in self._workers.values())
        ]
        if groups and not any(not set(groups).isdisjoint(w.groups) for w in self._workers.values()):
            missing.append(f"group {' or '.join(groups)}")
        return missing


def _fits(wanted: Requirements, groups: Groups, worker: _Worker) -> bool:
    if groups and set(groups).isdisjoint(worker.groups):
        return False
    return wanted.fits(worker.caps)
