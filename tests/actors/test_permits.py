"""Many boards at once are prepared in turn: those that somebody waits for first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boruta.domain.commands import Prepare
from boruta.domain.types import ReqState, WorkerState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import ADMIN, LAB, SimFarm

SLOW = 20.0


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """Two boards at a time, in three orders of turns."""
    made = SimFarm(request.param)
    made.system.directory.permits._most = 2
    yield made
    made.end()


def boards(farm: SimFarm, *kinds: str) -> list[FakeDryad]:
    """A slow board of each kind, all of them to be enabled."""
    made = []
    for number, kind in enumerate(kinds):
        dryad = farm.board(f"b{number}", enable=False, kind=kind)
        dryad.manners["prepare"] = Manner(delay_s=SLOW)
        made.append(dryad)
    for dryad in made:
        farm.set_state(dryad.uuid, WorkerState.IDLE)
    return made


def begun(dryads: list[FakeDryad]) -> list[str]:
    return [dryad.uuid for dryad in dryads if dryad.sent(Prepare)]


def test_so_many_are_prepared_at_once_and_the_others_in_their_turn(farm: SimFarm) -> None:
    dryads = boards(farm, *"aaaaa")
    assert begun(dryads) == ["b0", "b1"]
    farm.advance(SLOW + 1)
    assert begun(dryads) == ["b0", "b1", "b2", "b3"]
    farm.advance(2 * SLOW + 1)
    assert all(farm.worker(dryad.uuid).state is WorkerState.IDLE for dryad in dryads)


def test_what_somebody_waits_for_is_prepared_first(farm: SimFarm) -> None:
    dryads = boards(farm, *"aaaaab")
    rare = farm.new({"kind": "b"}, prio=9)
    farm.new({"kind": "nowhere"}, prio=1)  # nobody fits this one: it prefers nobody
    farm.advance(SLOW + 1)
    assert "b5" in begun(dryads)
    farm.advance(SLOW + 1)
    assert farm.state(rare) is ReqState.INPROGRESS


def test_a_board_that_is_named_is_prepared_first_and_one_that_is_refused_is_not(
    farm: SimFarm,
) -> None:
    dryads = boards(farm, *"aaaaaa")
    farm.new({"UUID": "b5"}, prio=1)
    for _ in range(2):  # the first board that is ready is lent to one of them at once
        farm.new({"UUID": "!=b2"}, prio=2)
    farm.advance(SLOW + 1)
    assert begun(dryads) == ["b0", "b1", "b3", "b5"]


@pytest.mark.parametrize("how", ["cut", "reported", "enabled-again", "forgotten"])
def test_a_board_that_is_not_prepared_any_more_gives_way(farm: SimFarm, how: str) -> None:
    dryads = boards(farm, *"aaaa")
    first = dryads[0]
    if how == "cut":
        farm.lose(first)
    elif how == "enabled-again":
        farm.set_state("b0", WorkerState.MAINTENANCE)
        farm.set_state("b0", WorkerState.IDLE)  # its turn is not over, nor has it two
        farm.advance(SLOW - 1)
        assert begun(dryads) == ["b0", "b1"]
    else:
        farm.call(farm.front.superviser(LAB).set_fail("b0", "smoke"))
        if how == "forgotten":
            farm.call(farm.front.workers(ADMIN).deregister("b0"))
    farm.advance(3 * SLOW + 3)
    assert begun(dryads) == ["b0", "b1", "b2", "b3"]
    assert farm.system.directory.permits._held == set()


def test_the_answer_to_an_older_order_does_not_end_the_turn_of_a_newer_one(farm: SimFarm) -> None:
    dryads = boards(farm, *"aaa")
    farm.advance(SLOW / 2)
    farm.set_state("b0", WorkerState.MAINTENANCE)
    farm.set_state("b0", WorkerState.IDLE)
    dryads[1].manners["prepare"] = Manner(silent=True)
    farm.advance(SLOW / 2 + 1)  # b0 has answered its first order, b1 its only one
    assert farm.worker("b0").state is WorkerState.PREPARE
    assert farm.system.directory.permits._held == {"b0", "b2"}
