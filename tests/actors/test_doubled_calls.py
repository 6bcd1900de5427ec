"""Calls that come twice, also while the first is under way."""

from __future__ import annotations

import pytest

from boruta.domain import defaults
from boruta.domain.errors import ProlongLimit, TokenConflict
from boruta.domain.types import Caller, ReqState, Role
from tests.actors.farm import ADMIN, ALICE, SimFarm

ANEW = Caller("alice", Role.USER, session=b"n" * 16)  # the same user, another process


def test_a_call_that_comes_again_while_the_first_is_judged_makes_no_second_request() -> None:
    farm = SimFarm()
    farm.board("b1")
    mine = farm.front.requests(ALICE)
    calls = [
        farm.sim.spawn(mine.new_request({}, 8, token="t", unservable="refuse")) for _ in range(3)
    ]
    farm.sim.run_until_idle()
    assert {call.get(timeout=1) for call in calls} == {1}
    assert [row.id for row in farm.store.requests()] == [1]


def test_another_body_with_the_token_of_a_call_under_way_is_a_conflict() -> None:
    farm = SimFarm()
    farm.board("b1")
    mine = farm.front.requests(ALICE)
    first = farm.sim.spawn(mine.new_request({}, 8, token="t", unservable="refuse"))
    second = farm.sim.spawn(mine.new_request({}, 9, token="t", unservable="refuse"))
    farm.sim.run_until_idle()
    assert first.get(timeout=1) == 1
    with pytest.raises(TokenConflict):
        second.get(timeout=1)


def test_each_token_of_a_job_prolongs_once_and_is_answered_as_the_first_time() -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new()
    api = farm.front.requests(ALICE)
    first = {}
    for token in ("t1", "t2", "t3"):
        farm.advance(5)
        first[token] = farm.call(api.prolong_access(req_id, token=token))
    assert [one.prolongs_left for one in first.values()] == [9, 8, 7]
    for token in ("t2", "t1", "t3"):
        farm.advance(5)
        assert farm.call(api.prolong_access(req_id, token=token)) == first[token]
    assert farm.info(req_id).prolongs_left == 7


def test_a_token_is_one_key_s_own() -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new()
    farm.call(farm.front.requests(ALICE).prolong_access(req_id, token="t"))
    again = farm.call(farm.front.requests(ADMIN).prolong_access(req_id, token="t"))
    assert again.prolongs_left == 8


def test_a_token_that_had_its_effect_is_answered_though_no_prolong_is_left() -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new(job_timeout=60)
    api = farm.front.requests(ALICE)
    first = farm.call(api.prolong_access(req_id, token="t"))
    for _ in range(defaults.PROLONGS - 1):
        farm.call(api.prolong_access(req_id))
    assert farm.call(api.prolong_access(req_id, token="t")) == first
    with pytest.raises(ProlongLimit):
        farm.call(api.prolong_access(req_id, token="u"))


@pytest.mark.parametrize("runs", [False, True])
def test_a_bound_request_asked_for_again_from_a_new_session_goes_over_to_it(runs: bool) -> None:
    farm = SimFarm()
    if runs:
        farm.board("b1")
    bound = farm.new(bound=True, token="t")
    farm.front.session_opened(ANEW)
    assert farm.new(by=ANEW, bound=True, token="t") == bound
    farm.front.session_lost(ALICE)
    farm.advance(defaults.CLIENT_LEASE_S + 1)
    assert not farm.state(bound).ended
    # Also in the store, so that a server that is started again knows whose it is.
    row = farm.store.request(bound)
    assert row is not None
    assert row.session == ANEW.session
    after = SimFarm(store=farm.store)
    after.front.session_opened(ANEW)
    after.advance(defaults.START_CLIENT_LEASE_S + 1)
    assert not after.state(bound).ended


def test_a_request_that_moved_to_a_new_session_is_still_served() -> None:
    farm = SimFarm()
    bound = farm.new(bound=True, token="t")
    farm.front.session_opened(ANEW)
    farm.new(by=ANEW, bound=True, token="t")
    farm.board("b1")
    assert farm.state(bound) is ReqState.INPROGRESS


def test_a_bound_request_whose_session_ended_before_it_was_made_ends_too() -> None:
    farm = SimFarm()
    bound = farm.new(by=ANEW, bound=True)  # no connection says hello with this session any more
    farm.advance(defaults.CLIENT_LEASE_S - 1)
    assert farm.state(bound) is ReqState.WAIT
    farm.advance(2)
    assert farm.info(bound).reason_code == "client_lost"


def test_a_bound_request_of_the_host_itself_has_no_session_to_end_with() -> None:
    farm = SimFarm()
    bound = farm.new(by=Caller("local", Role.ADMIN), bound=True)
    farm.advance(1000)
    assert farm.state(bound) is ReqState.WAIT
