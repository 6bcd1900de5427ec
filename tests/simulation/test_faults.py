"""Each fault really strikes, is counted, and changes what happens; a farm without faults serves."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from boruta.domain.types import ReqState, WorkerState
from boruta.testing import Faults, Load, Simulation, Visit
from boruta.testing.simulation.farm import Summary

LOAD = Load(busy=0.9, hold_s=400.0)
CHANCES = {name for name in Faults.usual(1e6).__slots__ if getattr(Faults.usual(1e6), name) == 1.0}
CHANCES |= {"turn_late"}


def run(faults: Faults) -> Summary:
    with Simulation(6, workers=3, faults=faults, load=LOAD) as farm:
        farm.run(hours=1)
        farm.settle()
        return farm.summary()


@pytest.fixture(scope="module")
def calm() -> str:
    return run(Faults()).digest


@pytest.mark.parametrize("name", [one.name for one in fields(Faults)])
def test_a_fault_strikes_alone_and_is_counted(name: str, calm: str) -> None:
    found = run(replace(Faults(), **{name: 0.15 if name in CHANCES else 80.0}))
    assert set(found.faults) == {name}
    assert found.faults[name] > 0
    assert found.digest != calm


def test_the_usual_faults_are_all_but_the_one_that_blurs_the_order() -> None:
    usual = Faults.usual()
    assert [one.name for one in fields(Faults) if not getattr(usual, one.name)] == ["turn_late"]
    assert Faults.parse("2") == Faults.usual(2.0)
    assert Faults.parse("cut=3, lost=0.5") == Faults(cut=3.0, lost=0.5)
    assert Faults.parse("0").lost == 0.0
    with pytest.raises(ValueError, match="no fault; there are admin_groups"):
        Faults.parse("earthquake=1")


def test_without_faults_nobody_is_lost_and_no_board_fails() -> None:
    found = run(Faults())
    assert found.jobs > 10
    assert found.lives == 1
    assert set(found.ended) <= {"closed", "time_up", "cancelled", "deadline"}
    assert found.logins > found.jobs


def test_a_scenario_is_told_with_public_names() -> None:
    with Simulation(1, workers=1, load=Load(busy=0)) as farm:
        first, second = farm.visit(Visit(hold_s=300)), Visit(hold_s=300)
        farm.at(60, lambda: farm.visit(second))
        farm.run(120)
        assert farm.state_of(first) is ReqState.INPROGRESS
        assert farm.state_of(second) is ReqState.WAIT
        farm.run(300)
        assert farm.state_of(first) is ReqState.DONE
        assert farm.state_of(second) is ReqState.INPROGRESS
        assert farm.board_state("board-000") is WorkerState.RUN
        farm.boards["board-000"].cut()
        farm.run(hours=0.5)
        assert farm.state_of(second) is ReqState.FAILED
        farm.boards["board-000"].mend()
        farm.settle()
        assert farm.board_state("board-000") is WorkerState.IDLE
