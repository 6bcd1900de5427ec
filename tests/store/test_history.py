"""Who did what to what, when and why; what is old goes in small pieces."""

from __future__ import annotations

from datetime import timedelta

from boruta.domain.history import KINDS
from boruta.domain.rows import Remove, WorkerRow, Write
from boruta.domain.types import ReqState, WorkerState
from boruta.store.columns import micros
from boruta.store.history import read_history
from boruta.store.writer import Pace
from tests.store.kit import NOW, Place, a_job, a_request, a_worker


def test_the_life_of_a_request_and_a_board_can_be_read(place: Place) -> None:
    store = place.open()
    board, row = a_worker(owner_key="rack"), a_request(store, note="nightly")
    assert store.commit((Write(board, 0),)) is None
    assert store.commit((Write(row, 0),)) is None
    place.clock.advance(5)
    held = row._replace(rev=2, state=ReqState.INPROGRESS, priority=1)
    lent = board._replace(rev=2, state=WorkerState.RUN, board_epoch=1, request_id=row.id)
    job = a_job(row.id)
    assert store.commit((Write(held, 1), Write(lent, 1), Write(job, 0))) is None
    place.written(store)
    acquired = job._replace(rev=2, acquired_at=NOW)
    assert store.commit((Write(acquired, 1),), by="ci") is None
    longer = acquired._replace(rev=3, prolongs=1, ends_at=NOW + timedelta(hours=2))
    assert store.commit((Write(longer, 2),), by="ci") is None
    done = held._replace(rev=3, state=ReqState.DONE, reason_code="closed", reason="by its owner")
    assert store.commit((Write(done, 2),), by="ci") is None
    free = lent._replace(rev=3, state=WorkerState.PREPARE, request_id=None)
    assert store.commit((Write(free, 2), Write(longer._replace(rev=4, ended_at=NOW), 3))) is None
    grouped = free._replace(rev=4, groups=("g",))
    assert store.commit((Write(grouped, 3),), by="root") is None
    assert store.commit((Remove(WorkerRow, "b1", 4),), by="root") is None
    place.written(store)
    engine = place.backend().reading_engine()
    of_request = read_history(engine, request_id=row.id)
    of_board = read_history(engine, worker_uuid="b1")
    newest = read_history(engine, most=2)
    engine.dispose()
    assert [(one.kind, one.old_state, one.new_state, one.by, one.reason) for one in of_request] == [
        ("request.created", "", "WAITING", "ci", "nightly"),
        ("request.state", "WAITING", "IN PROGRESS", "", ""),
        ("request.changed", "", "", "ci", "priority=1"),
        ("worker.state", "IDLE", "RUNNING", "", ""),
        ("job.acquired", "", "", "ci", ""),
        ("job.prolonged", "", "", "ci", "until 2026-01-02T05:04:05.000678+00:00"),
        ("request.state", "IN PROGRESS", "DONE", "ci", "closed: by its owner"),
        ("worker.state", "RUNNING", "PREPARE", "", ""),
        ("job.over", "", "", "", ""),
    ]
    assert (of_request[1].worker_uuid, of_request[1].epoch) == ("b1", 1)
    assert [of_request[0].at, of_request[1].at] == [NOW, NOW + timedelta(seconds=5)]
    assert [one.kind for one in of_board] == [
        "worker.registered", "request.state", "worker.state", "job.acquired", "job.prolonged",
        "worker.state", "job.over", "worker.changed", "worker.removed",
    ]  # fmt: skip
    assert [one.kind for one in newest] == ["worker.changed", "worker.removed"]
    assert {one.kind for one in (*of_request, *of_board)} == set(KINDS)


def test_what_is_too_old_goes_and_so_does_what_is_too_much(place: Place) -> None:
    store = place.open(pace=Pace(prune_every_s=3600.0))
    for number in range(30):
        assert store.commit((Write(a_worker(f"b{number}"), 0),)) is None
        place.clock.advance(1)
    assert store.close()
    backend = place.backend()
    epoch = backend.lead()
    old = NOW + timedelta(seconds=10)
    assert [backend.prune(old, 1000, 4, epoch) for _ in range(4)] == [4, 4, 2, 0]
    assert [backend.prune(old, 15, 4, epoch) for _ in range(3)] == [4, 1, 0]
    backend.close()
    [(count, first)] = place.query("SELECT count(*), min(at) FROM events")
    assert (count, first) == (15, micros(NOW + timedelta(seconds=15)))


def test_the_writer_prunes_between_two_batches_until_nothing_is_too_old(place: Place) -> None:
    pace = Pace(prune_every_s=0.05, prune_slice=3, events_kept=10)
    store = place.open(pace=pace)
    for number in range(40):
        assert store.commit((Write(a_worker(f"b{number}"), 0),)) is None
    place.written(store)
    place.loop.run_until(lambda: place.query("SELECT count(*) FROM events") == [(10,)])
    assert len(store.workers()) == 40
