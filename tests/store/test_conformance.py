"""Whatever is done: memory, SQLite and PostgreSQL answer the same, and keep the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boruta.domain.rows import Conflict, JobRow, Remove, RequestRow, Transaction, WorkerRow, Write
from boruta.domain.types import ReqState, WorkerState
from boruta.store.memory import MemoryStore
from tests.store.kit import NOW, Image, Place, a_job, a_request, a_worker, image
from tests.store.spoilt import Cut, Held

Step = tuple[int, int, int]  # which deed, and two numbers that choose what it is done to
Deed = Callable[[MemoryStore, int, int], Transaction | None]


def create(store: MemoryStore, a: int, b: int) -> Transaction:
    """A new request; one in three has a token, and of these some have one that is taken."""
    token = f"t{b % 4}" if a % 3 == 0 else None
    return (Write(a_request(store, token=token, priority=1 + a % 16, note="x" * b), 0),)


def register(store: MemoryStore, a: int, b: int) -> Transaction:
    """A board comes, for the first time or again."""
    row = store.worker(f"b{a % 4}")
    if row is None:
        return (Write(a_worker(f"b{a % 4}", owner_key=str(b)), 0),)
    return (Write(row._replace(rev=row.rev + 1, server_epoch=row.server_epoch + 1), row.rev),)


def claim(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A board is lent: also one that is lent already, which is to be refused."""
    waiting = [row for row in store.requests() if row.state is ReqState.WAIT]
    boards = store.workers()
    if not waiting or not boards:
        return None
    row, board = waiting[a % len(waiting)], boards[b % len(boards)]
    epoch = board.board_epoch + 1
    if any(
        job.worker_uuid == board.uuid and job.board_epoch >= epoch
        for held in store.requests()
        if (job := store.job(held.id)) is not None
    ):
        epoch += 100 * row.id  # memory alone does not look at epochs
    held = row._replace(rev=row.rev + 1, state=ReqState.INPROGRESS, started=NOW)
    mine = board._replace(
        rev=board.rev + 1, state=WorkerState.RUN, board_epoch=epoch, request_id=row.id
    )
    return (
        Write(held, row.rev),
        Write(mine, board.rev),
        Write(a_job(row.id, board.uuid, epoch), 0),
    )


