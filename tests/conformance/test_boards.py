"""What users see of boards and admins do to them (the original, chapter 6)."""

from __future__ import annotations

import pytest

from boruta.domain.commands import PutInMaintenance
from boruta.domain.types import Check, ReqState, WorkerState
from tests.conformance.lab import ANY, Lab, Party, refused

IDLE, MAINTENANCE, FAIL = WorkerState.IDLE, WorkerState.MAINTENANCE, WorkerState.FAIL


def state(lab: Lab, uuid: str) -> WorkerState:
    return lab.admin.workers.get_worker_info(uuid).state


def test_a_new_board_is_in_maintenance(lab: Lab, alice: Party) -> None:
    lab.register("board-1", arch="arm")
    info = alice.workers.get_worker_info("board-1")
    assert info.state is MAINTENANCE
    assert info.caps == {"UUID": "board-1", "arch": "arm"}
    assert (info.groups, info.request, info.online) == ((), None, True)
    assert info.since is not None
    assert info.last_seen is not None


def test_an_enabled_board_is_prepared_and_idle(lab: Lab) -> None:
    board = lab.register("board-1")
    lab.admin.workers.set_state("board-1", IDLE)
    lab.wait_worker("board-1", IDLE)
    assert board.key.startswith("ssh-ed25519 ")


def test_a_board_is_not_idle_before_its_agent_has_answered(lab: Lab, alice: Party) -> None:
    board = lab.register("board-1")
    board.manner.silent = True
    lab.admin.workers.set_state("board-1", IDLE)
    assert state(lab, "board-1") is WorkerState.PREPARE
    lab.admin.workers.set_state("board-1", IDLE)  # it is on the way already
    req_id = alice.requests.new_request(ANY, 8)
    assert alice.requests.get_request_info(req_id).state is ReqState.WAIT


def test_maintenance_tells_the_agent_why(lab: Lab) -> None:
    board = lab.board("board-1")
    lab.admin.workers.set_state("board-1", MAINTENANCE, reason="a new fan")
    lab.wait_worker("board-1", MAINTENANCE)
    (command,) = board.sent(PutInMaintenance)
    assert isinstance(command, PutInMaintenance)
    assert lab.admin.workers.get_worker_info("board-1").reason == "a new fan"
    lab.admin.workers.set_state("board-1", MAINTENANCE)
    lab.wait(lambda: len(board.sent(PutInMaintenance)) == 2, "it was told again")


@pytest.mark.parametrize("wanted", ["RUNNING", "FAILED", "PREPARE", "BUSY", "idle", ""])
def test_other_states_cannot_be_set_even_on_a_board_that_is_not_there(
    lab: Lab, wanted: str
) -> None:
    with refused("state_not_allowed"):
        lab.admin.workers.set_state("nobody", wanted)  # type: ignore[arg-type]


def test_idle_is_set_from_maintenance_alone(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    with refused("transition_refused", "IDLE"):
        lab.admin.workers.set_state("board-1", IDLE)
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    with refused("transition_refused", "RUNNING"):
        lab.admin.workers.set_state("board-1", IDLE)
    lab.report_failure("board-1", "broken")
    lab.wait_worker("board-1", FAIL)
    with refused("transition_refused", "FAILED"):
        lab.admin.workers.set_state("board-1", IDLE)


def test_a_failed_board_goes_through_maintenance(lab: Lab) -> None:
    lab.board("board-1")
    lab.report_failure("board-1", "broken")
    lab.wait_worker("board-1", FAIL)
    info = lab.admin.workers.get_worker_info("board-1")
    assert (info.reason_code, info.reason) == ("reported", "broken")
    lab.admin.workers.set_state("board-1", MAINTENANCE)
    lab.wait_worker("board-1", MAINTENANCE)
    lab.admin.workers.set_state("board-1", IDLE)
    lab.wait_worker("board-1", IDLE)


def test_groups_are_replaced_and_sorted(lab: Lab) -> None:
    lab.register("board-1")
    lab.admin.workers.set_groups("board-1", ["night", "lab"])
    assert lab.admin.workers.get_worker_info("board-1").groups == ("lab", "night")
    lab.admin.workers.set_groups("board-1", [])
    assert lab.admin.workers.get_worker_info("board-1").groups == ()


def test_groups_that_are_none_are_refused(lab: Lab) -> None:
    lab.register("board-1")
    with refused("bad_request"):
        lab.admin.workers.set_groups("board-1", [""])
    with refused("too_large"):
        lab.admin.workers.set_groups("board-1", ["g" * 129])


def test_new_groups_of_an_idle_board_are_looked_at_at_once(lab: Lab, alice: Party) -> None:
    from boruta.domain.types import UserInfo

    lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8, UserInfo(groups=("lab",)))
    lab.admin.workers.set_groups("board-1", ["lab"])
    alice.requests.acquire_worker(req_id, timeout=5)


def test_a_check_asks_the_agent(lab: Lab) -> None:
    board = lab.board("board-1")
    board.checks = (Check("stm", True), Check("card", False, "no card"))
    assert lab.admin.workers.check("board-1") == board.checks
    lab.cut("board-1")
    lab.wait(lambda: not lab.admin.workers.get_worker_info("board-1").online, "it is offline")
    with refused("unreachable"):
        lab.admin.workers.check("board-1")


def test_only_a_board_out_of_use_is_deregistered(lab: Lab) -> None:
    lab.board("board-1")
    with refused("worker_not_removable", "IDLE"):
        lab.admin.workers.deregister("board-1")
    lab.admin.workers.set_state("board-1", MAINTENANCE)
    lab.wait_worker("board-1", MAINTENANCE)
    lab.admin.workers.deregister("board-1")
    with refused("not_found"):
        lab.admin.workers.get_worker_info("board-1")
    assert lab.admin.workers.list_workers()[0] == []


def test_an_unknown_board_is_not_found(lab: Lab) -> None:
    workers = lab.admin.workers
    for call in (
        lambda: workers.get_worker_info("nobody"),
        lambda: workers.set_state("nobody", IDLE),
        lambda: workers.set_groups("nobody", ["lab"]),
        lambda: workers.check("nobody"),
        lambda: workers.deregister("nobody"),
    ):
        with refused("not_found", "nobody"):
            call()


def test_changed_caps_take_a_board_out(lab: Lab, alice: Party) -> None:
    board = lab.board("board-1", arch="arm")
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    board.caps = type(board.caps)({**board.caps, "hdmi": "1"})
    lab.register("board-1")
    lab.wait_request(req_id, ReqState.FAILED)
    lab.wait_worker("board-1", MAINTENANCE)
    assert lab.admin.workers.get_worker_info("board-1").caps["hdmi"] == "1"
