"""What must hold, always: looked at after every step, where that step may have broken it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from boruta.domain.rows import JobRow, RequestRow, Transaction, WorkerRow, Write
from boruta.domain.states import REQUEST_STEPS, WORKER_STEPS
from boruta.domain.types import ReqID, ReqState, WorkerState, WorkerUUID
from boruta.testing.simulation.absence import Absence
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.doors import Doors
from boruta.testing.simulation.engine import EngineDispatcher
from boruta.testing.simulation.ledger import Job, Ledger
from boruta.testing.simulation.lines import Machine
from boruta.testing.simulation.promises import RULE, Promises
from boruta.testing.simulation.queue import Queue
from boruta.testing.simulation.servers import START, ServerHost, public_of
from boruta.testing.simulation.world import World

ODD_S: Final = 25.0  # a request and its board may disagree until the second sweep
EARLY_S: Final = 1.0
TOLD_S: Final = 60.0  # an agent that is there hears of a new end, with frames that are lost
_REQUEST_PATHS: Final = frozenset((a, b) for (a, _), b in REQUEST_STEPS.items())
_WORKER_PATHS: Final = frozenset((a, b) for (a, _), b in WORKER_STEPS.items())
_FRESH_KEY: Final = (WorkerState.PREPARE, WorkerState.BUSY)
_OUT_OF_SERVICE: Final = (WorkerState.BUSY, WorkerState.MAINTENANCE)


class Violation(AssertionError):
    """An invariant was broken.

    Attributes:
        rule: its number and name, e.g. ``1 one holder``.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"invariant {rule}: {text}")
        self.rule = rule


