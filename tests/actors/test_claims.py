"""Claims that come too late, twice or at one time: each board goes to one request, or to none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.messages import Assign
from boruta.domain.rows import RequestRow
from boruta.domain.types import ReqInfo, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import ALICE, SimFarm


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def row(farm: SimFarm, req_id: int) -> RequestRow:
    """What the store has of a request."""
    found = farm.store.request(req_id)
    assert found is not None
    return found


def two_that_wait_and_a_board(farm: SimFarm) -> tuple[int, int, FakeDryad]:
    """Two requests for a board that the matcher does not lend by itself, since they say so."""
    dryad = farm.board("b1")
    return farm.new({"never": "there"}), farm.new({"never": "there"}), dryad


def claim(farm: SimFarm, *rows: RequestRow) -> None:
    """The board is offered these, as the matcher would do it, before it has a turn."""
    for one in rows:
        farm.system.directory.tell_worker("b1", Assign(one))
    farm.sim.run_until_idle()


def key_of_the_board(farm: SimFarm) -> str:
    worker = farm.store.worker("b1")
    assert worker is not None
    return worker.prepared_key


def test_of_two_claims_at_one_time_one_is_granted_and_the_other_waits_on(farm: SimFarm) -> None:
    first, second, dryad = two_that_wait_and_a_board(farm)
    claim(farm, row(farm, first), row(farm, second))
    assert (farm.state(first), farm.state(second)) == (ReqState.INPROGRESS, ReqState.WAIT)
    assert len(farm.access.reserved) == 1
    assert dryad.lease is not None
    assert dryad.lease.id == first


def test_the_same_claim_twice_is_granted_once(farm: SimFarm) -> None:
    first, _, _ = two_that_wait_and_a_board(farm)
    claim(farm, row(farm, first), row(farm, first))
    assert farm.state(first) is ReqState.INPROGRESS
    assert len(farm.access.reserved) == 1
    farm.close(first)
    assert farm.access.reserved == set()


def test_one_request_gets_one_of_two_boards_that_claim_it_at_one_time(farm: SimFarm) -> None:
    first, _, _ = two_that_wait_and_a_board(farm)
    farm.board("b2")
    wanted = row(farm, first)
    for uuid in ("b1", "b2"):
        farm.system.directory.tell_worker(uuid, Assign(wanted))
    farm.sim.run_until_idle()
    states = [farm.worker(uuid).state for uuid in ("b1", "b2")]
    assert sorted(states) == sorted([WorkerState.RUN, WorkerState.IDLE])
    assert len(farm.access.reserved) == len(farm.access.opened) == 1
    other = farm.new()
    farm.advance(2)
    assert farm.state(other) is ReqState.INPROGRESS  # the board that was refused is lent at once


@pytest.mark.parametrize("what", ["updated", "closed"])
def test_a_claim_made_from_an_old_view_opens_nothing_and_leaves_the_board_as_it_was(
    farm: SimFarm, what: str
) -> None:
    first, _, dryad = two_that_wait_and_a_board(farm)
    old, key, told = row(farm, first), key_of_the_board(farm), len(dryad.commands)
    if what == "updated":
        farm.call(farm.front.requests(ALICE).update_request(ReqInfo(first, 3)))
    else:
        farm.close(first)
    now = row(farm, first)
    claim(farm, old)
    assert row(farm, first) == now
    assert farm.worker("b1").state is WorkerState.IDLE
    assert key_of_the_board(farm) == key
    assert farm.access.reserved == set()
    assert farm.access.opened == {}
    assert len(dryad.commands) == told
    other = farm.new()
    farm.advance(2)
    assert farm.state(other) is ReqState.INPROGRESS


def test_a_board_that_goes_while_a_claim_is_under_way_is_not_lent(farm: SimFarm) -> None:
    first, _, dryad = two_that_wait_and_a_board(farm)
    dryad.cut("lost")
    farm.front.worker_lost("b1", dryad)
    claim(farm, row(farm, first))
    assert farm.state(first) is ReqState.WAIT
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.access.reserved == set()


def test_a_request_that_was_refused_keeps_its_place(farm: SimFarm) -> None:
    dryad = farm.board("b1")
    holder = farm.new()
    waits = [farm.new() for _ in range(3)]
    farm.close(holder)
    farm.lose(dryad)  # whatever was under way to it is refused
    farm.come_back(dryad)
    for req_id in waits:
        farm.advance(10)
        assert farm.state(req_id) is ReqState.INPROGRESS
        farm.close(req_id)
