"""What goes on after a start: of an actor that had failed, and of the whole server."""

from __future__ import annotations

from boruta.domain import defaults
from boruta.domain.types import ReqState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import SimFarm


def test_a_board_whose_actor_failed_while_it_was_taken_back_is_lent_again() -> None:
    farm = SimFarm()
    dryad = farm.board("b1")
    first = farm.new()
    dryad.manners["prepare"] = Manner(delay_s=5)
    farm.close(first)
    farm.system.directory.workers["b1"].tell("what no worker understands")
    farm.advance(20)
    job = farm.store.job(first)
    assert job is not None
    assert job.ended_at is not None
    assert farm.state(farm.new()) is ReqState.INPROGRESS
    farm.end()


def test_boards_that_come_back_to_a_server_that_was_away_are_lent_at_once() -> None:
    old = SimFarm()
    old.board("b1")
    farm = SimFarm(store=old.store)
    waiting = farm.new()
    dryad = FakeDryad(farm.sim, {"UUID": "b1"})
    farm.register(dryad)
    farm.advance(1)
    assert farm.state(waiting) is ReqState.INPROGRESS
    farm.close(waiting)
    farm.lose(dryad)
    later = farm.new()
    farm.come_back(dryad)
    farm.advance(defaults.SETTLED_AFTER_S - 1)
    assert farm.state(later) is ReqState.WAIT  # this one was lost, the server was there
    farm.advance(2)
    assert farm.state(later) is ReqState.INPROGRESS