def end(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A request ends, its session perhaps not yet."""
    live = [row for row in store.requests() if not row.state.ended]
    if not live:
        return None
    row = live[a % len(live)]
    return (Write(row._replace(rev=row.rev + 1, state=ReqState.DONE, ended=NOW), row.rev),)


def over(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A session is over."""
    jobs = [job for row in store.requests() if (job := store.job(row.id)) and not job.ended_at]
    if not jobs:
        return None
    job = jobs[a % len(jobs)]
    return (Write(job._replace(rev=job.rev + 1, ended_at=NOW, key=""), job.rev),)


def prolong(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A job gets a later end."""
    jobs = [job for row in store.requests() if (job := store.job(row.id)) and not job.ended_at]
    if not jobs:
        return None
    job = jobs[a % len(jobs)]
    later = job.ends_at + timedelta(seconds=b)
    return (Write(job._replace(rev=job.rev + 1, ends_at=later, prolongs=b), job.rev),)


def forget(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """An ended request goes."""
    gone = [
        row
        for row in store.requests()
        if row.state.ended and ((job := store.job(row.id)) is None or job.ended_at)
    ]
    if not gone:
        return None
    row = gone[a % len(gone)]
    return (Remove(RequestRow, row.id, row.rev),)


def deregister(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A board goes."""
    rows = [row for row in store.workers() if store.live_job(row.uuid) is None]
    return (Remove(WorkerRow, rows[a % len(rows)].uuid, rows[a % len(rows)].rev),) if rows else None


def stale(store: MemoryStore, a: int, b: int) -> Transaction | None:
    """A change from an old view, behind one that alone would be taken."""
    rows = store.workers()
    if not rows:
        return None
    row = rows[a % len(rows)]
    first = a_worker(f"new{b}")
    return (Write(first, 0), Write(row._replace(rev=row.rev + 9), row.rev + 8))


DEEDS: Final[tuple[Deed, ...]] = (
    create, register, claim, claim, end, over, prolong, forget, deregister, stale,
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.integers(0, len(DEEDS) - 1), st.integers(0, 30), st.integers(0, 7)),
    min_size=1,
    max_size=40,
)


def run(store: MemoryStore, steps: list[Step]) -> tuple[list[Conflict | None], list[Image]]:
    """Each outcome, and the image after each transaction that was taken (the first: before all)."""
    outcomes: list[Conflict | None] = []
    images = [image(store)]
    for deed, a, b in steps:
        transaction = DEEDS[deed](store, a, b)
        if transaction is None:
            continue
        outcomes.append(store.commit(transaction))
        if outcomes[-1] is None:
            images.append(image(store))
    return outcomes, images


FEW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FEW
@given(steps=STEPS)
def test_the_same_transactions_have_the_same_outcome_and_the_same_image_comes_back(
    place: Place, steps: list[Step]
) -> None:
    place.wipe()
    store = place.open()
    outcomes, images = run(MemoryStore(), steps)
    assert run(store, steps) == (outcomes, images)
    assert store.close()
    again = place.open()
    assert image(again) == images[-1]
    assert again.position == len(images) - 1
    assert again._tokens == store._tokens
    assert again._live_jobs == store._live_jobs


@FEW
@given(steps=STEPS, batch=st.integers(1, 6), after=st.booleans(), most=st.sampled_from([1, 3, 99]))
def test_a_crash_leaves_a_beginning_that_has_all_that_was_told(
    place: Place, steps: list[Step], batch: int, after: bool, most: int
) -> None:
    place.wipe()
    below = Cut(place.backend(), batch, after=after)
    store = place.open(below, pace=quick(most))
    told: list[int] = []
    images = [image(store)]
    for deed, a, b in steps:
        transaction = DEEDS[deed](store, a, b)
        if transaction is not None and store.commit(transaction) is None:
            images.append(image(store))
            store.when_written(store.position, lambda at=store.position: told.append(at))
        place.loop.run_all()
    place.loop.run_until(lambda: below.dead or store.written == store.position)
    store.close(0.0)
    place.loop.run_all()
    again = place.open()
    assert again.position >= store.written
    assert told == list(range(1, store.written + 1))
    assert image(again) == images[again.position]


def quick(most: int):  # type: ignore[no-untyped-def]
    """A writer that takes so many transactions at once, and tries again at once."""
    from boruta.store.writer import Pace

    return Pace(batch_most=most, retry_s=(0.001, 0.001))


def test_many_changes_of_one_row_in_one_batch_come_to_the_last_one(place: Place) -> None:
    below = Held(place.backend())
    store = place.open(below)
    assert store.commit((Write(a_worker("b0"), 0),)) is None
    row = a_worker()
    for rev in range(1, 60):
        assert store.commit((Write(row._replace(rev=rev, failures=rev), rev - 1),)) is None
    assert store.commit((Remove(WorkerRow, "b1", 59),)) is None
    assert store.commit((Write(row._replace(owner_key="another"), 0),)) is None
    below.gate.set()
    assert store.close()
    assert len(below.batches) <= 2
    assert place.open().worker("b1") == row._replace(owner_key="another")


def test_a_whole_life_in_one_batch_leaves_nothing_but_its_history(place: Place) -> None:
    below = Held(place.backend())
    store = place.open(below)
    assert store.commit((Write(a_worker("b0"), 0),)) is None
    row = a_request(store, state=ReqState.INPROGRESS)
    assert store.commit((Write(row, 0), Write(a_job(row.id), 0))) is None
    done = row._replace(rev=2, state=ReqState.DONE)
    over = a_job(row.id, ended_at=NOW, rev=2)
    assert store.commit((Write(done, 1), Write(over, 1))) is None
    assert store.commit((Remove(RequestRow, row.id, 2),)) is None
    below.gate.set()
    assert store.close()
    assert place.query("SELECT * FROM jobs") == place.query("SELECT * FROM requests") == []
    kinds = place.query("SELECT kind FROM events ORDER BY id")
    assert kinds == [
        ("worker.registered",), ("request.created",), ("request.state",), ("job.over",),
    ]  # fmt: skip


@pytest.mark.parametrize("at_once", [True, False])
def test_a_tunnel_s_port_serves_the_next_job_though_a_board_out_of_reach_may_have_its_session(
    place: Place, at_once: bool
) -> None:
    below = Held(place.backend())
    store = place.open(below)
    first, second = a_request(store), a_request(store)
    job = a_job(first.id, "b1", tunnel_port=20_000)
    another = a_job(second.id, "b2", tunnel_port=20_000)
    live = first._replace(state=ReqState.INPROGRESS)
    if not at_once:
        below.gate.set()
    assert store.commit((Write(a_worker("b0"), 0),)) is None
    assert store.commit((Write(live, 0), Write(job, 0))) is None
    assert store.commit((Write(second, 0), Write(another, 0))) == Conflict(JobRow, second.id, job)
    if not at_once:
        place.written(store)
    gone = live._replace(rev=2, state=ReqState.FAILED)
    assert store.commit((Write(gone, 1),)) is None
    if not at_once:
        place.written(store)
    assert store.commit((Write(second, 0), Write(another, 0))) is None
    below.gate.set()
    assert store.close()
    assert place.open().live_job("b1") == job


@pytest.mark.parametrize("at_once", [True, False])
def test_a_board_s_epoch_has_one_job_until_the_board_is_set_up_anew(
    place: Place, at_once: bool
) -> None:
    store = place.open()
    first, second = a_request(store), a_request(store)
    done = a_job(first.id, "b1", 1, ended_at=NOW)
    assert store.commit((Write(a_worker(), 0), Write(first, 0), Write(done, 0))) is None
    again = (Write(second, 0), Write(a_job(second.id, "b1", 1), 0))
    assert store.commit(again) == Conflict(JobRow, second.id, done)
    if not at_once:
        place.written(store)
    assert store.commit((Remove(WorkerRow, "b1", 1),)) is None
    assert store.commit((Write(a_worker(), 0),)) is None
    assert store.commit(again) is None
    assert store.close()
    assert place.open().live_job("b1") == a_job(second.id, "b1", 1)
