"""Steps of the server's wall clock, which durations do not follow (SAFETY, A8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.messages import TellEnd
from boruta.domain import request
from boruta.domain.commands import Command, KeptJob, Lease
from boruta.domain.defaults import START_GRACE_S
from boruta.domain.rows import JobRow, RequestRow
from boruta.domain.types import ReqState
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import ALICE, LAB, SimFarm


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_of_the_wall_clock_moves_no_job_s_end(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=3600.0)
    farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    before = farm.sim.utcnow
    monkeypatch.setattr(farm.sim, "utcnow", lambda: before() + timedelta(hours=hours))
    farm.advance(3590)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(11)
    assert farm.state(req_id) is ReqState.DONE
    farm.end()


def test_a_prolong_after_the_clock_was_set_back_gives_the_job_s_time_and_no_hour_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=600.0)
    farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    before = farm.sim.utcnow
    monkeypatch.setattr(farm.sim, "utcnow", lambda: before() - timedelta(hours=1))
    farm.advance(100)
    farm.call(farm.front.requests(ALICE).prolong_access(req_id))
    farm.advance(590)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(20)
    assert farm.state(req_id) is ReqState.DONE
    farm.end()


@pytest.mark.parametrize("hours", [1, -1])
def test_an_agent_is_told_what_remains_whatever_the_wall_clock_says(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    farm = SimFarm()
    dryad = farm.board("b1")
    req_id = farm.new(job_timeout=3600.0)
    farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    farm.sim.run_until_idle()
    job = farm.store.job(req_id)
    assert job is not None
    told: list[Lease] = []
    send = dryad.send

    def watched(command: Command, within_s: float, on_reply: Callable[[Any], None]) -> None:
        if isinstance(command, Lease):
            told.append(command)
        send(command, within_s, on_reply)

    monkeypatch.setattr(dryad, "send", watched)
    before = farm.sim.utcnow
    monkeypatch.setattr(farm.sim, "utcnow", lambda: before() + timedelta(hours=hours))
    farm.advance(600)
    farm.system.directory.tell_worker("b1", TellEnd(job))  # as when the first one was not answered
    farm.sim.run_until_idle()
    # One that comes back and knows of no end is told in the answer.
    farm.lose(dryad)
    dryad.lease = None
    dryad.reconnect()
    assert farm.register(dryad).job.remaining_s == pytest.approx(3000, abs=1)
    assert [one.remaining_s for one in told] == pytest.approx([3000, 3000], abs=1)


@pytest.mark.parametrize("hours", [1, -1])
def test_an_actor_that_fails_after_the_clock_was_set_ends_the_job_when_it_was_to_end(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=3600.0)
    before = farm.sim.utcnow
    monkeypatch.setattr(farm.sim, "utcnow", lambda: before() + timedelta(hours=hours))
    farm.advance(600)
    for kind in ("requests", "workers"):
        refs = getattr(farm.system.directory, kind)
        refs[req_id if kind == "requests" else "b1"].tell(object())  # nobody handles that
        farm.sim.run_until_idle()
    farm.advance(2990)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(20)
    assert farm.info(req_id).reason_code == "time_up"
    assert farm.system.directory.job_ends._ends == {}


def restarted(before: SimFarm, off: timedelta) -> SimFarm:
    """Another life of the server on the same store, with another date on its wall."""
    farm = SimFarm(store=before.store, start=before.sim.utcnow() + off)
    farm.advance(1)
    return farm


@pytest.mark.parametrize("hours", [1, -1])
def test_after_a_restart_the_agent_knows_better_than_a_clock_that_was_set(hours: int) -> None:
    before = SimFarm()
    dryad = before.board("b1")
    req_id = before.new(job_timeout=3600.0)
    before.advance(600)
    farm = restarted(before, timedelta(hours=hours))
    agent = FakeDryad(farm.sim, dryad.caps)
    agent.epoch = dryad.epoch
    said = replace(agent.registration(), job=KeptJob(req_id, dryad.epoch.board, 3000.0, 1))
    answer = farm.call(farm.front.superviser(LAB).register(said, agent))
    farm.sim.run_until_idle()
    assert answer.job == KeptJob(req_id, dryad.epoch.board, 3000.0, 1)
    info = farm.info(req_id)
    assert info.job is not None
    assert abs(info.job.timeout - farm.now - timedelta(seconds=3000)) < timedelta(seconds=2)
    farm.advance(2980)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(30)
    assert farm.info(req_id).reason_code == "time_up"


def test_a_job_whose_time_passed_while_the_server_was_away_waits_for_its_agent_s_word() -> None:
    before = SimFarm()
    before.board("b1")
    req_id = before.new(job_timeout=100.0)
    farm = restarted(before, timedelta(seconds=500))
    farm.advance(START_GRACE_S - 5)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(10)
    assert farm.state(req_id).ended


@pytest.mark.parametrize(
    ("end_rev", "remaining_s", "left_s"),
    [(0, 100.0, 3000.0), (2, 100.0, 3000.0), (1, 1e9, 3600.0), (1, -5.0, 0.0)],
)
def test_an_agent_is_believed_only_about_the_last_end_and_within_the_job_s_time(
    end_rev: int, remaining_s: float, left_s: float
) -> None:
    row, job = claimed()
    said = KeptJob(row.id, job.board_epoch, remaining_s, end_rev)
    kept = request.kept(row, job, said, job.started + timedelta(seconds=600)) or job
    assert kept.ends_at - job.started == timedelta(seconds=600 + left_s)
    assert request.kept(row, job, replace(said, epoch=said.epoch + 1), job.started) is None


def claimed() -> tuple[RequestRow, JobRow]:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=3600.0)
    row, job = farm.store.request(req_id), farm.store.job(req_id)
    assert row is not None
    assert job is not None
    return row, job


def test_a_clock_set_back_over_a_restart_makes_nobody_wait_who_was_valid_at_once() -> None:
    before = SimFarm()
    req_id = before.new()
    later = before.new(valid_after=before.now + timedelta(minutes=5))
    farm = restarted(before, timedelta(hours=-1))
    farm.board("b1")
    farm.advance(10)
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert farm.state(later) is ReqState.WAIT
    farm.end()
