"""Whose request it is, and what a role allows (CONTRACT: keys)."""

from __future__ import annotations

from boruta.domain.types import ReqInfo, UserInfo, WorkerState
from tests.conformance.lab import ANY, Lab, Party, refused


def test_all_see_all_requests_and_boards(lab: Lab, alice: Party) -> None:
    lab.register("board-1")
    req_id = alice.requests.new_request(ANY, 8, note="mine")
    bob = lab.user("bob")
    info = bob.requests.get_request_info(req_id)
    assert (info.owner.name, info.note) == ("alice", "mine")
    assert bob.requests.list_requests()[1].total == 1
    assert bob.workers.list_workers()[1].total == 1


def test_a_request_belongs_to_who_made_it(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8)
    alice.requests.acquire_worker(req_id, timeout=5)
    bob = lab.user("bob")
    for call in (
        lambda: bob.requests.acquire_worker(req_id),
        lambda: bob.requests.prolong_access(req_id),
        lambda: bob.requests.close_request(req_id),
        lambda: bob.requests.update_request(ReqInfo(req_id, priority=1)),
    ):
        with refused("not_permitted", "alice"):
            call()
    lab.admin.requests.close_request(req_id)


def test_two_clients_of_one_key_share_their_requests(lab: Lab, alice: Party) -> None:
    lab.board("board-1")
    req_id = alice.requests.new_request(ANY, 8)
    again = lab.user("alice")
    again.requests.acquire_worker(req_id, timeout=5)
    again.requests.close_request(req_id)


def test_a_user_cannot_say_that_he_is_another(lab: Lab, alice: Party) -> None:
    req_id = alice.requests.new_request(ANY, 8, UserInfo("bob"))
    assert alice.requests.get_request_info(req_id).owner.name == "alice"


def test_an_admin_may_ask_for_another(lab: Lab) -> None:
    req_id = lab.admin.requests.new_request(ANY, 8, UserInfo("alice"))
    alice = lab.user("alice")
    assert alice.requests.get_request_info(req_id).owner.name == "alice"
    alice.requests.close_request(req_id)


def test_groups_stay_within_those_of_the_key(lab: Lab) -> None:
    carol = lab.user("carol", groups=("lab", "night"))
    with refused("not_permitted", "day"):
        carol.requests.new_request(ANY, 8, UserInfo(groups=("lab", "day")))
    own = carol.requests.new_request(ANY, 8, UserInfo(groups=("lab",)))
    assert carol.requests.get_request_info(own).owner.groups == ("lab",)
    unsaid = carol.requests.new_request(ANY, 8)
    assert carol.requests.get_request_info(unsaid).owner.groups == ("lab", "night")


def test_boards_are_the_admins(lab: Lab, alice: Party) -> None:
    lab.register("board-1")
    for call in (
        lambda: alice.workers.set_state("board-1", WorkerState.IDLE),
        lambda: alice.workers.set_groups("board-1", ["lab"]),
        lambda: alice.workers.check("board-1"),
        lambda: alice.workers.deregister("board-1"),
    ):
        with refused("not_permitted", "admin"):
            call()
    assert alice.workers.get_worker_info("board-1").state is WorkerState.MAINTENANCE
