"""Boards over the real engine, in virtual time: SAFETY's rules of epochs, loss and return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from actors.directory import Rules
from actors.messages import Sweep
from boruta.domain.commands import (
    EndedJob,
    EndSession,
    Healthcheck,
    KeptJob,
    Lease,
    Prepare,
    PutInMaintenance,
)
from boruta.domain.defaults import SWEEP_S
from boruta.domain.errors import (
    BoardLost,
    FailRefused,
    NotFoundError,
    NotPermitted,
    StateNotAllowed,
    TransitionRefused,
    UUIDInUse,
    WorkerNotRemovable,
)
from boruta.domain.types import Caller, Capabilities, Check, ReqState, Role, WorkerState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import ADMIN, ALICE, LAB, SimFarm


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def test_a_new_worker_starts_in_maintenance_and_is_not_prepared(farm: SimFarm) -> None:
    dryad = farm.board("b1", enable=False)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE
    assert dryad.commands == []
    req_id = farm.new()
    assert farm.state(req_id) is ReqState.WAIT


def test_it_may_be_set_to_start_idle() -> None:
    farm = SimFarm(rules=Rules(initial=WorkerState.IDLE))
    farm.board("b1", enable=False)
    assert farm.worker("b1").state is WorkerState.IDLE


def test_every_command_bears_a_higher_epoch_than_the_last(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    for _ in range(3):
        farm.close(farm.new())
    epochs = [command.epoch for command in dryad.sent(Prepare) if isinstance(command, Prepare)]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 4


def test_the_registration_answers_above_the_epoch_that_the_agent_has_seen(farm: SimFarm) -> None:
    dryad = FakeDryad(farm.sim, {"UUID": "b1"})
    dryad.epoch = dryad.epoch._replace(server=41, board=17)
    answer = farm.register(dryad)
    assert answer.epoch.server == 42
    farm.set_state("b1", WorkerState.IDLE)
    assert dryad.sent(Prepare)[0].epoch.board == 18  # type: ignore[union-attr]


def test_a_lost_board_keeps_its_job_for_the_grace_time_then_its_request_fails(
    farm: SimFarm,
) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.lose(dryad)
    farm.advance(59)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(2)
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.FAILED, "board_lost")
    assert farm.worker("b1").state is WorkerState.FAIL
    assert farm.access.opened == {}


def test_a_board_back_within_the_grace_time_goes_on_with_its_job(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.lose(dryad)
    farm.advance(30)
    answer = farm.come_back(dryad)
    assert answer.job is not None
    assert answer.job.id == req_id
    farm.advance(100)
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert farm.info(req_id).reason == ""


def test_an_agent_that_restarted_while_held_fails_the_request_and_is_prepared_anew(
    farm: SimFarm,
) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.lose(dryad)
    answer = farm.come_back(dryad, restarted=True)
    assert answer.job is None
    assert farm.info(req_id).reason_code == "board_lost"
    assert farm.worker("b1").state is WorkerState.IDLE
    assert len(dryad.sent(Prepare)) == 2


def test_a_board_that_comes_back_too_late_is_prepared_before_it_is_offered(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    farm.new()
    farm.lose(dryad)
    farm.advance(61)
    dryad.manners["prepare"] = Manner(delay_s=3)
    farm.come_back(dryad)
    assert farm.worker("b1").state is WorkerState.PREPARE
    farm.advance(4)
    assert farm.worker("b1").state is WorkerState.IDLE


def test_an_agent_that_ended_the_job_by_its_clock_makes_it_done(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new(job_timeout=40)
    epoch = dryad.epoch.board
    farm.lose(dryad)
    farm.advance(20)
    dryad.reconnect()
    said = replace(dryad.registration(), ended=EndedJob(req_id, epoch, "time_up"))
    farm.call(farm.front.superviser(LAB).register(said, dryad))
    farm.sim.run_until_idle()
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.DONE, "time_up")


def test_an_agent_with_a_job_that_is_over_is_not_told_to_go_on(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    epoch = dryad.epoch.board
    farm.lose(dryad)
    farm.close(req_id)
    dryad.reconnect()
    said = replace(dryad.registration(), job=KeptJob(req_id, epoch, 100.0, 1))
    answer = farm.call(farm.front.superviser(LAB).register(said, dryad))
    assert answer.job is None


def test_changed_capabilities_lead_to_maintenance_and_end_the_job(farm: SimFarm) -> None:
    dryad = farm.board("b1", arch="armv7l")
    req_id = farm.new()
    dryad.caps = Capabilities({"UUID": "b1", "arch": "everything"})
    farm.lose(dryad)
    farm.come_back(dryad)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.FAILED, "maintenance")


def test_a_uuid_belongs_to_the_first_key_that_registered_it(farm: SimFarm) -> None:
    farm.board("b1")
    thief = FakeDryad(farm.sim, {"UUID": "b1"})
    with pytest.raises(UUIDInUse):
        farm.register(thief, by=Caller("other", Role.WORKER))
    assert farm.worker("b1").state is WorkerState.IDLE


def test_maintenance_ends_the_job_and_tells_the_agent(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.set_state("b1", WorkerState.MAINTENANCE, reason="new SD card")
    assert farm.worker("b1").state is WorkerState.MAINTENANCE
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.FAILED, "maintenance")
    assert "SD card" in info.reason
    assert [c.msg for c in dryad.sent(PutInMaintenance) if isinstance(c, PutInMaintenance)] == [
        "new SD card"
    ]


def test_drain_lets_the_job_end_first(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new()
    farm.set_state("b1", WorkerState.MAINTENANCE, drain=True)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.close(req_id)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE


def test_states_that_an_admin_may_not_set_and_steps_that_are_not_there(farm: SimFarm) -> None:
    farm.board("b1")
    with pytest.raises(StateNotAllowed):
        farm.set_state("b1", WorkerState.RUN)
    with pytest.raises(TransitionRefused):
        farm.set_state("b1", WorkerState.IDLE)
    with pytest.raises(NotFoundError):
        farm.set_state("nobody", WorkerState.IDLE)
    with pytest.raises(NotPermitted):
        farm.call(farm.front.workers(ALICE).set_state("b1", WorkerState.MAINTENANCE))


def test_a_failure_that_the_agent_reports_fails_the_request_with_the_reason(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.call(farm.front.superviser(LAB).set_fail("b1", "the relay is stuck"))
    farm.sim.run_until_idle()
    worker = farm.worker("b1")
    assert (worker.state, worker.reason_code) == (WorkerState.FAIL, "reported")
    assert worker.reason == "the relay is stuck"
    assert farm.info(req_id).reason_code == "board_failed"
    assert dryad.sent(EndSession)


def test_in_maintenance_no_failure_is_reported(farm: SimFarm) -> None:
    farm.board("b1", enable=False)
    with pytest.raises(FailRefused):
        farm.call(farm.front.superviser(LAB).set_fail("b1", "x"))


def test_a_failed_prepare_is_tried_again_with_back_off_then_the_worker_is_failed(
    farm: SimFarm,
) -> None:
    dryad = farm.board("b1", enable=False)
    dryad.manners["prepare"] = Manner(fail=BoardLost("no space"))
    farm.set_state("b1", WorkerState.IDLE)
    assert farm.worker("b1").state is WorkerState.PREPARE
    assert "no space" in farm.worker("b1").reason
    farm.advance(120)
    worker = farm.worker("b1")
    assert (worker.state, worker.reason_code) == (WorkerState.FAIL, "prepare")
    assert len(dryad.sent(Prepare)) == 5


def test_a_link_cut_during_prepare_is_no_failed_prepare(farm: SimFarm) -> None:
    dryad = farm.board("b1", enable=False)
    dryad.manners["prepare"] = Manner(silent=True)
    farm.set_state("b1", WorkerState.IDLE)
    farm.lose(dryad)
    dryad.manners.clear()
    farm.come_back(dryad)
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.worker("b1").reason == ""


def test_an_offline_board_is_never_matched_and_keeps_its_state(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    farm.lose(dryad)
    req_id = farm.new()
    assert farm.state(req_id) is ReqState.WAIT
    assert farm.worker("b1").state is WorkerState.IDLE
    farm.come_back(dryad)
    assert farm.state(req_id) is ReqState.WAIT  # a board that was lost is matched after 5 s
    farm.advance(5.1)
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_a_board_without_a_free_port_is_tried_again_later(farm: SimFarm) -> None:
    farm.board("b1")
    farm.access.full = True
    req_id = farm.new()
    assert farm.state(req_id) is ReqState.WAIT
    farm.access.full = False
    farm.advance(5)
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_a_tunnel_that_cannot_be_opened_fails_the_request_and_frees_the_board(
    farm: SimFarm,
) -> None:
    farm.board("b1")
    farm.access.broken = True
    req_id = farm.new()
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.FAILED, "internal")
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.access.reserved == set()


def test_three_short_jobs_in_a_row_that_the_board_failed_take_it_out(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    for _ in range(3):
        farm.new()
        farm.lose(dryad)
        farm.come_back(dryad, restarted=True)
        farm.advance(6)
    worker = farm.worker("b1")
    assert (worker.state, worker.reason_code) == (WorkerState.FAIL, "health")


def test_only_one_in_maintenance_or_failed_is_deregistered(farm: SimFarm) -> None:
    farm.board("b1")
    with pytest.raises(WorkerNotRemovable):
        farm.call(farm.front.workers(ADMIN).deregister("b1"))
    farm.set_state("b1", WorkerState.MAINTENANCE)
    farm.call(farm.front.workers(ADMIN).deregister("b1"))
    with pytest.raises(NotFoundError):
        farm.worker("b1")


def test_the_agent_of_a_board_that_is_deregistered_is_told_and_may_come_back_anew(
    farm: SimFarm,
) -> None:
    dryad = farm.board("b1", enable=False)
    farm.call(farm.front.workers(ADMIN).set_groups("b1", ["camera"]))
    farm.call(farm.front.workers(ADMIN).deregister("b1"))
    assert dryad.cut_for == "worker b1 was deregistered by admin"
    farm.front.worker_lost("b1", dryad)
    assert farm.come_back(dryad).first
    worker = farm.worker("b1")
    assert (worker.state, worker.groups, worker.online) == (WorkerState.MAINTENANCE, (), True)


def test_groups_limit_who_may_use_a_board(farm: SimFarm) -> None:
    from boruta.domain.types import UserInfo

    farm.board("b1")
    farm.call(farm.front.workers(ADMIN).set_groups("b1", ["camera"]))
    outside = farm.new(owner=UserInfo(groups=("kernel",)))
    inside = farm.new(owner=UserInfo(groups=("camera", "kernel")))
    assert farm.state(outside) is ReqState.WAIT
    assert farm.state(inside) is ReqState.INPROGRESS


def test_the_lease_tells_the_agent_how_long_the_job_lasts(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new(job_timeout=1234)
    lease = dryad.sent(Lease)[0]
    assert isinstance(lease, Lease)
    assert (lease.id, lease.remaining_s, lease.end_rev) == (req_id, 1234, 1)


def test_a_lease_that_got_no_answer_is_told_again(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    dryad.manners["lease"] = Manner(silent=True)
    farm.new()
    farm.advance(25)
    assert len(dryad.sent(Lease)) >= 3


def test_silence_while_the_server_stood_still_does_not_count(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    req_id = farm.new(bound=True, deadline=farm.now + timedelta(days=2))
    farm.lose(dryad)
    farm.front.session_lost(ALICE)
    farm.system.directory.awoke_at = farm.sim.now() + 59
    farm.advance(61)
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.advance(15)
    assert farm.info(req_id).reason_code == "client_lost"


def test_an_unknown_port_of_an_agent_is_not_listened_to(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    stranger = FakeDryad(farm.sim, {"UUID": "b1"})
    farm.front.worker_lost("b1", stranger)
    farm.sim.run_until_idle()
    assert farm.worker("b1").online
    assert dryad.cut_for is None


def test_an_idle_board_is_checked_now_and_then_and_taken_out_after_three_bad_findings() -> None:
    farm = SimFarm(rules=Rules(check_every_s=600))
    dryad = farm.board("b1")
    farm.advance(3000)
    assert len(dryad.sent(Healthcheck)) == 5
    dryad.checks = (Check("current", False, "3 A"),)
    farm.advance(1200)
    assert farm.worker("b1").state is WorkerState.IDLE
    dryad.checks = (Check("current", True),)
    farm.advance(600)
    dryad.checks = (Check("current", False, "3 A"),)
    farm.advance(1200)
    assert farm.worker("b1").state is WorkerState.IDLE
    farm.advance(600)
    worker = farm.worker("b1")
    assert (worker.state, worker.reason_code) == (WorkerState.FAIL, "health")
    assert "3 A" in worker.reason


def test_a_held_board_is_not_checked() -> None:
    farm = SimFarm(rules=Rules(check_every_s=600))
    dryad = farm.board("b1")
    farm.new(job_timeout=7200)
    farm.advance(3600)
    assert dryad.sent(Healthcheck) == []


def test_after_a_start_a_board_that_holds_a_job_has_three_minutes_to_come_back() -> None:
    farm = SimFarm()
    dryad = farm.board("b1")
    req_id = farm.new()
    second = SimFarm(store=farm.store)
    second.advance(179)
    assert second.state(req_id) is ReqState.INPROGRESS
    second.advance(2)
    assert second.info(req_id).reason_code == "board_lost"
    assert dryad.cut_for is None


def test_a_lab_sets_how_long_a_request_waits_by_default() -> None:
    farm = SimFarm(rules=Rules(default_deadline_s=60))
    assert farm.info(farm.new()).deadline == farm.now + timedelta(seconds=60)


def test_a_board_out_of_reach_is_in_maintenance_at_once_and_hears_of_it_when_it_returns(
    farm: SimFarm,
) -> None:
    dryad = farm.board("b1")
    req_id = farm.new()
    farm.lose(dryad)
    farm.set_state("b1", WorkerState.MAINTENANCE, reason="taken home")
    farm.advance(0.1)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE
    assert farm.info(req_id).reason_code == "maintenance"
    farm.come_back(dryad)
    assert farm.worker("b1").state is WorkerState.MAINTENANCE
    assert dryad.sent(PutInMaintenance)


def test_every_board_is_swept_however_many_there_are(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.system.SWEPT_A_TURN", 2)
    boards = [farm.board(f"b{number}") for number in range(5)]
    swept: list[str] = []
    tell = farm.system.directory.tell_worker

    def told(uuid: str, message: object) -> bool:
        if isinstance(message, Sweep):
            swept.append(uuid)
        return tell(uuid, message)  # type: ignore[arg-type]

    monkeypatch.setattr(farm.system.directory, "tell_worker", told)
    farm.advance(SWEEP_S)
    farm.advance(SWEEP_S)
    assert swept == [f"b{number}" for number in range(len(boards))] * 2
