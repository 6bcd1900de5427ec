"""A worker's actor that fails and is started anew owes what its predecessor owed."""

from __future__ import annotations

from boruta.domain.types import ReqState
from boruta.testing.dryad import Manner
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
