"""The life of a request, as plain data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from boruta.domain import request
from boruta.domain.errors import ActionRefused, ProlongLimit, WorkerNotAssigned
from boruta.domain.rows import JobRow, RequestRow, WorkerRow
from boruta.domain.states import ReqEvent
from boruta.domain.types import Capabilities, ReqState, WorkerState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def waiting() -> RequestRow:
    return RequestRow(
        id=7,
        rev=3,
        state=ReqState.WAIT,
        priority=8,
        queue_seq=5,
        caps=Capabilities(arch="armv7l"),
        valid_after=NOW,
        deadline=NOW + 24 * HOUR,
        job_timeout_s=3600.0,
        created=NOW,
        owner_name="ci",
    )


def board() -> WorkerRow:
    return WorkerRow(
        uuid="b1",
        rev=9,
        state=WorkerState.IDLE,
        board_epoch=4,
        prepared_key="secret",
        username="boruta-user",
        host_keys=("ssh-ed25519 AAAA",),
    )


def running() -> tuple[RequestRow, JobRow]:
    return request.assigned(waiting(), board(), NOW, "127.0.0.1", 4000)


def test_an_assigned_request_holds_the_board_with_the_key_that_was_prepared() -> None:
    row, job = running()
    assert row.state is ReqState.INPROGRESS
    assert row.rev == 4
    assert (job.worker_uuid, job.board_epoch, job.key) == ("b1", 4, "secret")
    assert job.ends_at == NOW + HOUR


def test_the_key_of_a_job_shows_in_no_repr() -> None:
    _, job = running()
    assert "secret" not in repr(job)
    assert "secret" not in repr(request.access(job, "host"))
    assert "secret" not in repr(board())


def test_closing_what_waits_cancels_it_and_closing_what_runs_is_done() -> None:
    cancelled = request.closed(waiting(), NOW, "ci")
    assert (cancelled.state, cancelled.reason_code) == (ReqState.CANCEL, "cancelled")
    done = request.closed(running()[0], NOW, "ci")
    assert (done.state, done.reason_code) == (ReqState.DONE, "closed")


def test_closing_twice_is_refused_and_says_how_it_ended() -> None:
    once = request.closed(waiting(), NOW, "ci")
    with pytest.raises(ActionRefused, match=r"CANCELLED since .*cancelled by ci"):
        request.closed(once, NOW, "ci")


def test_a_deadline_that_is_now_has_passed_but_one_to_come_has_not() -> None:
    row = waiting()._replace(deadline=NOW)
    after = request.expired(row, NOW)
    assert after is not None
    assert (after.state, after.reason_code) == (ReqState.TIMEOUT, "deadline")
    assert request.expired(row._replace(deadline=NOW + timedelta(microseconds=1)), NOW) is None


def test_the_deadline_means_nothing_once_the_job_runs() -> None:
    row, _ = running()
    assert request.expired(row._replace(deadline=NOW), NOW) is None


def test_job_time_that_is_up_ends_in_done_with_time_up() -> None:
    row, job = running()
    assert request.out_of_time(row, job, NOW) is None
    after = request.out_of_time(row, job, NOW + HOUR)
    assert after is not None
    assert (after.state, after.reason_code) == (ReqState.DONE, "time_up")


def test_the_first_acquire_starts_the_time_anew_and_others_change_nothing() -> None:
    row, job = running()
    first = request.acquired(row, job, NOW + timedelta(minutes=30))
    assert first is not None
    assert first.ends_at == NOW + timedelta(minutes=90)
    assert (first.end_rev, first.prolongs) == (job.end_rev + 1, 0)
    assert request.acquired(row, first, NOW + HOUR) is None


def test_acquiring_what_has_ended_tells_its_state() -> None:
    with pytest.raises(WorkerNotAssigned) as caught:
        request.running(request.closed(waiting(), NOW, "ci"), None)
    assert caught.value.details["state"] == "CANCELLED"


def test_a_prolong_sets_the_end_to_now_plus_job_time_and_counts() -> None:
    row, job = running()
    limits = request.Limits(prolongs=2)
    once = request.prolonged(row, job, NOW + timedelta(minutes=10), limits, None)
    assert once.ends_at == NOW + timedelta(minutes=70)
    assert request.prolong_answer(once, limits).prolongs_left == 1


def test_the_last_prolong_but_one_more_is_refused_and_says_so() -> None:
    row, job = running()
    limits = request.Limits(prolongs=1)
    once = request.prolonged(row, job, NOW, limits, None)
    with pytest.raises(ProlongLimit, match="1 times, which is the limit"):
        request.prolonged(row, once, NOW, limits, None)


def test_prolonging_stops_at_the_total() -> None:
    row, job = running()
    limits = request.Limits(prolong_total_s=1800.0)
    once = request.prolonged(row, job, NOW + timedelta(minutes=50), limits, None)
    assert once.ends_at == NOW + timedelta(minutes=90)
    with pytest.raises(ProlongLimit, match="0 s are left"):
        request.prolonged(row, once, NOW + timedelta(minutes=80), limits, None)


def test_a_request_is_ready_from_valid_after_until_just_before_its_deadline() -> None:
    row = waiting()._replace(valid_after=NOW + HOUR, deadline=NOW + 2 * HOUR)
    assert not request.ready(row, NOW)
    assert request.ready(row, NOW + HOUR)
    assert not request.ready(row, NOW + 2 * HOUR)


def test_an_illegal_event_raises_and_changes_nothing() -> None:
    row = waiting()
    with pytest.raises(ActionRefused):
        request.ended(row, ReqEvent.TIME_UP, NOW, "time_up", "")
    assert row == waiting()
