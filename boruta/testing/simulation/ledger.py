"""What really happened to requests, jobs and keys, told by nobody's memory but the store's."""

from __future__ import annotations

from dataclasses import dataclass, field

from boruta.domain.rows import JobRow
from boruta.domain.types import ReqID, ReqState, WorkerUUID
from boruta.store.memory import MemoryStore


@dataclass(slots=True)
class Job:
    """A job.

    Attributes:
        row: its row, with the key that it had.
        public: the public half of its key.
        since: when it began.
        ends_at: its latest end, in the world's seconds.
        set_at: when that was set.
        told: the latest end that its agent has on its disk; None before the first one.
        over_at: when its request ended.
        ends: the job's revision, and its end and when that was set, for each of them.
    """

    row: JobRow
    public: str
    since: float = 0.0
    ends_at: float = 0.0
    set_at: float = 0.0
    told: float | None = None
    over_at: float | None = None
    ends: list[tuple[int, float, float]] = field(default_factory=list)

    def ends_now(self, rev: int, ends_at: float, now: float) -> None:
        """It has an end with this revision; one before the latest does not count."""
        if ends_at > self.ends_at:
            self.ends_at, self.set_at = ends_at, now
        self.ends.append((rev, self.ends_at, self.set_at))

    def back_to(self, row: JobRow) -> None:
        """What came after this revision has never been."""
        while len(self.ends) > 1 and self.ends[-1][0] > row.rev:
            self.ends.pop()
        _, self.ends_at, self.set_at = self.ends[-1]
        self.moved(row)

    def moved(self, row: JobRow) -> None:
        """Its row has changed; the key is emptied at the end, and remembered here."""
        self.row = row._replace(key=row.key or self.row.key)


@dataclass(slots=True)
class Ledger:
    """All of it. `suspects` are boards that may disagree with their request, and since when."""

    states: dict[ReqID, ReqState] = field(default_factory=dict)
    jobs: dict[ReqID, Job] = field(default_factory=dict)
    by_key: dict[str, Job] = field(default_factory=dict)
    by_public: dict[str, Job] = field(default_factory=dict)
    running: dict[ReqID, Job] = field(default_factory=dict)
    holder: dict[WorkerUUID, ReqID] = field(default_factory=dict)
    suspects: dict[WorkerUUID, float] = field(default_factory=dict)
    claims: list[ReqID] = field(default_factory=list)
    tokens: dict[tuple[str, str], ReqID] = field(default_factory=dict)
    accepted: int = 0

    def forget(self) -> None:
        """The store was lost. Keys are remembered: an old one must still open nothing."""
        self.states.clear()
        self.jobs.clear()
        self.running.clear()
        self.holder.clear()
        self.suspects.clear()
        self.claims.clear()
        self.tokens.clear()

    def rolled_back(self, store: MemoryStore, now: float) -> list[Job]:
        """The server died: what it had not written has never been.

        Returns:
            The jobs that are lost so.
        """
        self.states = {row.id: row.state for row in store.requests()}
        self.tokens = {key: one for key, one in self.tokens.items() if one in self.states}
        self.running.clear()
        self.holder.clear()
        self.claims.clear()
        lost = []
        for req_id, job in tuple(self.jobs.items()):
            row = store.job(req_id)
            if row is None or row.board_epoch != job.row.board_epoch:
                lost.append(job)
                job.over_at = None  # nor is it over: its key may be that of another job by now
                del self.jobs[req_id], self.by_key[job.row.key], self.by_public[job.public]
                continue
            job.back_to(row)
            if self.states[req_id] is ReqState.INPROGRESS:
                job.over_at = None
                self.running[req_id], self.holder[row.worker_uuid] = job, req_id
        self.suspects = {board.uuid: now for board in store.workers()}
        return lost
