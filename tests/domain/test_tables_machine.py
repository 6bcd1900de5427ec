"""The lives of requests and of one board together, step by step, beside what the rules say.

The model has no table: it knows what may be true of a row in each state, and what never goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from boruta.domain import request, worker
from boruta.domain.errors import (
    ActionRefused,
    FailRefused,
    ProlongLimit,
    StateNotAllowed,
    TransitionRefused,
    WorkerNotAssigned,
    WorkerNotRemovable,
)
from boruta.domain.request import Limits
from boruta.domain.rows import JobRow, RequestRow, Row, WorkerRow, Write
from boruta.domain.states import ReqEvent
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.store.memory import MemoryStore

T = TypeVar("T")
_S = WorkerState
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LIMITS = Limits(prolongs=2, prolong_total_s=100.0)
JOB_S = 60.0
MAY_FOLLOW = {
    ReqState.WAIT: {*ReqState},
    ReqState.INPROGRESS: {ReqState.INPROGRESS, ReqState.DONE, ReqState.FAILED},
}
REFUSALS = (
    ActionRefused, FailRefused, StateNotAllowed, TransitionRefused, WorkerNotAssigned, ProlongLimit,
    WorkerNotRemovable,
)  # fmt: skip


class TablesMachine(RuleBasedStateMachine):
    """One board and its requests, in a store that compares revisions."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.store = MemoryStore()
        self.keys = 0
        self.seen: dict[int, list[RequestRow]] = {}
        self.boards: list[WorkerRow] = []
        self._write(WorkerRow("b1", 1, WorkerState.MAINTENANCE), None)

    # --- how a step is taken
    def _write(self, row: Row, old: Row | None, *more: tuple[Row, Row | None]) -> None:
        pairs = [(row, old), *more]
        changes = tuple(Write(new, 0 if was is None else was.rev) for new, was in pairs)
        assert self.store.commit(changes) is None
        for new, was in pairs:
            assert new.rev == (1 if was is None else was.rev + 1)
            if isinstance(new, RequestRow):
                self.seen.setdefault(new.id, []).append(new)
            elif isinstance(new, WorkerRow):
                self.boards.append(new)

    def _try(self, step: Callable[[], T]) -> T | None:
        """What a step gives, or None if the rules refuse it: then nothing may have changed."""
        before = self.board, [history[-1] for history in self.seen.values()]
        try:
            return step()
        except REFUSALS as error:
            refusal = error
        assert str(refusal)
        assert before == (self.board, [history[-1] for history in self.seen.values()])
        return None

    def _board_step(self, step: Callable[[WorkerRow], WorkerRow | None]) -> None:
        old = self.board
        new = self._try(lambda: step(old))
        if new is None:
            return
        held = self.holder
        if held is not None and new.request_id is None:
            # What the board does to its holder's request is one of these two.
            job = self.store.job(held.id)
            assert job is not None
            self._write(new, old, (job._replace(rev=job.rev + 1, ended_at=self.now), job))
            lost = request.ended(held, ReqEvent.WORKER_FAILED, self.now, "board_failed", "gone")
            self._write(lost, held)
        else:
            self._write(new, old)

    @property
    def board(self) -> WorkerRow:
        found = self.store.worker("b1")
        assert found is not None
        return found

    @property
    def holder(self) -> RequestRow | None:
        return next((r for r in self.store.requests() if r.state is ReqState.INPROGRESS), None)

    def _request(self, number: int) -> RequestRow | None:
        rows = self.store.requests()
        return rows[number % len(rows)] if rows else None

    @initialize(requests=st.integers(0, 3), lent=st.booleans())
    def some_are_there(self, requests: int, lent: bool) -> None:
        for _ in range(requests):
            self.is_made(0, 900)
        self.goes_into_service()
        if lent:
            self.is_claimed(0)

    @rule()
    def goes_into_service(self) -> None:
        if self.board.state is WorkerState.FAIL:
            self.an_admin_sets(WorkerState.MAINTENANCE, False)
        if self.board.state is WorkerState.BUSY:
            self.it_tells("maintained")
        if self.board.state is WorkerState.MAINTENANCE:
            self.an_admin_sets(WorkerState.IDLE, False)
        if self.board.state is WorkerState.PREPARE:
            self.it_was_prepared(True)

    @rule(more=st.integers(0, 2))
    def is_lent(self, more: int) -> None:
        for _ in range(1 + more):
            self.is_made(0, 900)
        self.goes_into_service()
        for number in range(len(self.store.requests())):
            self.is_claimed(number)

    # --- time
    @rule(seconds=st.sampled_from([1, 29, 31, 61, 400]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # --- requests
    @rule(after_s=st.sampled_from([0, 0, 50]), lives_s=st.sampled_from([60, 900]))
    def is_made(self, after_s: int, lives_s: int) -> None:
        row = RequestRow(
            id=self.store.next_request(), rev=1, state=ReqState.WAIT, priority=8,
            queue_seq=self.store.next_seq(), caps=Capabilities(),
            valid_after=self.now + timedelta(seconds=after_s),
            deadline=self.now + timedelta(seconds=lives_s),
            job_timeout_s=JOB_S, created=self.now, owner_name="ci",
        )  # fmt: skip
        self._write(row, None)

    @rule(number=st.integers(0, 9))
    def is_closed(self, number: int) -> None:
        old = self._request(number)
        if old is None:
            return
        new = self._try(lambda: request.closed(old, self.now, "ci"))
        assert (new is None) == old.state.ended
        if new is not None:
            assert new.state is (ReqState.CANCEL if old.state is ReqState.WAIT else ReqState.DONE)
            self._end(old, new)

    def _end(self, old: RequestRow, new: RequestRow) -> None:
        self._write(new, old)
        board = self.board
        if board.request_id == old.id:
            job = self.store.job(old.id)
            assert job is not None
            over = job._replace(rev=job.rev + 1, ended_at=self.now)
            self._write(worker.released(board, self.now), board, (over, job))

    @rule(number=st.integers(0, 9))
    def its_deadline_is_looked_at(self, number: int) -> None:
        old = self._request(number)
        new = None if old is None else request.expired(old, self.now)
        if old is not None:
            due = old.state is ReqState.WAIT and old.deadline <= self.now
            assert (new is not None) == due
        if old is not None and new is not None:
            self._end(old, new)

    @rule()
    def the_end_of_the_job_is_looked_at(self) -> None:
        old = self.holder
        if old is None:
            return
        job = self.store.job(old.id)
        new = request.out_of_time(old, job, self.now)
        assert job is not None
        assert (new is not None) == (job.ends_at <= self.now)
        if new is not None:
            self._end(old, new)

    @rule(number=st.integers(0, 9))
    def is_claimed(self, number: int) -> None:
        old, board = self._request(number), self.board
        if old is None or (old.state is ReqState.WAIT and not request.ready(old, self.now)):
            return

        def claim() -> tuple[RequestRow, JobRow, WorkerRow]:
            mine = worker.claimed(board, old.id, self.now)
            return (*request.assigned(old, board, self.now, "h", 1), mine)

        made = self._try(claim)
        assert (made is not None) == (
            old.state is ReqState.WAIT and board.state is WorkerState.IDLE
        )
        if made is not None:
            held, job, mine = made
            assert job.key == board.prepared_key != ""
            assert job.key not in {one.key for one in self._jobs()}
            self._write(held, old, (mine, board), (job, None))

    @rule()
    def is_acquired(self) -> None:
        self._job_step(lambda row, job: request.acquired(row, request.running(row, job), self.now))

    @rule()
    def is_prolonged(self) -> None:
        self._job_step(lambda row, job: request.prolonged(row, job, self.now, LIMITS, None))

    def _job_step(self, step: Callable[[RequestRow, JobRow | None], JobRow | None]) -> None:
        row = self.holder or self._request(0)
        if row is None:
            return
        old = self.store.job(row.id)
        new = self._try(lambda: step(row, old))
        if new is not None:
            assert old is not None
            assert row.state is ReqState.INPROGRESS
            assert new.ends_at >= old.ends_at
            assert new.end_rev > old.end_rev
            assert new.prolongs <= LIMITS.prolongs
            self._write(new, old)

    def _jobs(self) -> list[JobRow]:
        found = (self.store.job(row.id) for row in self.store.requests())
        return [job for job in found if job is not None]

    # --- the board
    @rule(
        state=st.sampled_from([_S.IDLE, _S.IDLE, _S.MAINTENANCE, *_S]),
        drain=st.booleans(),
    )
    def an_admin_sets(self, state: WorkerState, drain: bool) -> None:
        self._board_step(lambda row: worker.state_set(row, state, self.now, "why", drain))

    @precondition(lambda self: self.board.state is WorkerState.PREPARE)
    @rule(ok=st.booleans())
    def it_was_prepared(self, ok: bool) -> None:
        self.keys += 1
        key = f"key {self.keys}"
        if ok:
            self._board_step(lambda row: worker.prepared(row, key, "u", (), self.now))
        else:
            self._board_step(lambda row: worker.prepare_failed(row, "no", self.now))

    @rule(step=st.sampled_from(["reported", "lost", "unhealthy", "maintained", "not", "removable"]))
    def it_tells(self, step: str) -> None:
        job = None if self.holder is None else self.store.job(self.holder.id)
        steps: dict[str, Callable[[WorkerRow], Any]] = {
            "reported": lambda row: worker.reported(row, "fan", self.now, job),
            "lost": lambda row: worker.lost(row, self.now, job),
            "unhealthy": lambda row: worker.unhealthy(row, "hot", self.now),
            "maintained": lambda row: worker.in_maintenance(row, self.now),
            "not": lambda row: worker.maintenance_failed(row, "no", self.now),
            "removable": worker.check_removable,
        }
        self._board_step(steps[step])

    # --- what is always so
    @invariant()
    def a_request_ends_once_and_for_all(self) -> None:
        for history in self.seen.values():
            for before, after in pairwise(history):
                assert after.state in MAY_FOLLOW[before.state]
            last = history[-1]
            assert (last.ended is not None) == last.state.ended
            assert (last.started is not None) or last.state is not ReqState.INPROGRESS
            assert bool(last.reason_code) == last.state.ended

    @invariant()
    def board_and_request_say_the_same(self) -> None:
        board, held = self.board, self.holder
        assert (board.state is WorkerState.RUN) == (held is not None)
        assert board.request_id == (None if held is None else held.id)

    @invariant()
    def a_key_is_there_for_one_job_and_no_longer(self) -> None:
        board = self.board
        assert bool(board.prepared_key) == (board.state in (WorkerState.IDLE, WorkerState.RUN))

    @invariant()
    def a_failed_board_says_why_and_others_count_on(self) -> None:
        board = self.board
        if board.state is WorkerState.FAIL:
            assert board.reason
            assert board.reason_code
            assert not board.drain
        assert not (board.drain and board.state is not WorkerState.RUN)
        for before, after in pairwise(self.boards):
            assert after.board_epoch >= before.board_epoch
            if after.state in (WorkerState.PREPARE, WorkerState.BUSY):
                anew = after.state is not before.state
                assert not anew or after.board_epoch > before.board_epoch
        assert [row.rev for row in self.boards] == list(range(1, len(self.boards) + 1))


TestTables = TablesMachine.TestCase
TestTables.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
