"""Calls that come twice, also while the first is under way."""

from __future__ import annotations

import pytest

from boruta.domain.errors import TokenConflict
from tests.actors.farm import ALICE, SimFarm


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