@dataclass(slots=True)
class Invariants:
    """The watch over one simulation."""

    world: World
    boards: dict[WorkerUUID, Board]
    ledger: Ledger = field(default_factory=Ledger)
    queue: Queue = field(init=False)
    server: ServerHost = field(init=False)
    doors: Doors = field(init=False)
    absence: Absence = field(init=False)
    promises: Promises = field(init=False)
    _turns: int = 0  # that were looked at
    _of: EngineDispatcher | None = None  # whose they were
    _refusals: int = 0
    _stores: int = 0
    _latest: datetime = START

    def __post_init__(self) -> None:
        self.queue = Queue(self.world, self.broken)
        self.promises = Promises(self.broken)

    def begin(self, server: ServerHost, people: Mapping[str, Machine]) -> None:
        """What is watched exists now."""
        self.server = self.promises.server = server
        self.doors = Doors(self.world, server, self.ledger, self.broken)
        self.absence = Absence(self.world, server, people, self.broken)

    def watch(self, what: str, board: Board, key: str) -> None:
        """A board says what is done with a key on it."""
        self.doors.watch(what, board, key)

    def broken(self, rule: str, text: str) -> None:
        """An invariant does not hold; the run ends after this step."""
        if self.world.broken is None:
            self.world.broken = Violation(rule, f"{text} (at {self.world.now:.3f} s)")

    def accepted(self, req_id: ReqID) -> None:
        """A client was told this id: the store has the request, and keeps it."""
        self.ledger.accepted += 1
        if self.server.store.disk.request(req_id) is None and self.server.stores == self._stores:
            self.broken("2 states", f"request {req_id} was accepted and is not in the store")
        self._stores = self.server.stores

    def closed(self, req_id: ReqID) -> None:
        """A client was told that its request is closed."""
        row = self.server.store.disk.request(req_id)
        if row is not None and not row.state.ended:
            self.broken("2 states", f"request {req_id} was closed and is {row.state.value}")

    # --- commits
    def before(self, transaction: Transaction) -> None:
        """A transaction was accepted and is not applied yet."""
        store = self.server.store
        if store.unwell is not None:
            self.promises.committed(transaction)
        for change in transaction:
            if not isinstance(change, Write):
                continue
            match change.row:
                case RequestRow() as row:
                    self._request_moves(store.request(row.id), row, transaction)
                case WorkerRow() as board:
                    self._worker_moves(store.worker(board.uuid), board)
                case JobRow():
                    pass

    def _request_moves(
        self, old: RequestRow | None, row: RequestRow, transaction: Transaction
    ) -> None:
        if old is None:
            self._begins(row)
            return
        if old.state.ended:
            self.broken("2 states", f"request {row.id} changes after its end: {old} -> {row}")
        elif old.state is not row.state and (old.state, row.state) not in _REQUEST_PATHS:
            self.broken(
                "2 states", f"request {row.id} goes from {old.state.value} to {row.state.value}"
            )
        if row.state is ReqState.INPROGRESS and old.state is ReqState.WAIT:
            self._claimed(row, transaction)

    def _begins(self, row: RequestRow) -> None:
        if row.state is not ReqState.WAIT:
            self.broken("2 states", f"request {row.id} begins as {row.state.value}")
        if row.token is not None:
            twin = self.ledger.tokens.setdefault((row.owner_name, row.token), row.id)
            if twin != row.id:
                self.broken("2 states", f"one token makes two requests, {twin} and {row.id}")

    def _claimed(self, row: RequestRow, transaction: Transaction) -> None:
        rows = [change.row for change in transaction if isinstance(change, Write)]
        jobs = [one for one in rows if isinstance(one, JobRow) and one.request_id == row.id]
        held = [one for one in rows if isinstance(one, WorkerRow) and one.request_id == row.id]
        if len(jobs) != 1 or len(held) != 1 or held[0].state is not WorkerState.RUN:
            self.broken("1 one holder", f"the claim of request {row.id} is not one transaction")
            return
        self._may_be_claimed(row, held[0])
        job, board = jobs[0], self.boards[held[0].uuid]
        other = self.ledger.holder.get(board.uuid)
        if other is not None:
            self.broken("1 one holder", f"{board.uuid} is held by {other} and given to {row.id}")
        if job.key in self.ledger.by_key:
            self.broken("1 one holder", f"the key of request {row.id} was another job's")
        if board.inside is not None:
            self.broken(
                "1 one holder",
                f"{board.uuid} is given to {row.id} while the holder of an earlier job is inside",
            )

    def _may_be_claimed(self, row: RequestRow, board: WorkerRow) -> None:
        """A board is only given to a request that it fits, in its time, and while it is there."""
        what = f"{board.uuid} is given to request {row.id}"
        if not self.queue.fits(row, board):
            self.broken("4 order", f"{what}, which it does not fit")
        if row.valid_after > self._date():
            self.broken("4 order", f"{what}, which is not valid yet")
        self.absence.claimed(row, board, self.boards[board.uuid])

    def _date(self) -> datetime:
        """The latest date that a server has believed in: what was valid once is valid."""
        self._latest = max(self._latest, self.server.dispatcher.utcnow())
        return self._latest

    def _worker_moves(self, old: WorkerRow | None, row: WorkerRow) -> None:
        if old is None:
            return
        if old.state is not row.state and (old.state, row.state) not in _WORKER_PATHS:
            self.broken("2 states", f"{row.uuid} goes from {old.state.value} to {row.state.value}")
        if row.server_epoch < old.server_epoch or row.board_epoch < old.board_epoch:
            self.broken("1 one holder", f"{row.uuid}: an epoch falls: {old.epoch} -> {row.epoch}")
        if row.caps != old.caps and row.state not in _OUT_OF_SERVICE:
            self.broken("2 states", f"{row.uuid} has other caps and is {row.state.value}")
        enters = old.state is not row.state and row.state in _FRESH_KEY
        if enters and row.board_epoch == old.board_epoch:
            self.broken("1 one holder", f"{row.uuid} enters {row.state.value} without a new epoch")

    def after(self, transaction: Transaction) -> None:
        """A transaction was applied."""
        for change in transaction:
            if not isinstance(change, Write):
                continue
            match change.row:
                case RequestRow() as row:
                    self._request_moved(row)
                case WorkerRow() as board:
                    self.ledger.suspects.setdefault(board.uuid, self.world.now)
                    self.queue.worker(board)
                case JobRow() as job:
                    self._job_moved(job)

    def _request_moved(self, row: RequestRow) -> None:
        ledger = self.ledger
        ledger.states[row.id] = row.state
        self.queue.request(row, self.server.dispatcher.utcnow())
        if not row.state.ended:
            return
        job = ledger.running.pop(row.id, None)
        if job is not None:
            ledger.holder.pop(job.row.worker_uuid, None)
            ledger.suspects.setdefault(job.row.worker_uuid, self.world.now)
            job.over_at = self.world.now
            if row.reason_code == "time_up" and self.world.now < job.ends_at - EARLY_S:
                self._short(job)
            elif row.reason_code == "board_failed":
                self.absence.failed(row, job, self.boards[job.row.worker_uuid])
            self.doors.job_over(self.boards[job.row.worker_uuid], job)
        if row.reason_code in ("board_lost", "client_lost"):
            self.absence.given_up(row, None if job is None else self.boards[job.row.worker_uuid])

    def _job_moved(self, row: JobRow) -> None:
        ledger, now = self.ledger, self.world.now
        job = ledger.jobs.get(row.request_id)
        if job is None or job.row.key != (row.key or job.row.key):
            job = Job(row, public_of(row.key), since=now)
            ledger.jobs[row.request_id] = ledger.by_key[row.key] = job
            ledger.by_public[job.public] = job
            ledger.running[row.request_id] = job
            ledger.holder[row.worker_uuid] = row.request_id
            ledger.claims.append(row.request_id)
        if row.prolongs > job.row.prolongs:
            self.promises.begins(f"request {row.request_id} is prolonged")
            self.absence.prolonged(job, self.boards[row.worker_uuid])
        if row.end_rev != job.row.end_rev or not job.ends_at:
            left = (row.ends_at - self.server.dispatcher.utcnow()).total_seconds()
            job.ends_now(row.rev, now + left, now)
        if row.ended_at is not None and job.row.ended_at is None:
            board = self.boards[row.worker_uuid]
            if board.inside == job.public:
                self.broken(
                    "1 one holder",
                    f"the session of request {row.request_id} on {board.uuid} counts as over, "
                    "and its holder is inside",
                )
        job.moved(row)

    def _short(self, job: Job) -> None:
        """A job ended early: only an agent that could not be told of a later end may do that."""
        board, now = self.boards[job.row.worker_uuid], self.world.now
        if job.told is None or now >= job.told - EARLY_S:
            changed = (job.set_at, board.runs_since, board.cable.changed_at, self.server.well_since)
            if now - max(changed) < TOLD_S:
                return
        self.broken(
            "5 job time",
            f"request {job.row.request_id} is over {job.ends_at - now:.1f} s before its job's end",
        )

    # --- when a moment is over
    def quiet(self) -> None:
        """All that could happen at this moment has happened."""
        server = self.server
        dispatcher = server.dispatcher
        if (dispatcher.turns == self._turns and dispatcher is self._of) or not server.runs:
            return
        self._turns, self._of = dispatcher.turns, dispatcher
        if self.queue.jumped:
            self._date()
        for defect in server.process.loop.defects:
            self.broken("0 no defect", f"{server.process.name}: {defect}")
        refused = server.dispatcher.refusals != self._refusals
        self._refusals = server.dispatcher.refusals
        if self.ledger.suspects:
            self._agree()
        claims, self.ledger.claims = self.ledger.claims, []
        if not refused:
            for req_id in claims:
                job = self.ledger.running.get(req_id)
                if job is not None:
                    self.queue.check_order(server, req_id, job.row.worker_uuid)
        self.queue.check_idle(server)
        self.doors.check_tunnels()

    def _agree(self) -> None:
        """A held board and its request say the same of each other, soon."""
        store, ledger, now = self.server.store, self.ledger, self.world.now
        for uuid, since in tuple(ledger.suspects.items()):
            board, held = store.worker(uuid), ledger.holder.get(uuid)
            says = None if board is None or board.state is not WorkerState.RUN else board.request_id
            if says == held:
                del ledger.suspects[uuid]
            elif now - max(since, self.server.well_since) > ODD_S:
                self.broken(
                    "2 states", f"{uuid} is lent to {says} and held by {held} for over {ODD_S} s"
                )

    def look_again(self) -> None:
        """Looks at everything when this moment is over, whether something has moved or not."""
        self._of = None
        if self.server.runs:
            for row, _ in self.queue.waiting.values():
                self.absence.bound(row)
            for req_id in self.ledger.running:
                held = self.server.store.request(req_id)
                if held is not None:
                    self.absence.bound(held)

    def forget(self) -> None:
        """The store was lost: what it knew does not count any more."""
        for job in self.ledger.running.values():
            job.over_at = self.world.now
            self.doors.job_over(self.boards[job.row.worker_uuid], job)
        self.ledger.forget()
        self.queue.forget()
        self.promises.forget()

    def rolled_back(self) -> None:
        """The server died: what it had decided and not written has never been."""
        server, now = self.server, self.world.now
        for job in self.ledger.rolled_back(server.store, now):
            board = self.boards[job.row.worker_uuid]
            what = f"the job of request {job.row.request_id} on {board.uuid}, lost by a crash,"
            if job.told is not None:
                self.broken(RULE, f"{what} was told to the agent")
            elif board.inside == job.public:
                self.broken(RULE, f"{what} had its holder inside")
        self.queue.rolled_back(server.store, server.dispatcher.utcnow())
        self.promises.rolled_back()
