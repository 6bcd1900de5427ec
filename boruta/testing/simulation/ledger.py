"""What really happened to requests, jobs and keys, told by nobody's memory but the store's."""

from __future__ import annotations

from dataclasses import dataclass, field

from boruta.domain.rows import JobRow
from boruta.domain.types import ReqID, ReqState, WorkerUUID


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
    """

    row: JobRow
    public: str
    since: float = 0.0
    ends_at: float = 0.0
    set_at: float = 0.0
    told: float | None = None
    over_at: float | None = None

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
