"""The life of a board, as plain data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from boruta.domain import defaults, returning, worker
from boruta.domain.commands import EndedJob, KeptJob, Registration
from boruta.domain.errors import (
    CapsMissingUUID,
    FailRefused,
    StateNotAllowed,
    TransitionRefused,
    UUIDInUse,
    WorkerNotRemovable,
)
from boruta.domain.rows import JobRow, WorkerRow
from boruta.domain.types import Capabilities, Epoch, WorkerState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CAPS = Capabilities(UUID="b1", arch="armv7l")
LIFE = b"0123456789abcdef"


def board(state: WorkerState, **fields: object) -> WorkerRow:
    row = WorkerRow(
        uuid="b1",
        rev=5,
        state=state,
        caps=CAPS,
        server_epoch=2,
        board_epoch=4,
        owner_key="agent",
        session=LIFE,
        ssh_address="10.0.0.2:7022",
    )
    return row._replace(**fields)  # type: ignore[arg-type]


def lent() -> WorkerRow:
    return board(WorkerState.RUN, request_id=7, prepared_key="secret")


def job(started: datetime = NOW) -> JobRow:
    return JobRow(
        request_id=7,
        rev=1,
        worker_uuid="b1",
        board_epoch=4,
        started=started,
        ends_at=started + timedelta(hours=1),
        end_rev=1,
        key="secret",
        username="u",
        host_keys=(),
        tunnel_host="h",
        tunnel_port=1,
    )


def said(**fields: object) -> Registration:
    base = Registration(caps=CAPS, ssh_address="10.0.0.2:7022", epoch=Epoch(2, 4), session=LIFE)
    return replace(base, **fields)  # type: ignore[arg-type]


def returned(row: WorkerRow, registration: Registration, **options: object) -> returning.Return:
    return returning.registered(row, registration, NOW, "agent", **options)  # type: ignore[arg-type]


def test_a_new_worker_starts_in_maintenance() -> None:
    back = returning.registered(None, said(epoch=Epoch()), NOW, "agent")
    assert back.row.state is WorkerState.MAINTENANCE
    assert back.row.epoch == Epoch(1, 0)


def test_a_lab_may_have_new_workers_prepared_at_once() -> None:
    back = returning.registered(None, said(), NOW, "agent", initial=WorkerState.IDLE)
    assert back.row.state is WorkerState.PREPARE
    assert back.row.rev == 1


def test_caps_without_a_uuid_are_refused() -> None:
    with pytest.raises(CapsMissingUUID):
        returning.registered(None, said(caps=Capabilities(a="b")), NOW, "agent")


def test_a_uuid_belongs_to_the_key_that_registered_it_first() -> None:
    with pytest.raises(UUIDInUse, match="'agent'"):
        returning.registered(board(WorkerState.IDLE), said(), NOW, "thief")


@pytest.mark.parametrize("state", list(WorkerState))
def test_every_registration_raises_the_server_epoch_above_both(state: WorkerState) -> None:
    back = returned(board(state), said(epoch=Epoch(11, 4)))
    assert back.row.server_epoch == 12
    assert back.row.rev == 6


def test_an_idle_board_whose_key_is_still_in_stays_idle() -> None:
    assert returned(board(WorkerState.IDLE), said()).row.state is WorkerState.IDLE


def test_an_idle_board_with_a_new_agent_is_prepared_anew() -> None:
    back = returned(board(WorkerState.IDLE), said(session=b"another"))
    assert back.row.state is WorkerState.PREPARE
    assert back.row.board_epoch == 5


def test_a_job_that_the_agent_still_keeps_goes_on() -> None:
    back = returned(lent(), said(job=KeptJob(7, 4, 100.0, 1)))
    assert back.keeps_job
    assert back.row.state is WorkerState.RUN


def test_a_job_of_another_epoch_does_not_go_on() -> None:
    back = returned(lent(), said(job=KeptJob(7, 3, 100.0, 1)))
    assert not back.keeps_job
    assert (back.row.state, back.job_over) == (WorkerState.PREPARE, "board_lost")


def test_a_job_whose_lease_never_arrived_goes_on_in_the_same_life() -> None:
    assert returned(lent(), said()).keeps_job


def test_a_restarted_agent_without_the_job_has_lost_it() -> None:
    back = returned(lent(), said(session=b"another"))
    assert (back.keeps_job, back.job_over) == (False, "board_lost")
    assert back.row.request_id is None
    assert back.row.board_epoch == 5


def test_a_job_that_the_agent_ended_by_its_clock_is_time_up() -> None:
    back = returned(lent(), said(ended=EndedJob(7, 4, "time_up")))
    assert (back.row.state, back.job_over) == (WorkerState.PREPARE, "time_up")


def test_a_job_whose_holder_took_too_much_says_so_and_the_board_is_offered_again() -> None:
    back = returned(lent(), said(ended=EndedJob(7, 4, "over_limit")))
    assert (back.row.state, back.job_over) == (WorkerState.PREPARE, "over_limit")
    assert "disk" in back.job_reason


@pytest.mark.parametrize("code", ["board_failed", "closed", "\x1b[31m"])
def test_an_agent_says_of_a_job_that_it_failed_and_nothing_else(code: str) -> None:
    assert returned(lent(), said(ended=EndedJob(7, 4, code))).job_over == "board_failed"


def test_the_end_of_an_earlier_job_is_not_that_of_this_one() -> None:
    back = returned(lent(), said(ended=EndedJob(6, 3, "time_up")))
    assert (back.keeps_job, back.job_over) == (True, "")
    assert back.row.state is WorkerState.RUN


@pytest.mark.parametrize(
    "what",
    [
        {"job": KeptJob(7, 4, 100.0, 1)},
        {"ended": EndedJob(7, 4, "time_up")},
        {"epoch": Epoch(2, 3)},
        {"epoch": Epoch(2, 9)},
    ],
    ids=["a-job", "an-ended-job", "an-older-key", "a-newer-key"],
)
def test_an_idle_board_that_is_not_as_it_was_left_is_prepared_anew(what: dict[str, object]) -> None:
    back = returned(board(WorkerState.IDLE), said(**what))
    assert back.row.state is WorkerState.PREPARE
    assert back.row.prepared_key == ""


@pytest.mark.parametrize("state", list(WorkerState))
def test_no_board_epoch_comes_again_whatever_the_store_has_forgotten(state: WorkerState) -> None:
    back = returned(board(state), said(epoch=Epoch(2, 9), session=b"another"))
    assert back.row.board_epoch >= 9
    orders = (WorkerState.PREPARE, WorkerState.BUSY)
    assert back.row.state not in orders or back.row.board_epoch == 10


def test_changed_caps_lead_to_maintenance_and_end_the_job() -> None:
    back = returned(lent(), said(caps=Capabilities(UUID="b1", arch="riscv64")))
    assert (back.row.state, back.job_over) == (WorkerState.BUSY, "maintenance")


def test_another_address_alone_is_no_change() -> None:
    back = returned(board(WorkerState.IDLE), said(ssh_address="10.0.0.3:9"))
    assert back.row.state is WorkerState.IDLE
    assert back.row.ssh_address == "10.0.0.3:9"


def test_a_lost_board_comes_back_by_registering_but_a_reported_one_does_not() -> None:
    lost = board(WorkerState.FAIL, reason_code="lost")
    assert returned(lost, said()).row.state is WorkerState.PREPARE
    reported = board(WorkerState.FAIL, reason_code="reported")
    assert returned(reported, said()).row.state is WorkerState.FAIL
    assert returned(reported, said(), auto_recover=True).row.state is WorkerState.PREPARE


def test_an_order_that_was_under_way_goes_again_under_a_new_epoch() -> None:
    assert returned(board(WorkerState.PREPARE), said()).row.board_epoch == 5
    assert returned(board(WorkerState.BUSY), said()).row.board_epoch == 5


def test_only_idle_and_maintenance_can_be_set() -> None:
    for state in set(WorkerState) - {WorkerState.IDLE, WorkerState.MAINTENANCE}:
        with pytest.raises(StateNotAllowed):
            worker.state_set(board(WorkerState.IDLE), state, NOW, "", False)


def test_a_failed_board_is_enabled_through_maintenance_only() -> None:
    with pytest.raises(TransitionRefused):
        worker.state_set(board(WorkerState.FAIL), WorkerState.IDLE, NOW, "", False)


def test_a_draining_board_goes_to_maintenance_when_its_job_ends() -> None:
    draining = worker.state_set(lent(), WorkerState.MAINTENANCE, NOW, "swap card", True)
    assert draining is not None
    assert draining.state is WorkerState.RUN
    after = worker.released(draining, NOW)
    assert (after.state, after.reason, after.rev) == (
        WorkerState.BUSY,
        "swap card",
        draining.rev + 1,
    )


def test_prepare_is_tried_again_and_fails_for_good_after_some_tries() -> None:
    row = board(WorkerState.PREPARE)
    for _ in range(defaults.PREPARE_TRIES - 1):
        row = worker.prepare_failed(row, "no space", NOW)
        assert row.state is WorkerState.PREPARE
    row = worker.prepare_failed(row, "no space", NOW)
    assert (row.state, row.reason_code) == (WorkerState.FAIL, "prepare")
    assert "no space" in row.reason


@pytest.mark.parametrize("state", [WorkerState.MAINTENANCE, WorkerState.BUSY])
def test_a_board_in_maintenance_cannot_be_reported(state: WorkerState) -> None:
    with pytest.raises(FailRefused):
        worker.reported(board(state), "smoke", NOW, None)


def test_a_board_that_kills_three_short_jobs_in_a_row_is_taken_out() -> None:
    row = lent()._replace(short_jobs=2)
    after = worker.lost(row, NOW + timedelta(seconds=10), job())
    assert (after.state, after.reason_code) == (WorkerState.FAIL, "health")
    kept = worker.lost(row, NOW + timedelta(seconds=40), job())
    assert (kept.reason_code, kept.short_jobs) == ("lost", 0)


def test_a_good_job_forgets_short_ones() -> None:
    assert worker.released(lent()._replace(short_jobs=2), NOW).short_jobs == 0


@pytest.mark.parametrize("state", list(WorkerState))
def test_only_boards_in_maintenance_or_failed_are_removed(state: WorkerState) -> None:
    if state in (WorkerState.MAINTENANCE, WorkerState.FAIL):
        worker.check_removable(board(state))
    else:
        with pytest.raises(WorkerNotRemovable):
            worker.check_removable(board(state))


def test_back_off_doubles_up_to_a_minute() -> None:
    assert [worker.back_off(n, 1.0) for n in (1, 2, 3, 7, 20)] == [1, 2, 4, 60, 60]
    assert worker.back_off(3, 0.0) == 2.0
