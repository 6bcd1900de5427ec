"""What a farm holds back: matching after a start, boards that failed, jobs that nobody holds."""

from __future__ import annotations

import pytest

from actors.messages import Release
from boruta.domain import defaults
from boruta.domain.types import ReqState, WorkerState
from boruta.store.memory import MemoryStore
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import LAB, SimFarm


def a_start_that_finds(*known: str) -> SimFarm:
    """A farm whose store knows these boards, none of which has come back yet."""
    store = MemoryStore()
    before = SimFarm(store=store)
    for uuid in known:
        before.board(uuid)
    before.end()
    return SimFarm(store=store)


def test_after_a_start_matching_waits_for_known_boards_for_two_seconds_at_most() -> None:
    farm = a_start_that_finds("known-1", "known-2")
    farm.board("new")
    req_id = farm.new()
    farm.advance(defaults.START_HOLD_S - 0.1)
    assert farm.state(req_id) is ReqState.WAIT
    farm.advance(0.2)
    assert farm.state(req_id) is ReqState.INPROGRESS


def test_after_a_start_matching_begins_when_all_known_boards_are_back() -> None:
    farm = a_start_that_finds("known-1", "known-2")
    farm.board("new")
    req_id = farm.new()
    farm.register(FakeDryad(farm.sim, {"UUID": "known-1"}))
    assert farm.state(req_id) is ReqState.WAIT
    farm.register(FakeDryad(farm.sim, {"UUID": "known-2"}))
    farm.new()  # whatever is told to the matcher
    assert farm.state(req_id) is ReqState.INPROGRESS


def fails_and_is_repaired(farm: SimFarm, uuid: str) -> None:
    """A board reports that it is broken; an admin puts it right at once."""
    farm.call(farm.front.superviser(LAB).set_fail(uuid, "smoke"))
    farm.sim.run_until_idle()
    for state in (WorkerState.MAINTENANCE, WorkerState.IDLE):
        farm.set_state(uuid, state)


@pytest.mark.parametrize("failed", ["a", "b"])
def test_of_two_boards_alike_the_one_that_failed_within_an_hour_is_lent_last(failed: str) -> None:
    farm = SimFarm()
    farm.board("a")
    farm.board("b")
    fails_and_is_repaired(farm, failed)
    farm.advance(defaults.RECENT_FAILURE_S - 60)
    assert farm.info(farm.new()).job is not None
    other = "b" if failed == "a" else "a"
    assert farm.worker(other).state is WorkerState.RUN
    assert farm.worker(failed).state is WorkerState.IDLE
    farm.new()
    assert farm.worker(failed).state is WorkerState.RUN


def test_a_board_whose_release_was_lost_is_taken_back_by_the_second_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = SimFarm()
    farm.board("b1")
    req_id = farm.new()
    directory = farm.system.directory
    tell, lost = directory.tell_worker, []

    def tell_but(uuid: str, message: object) -> bool:
        if isinstance(message, Release):
            lost.append(message)
            return True
        return tell(uuid, message)  # type: ignore[arg-type]

    monkeypatch.setattr(directory, "tell_worker", tell_but)
    farm.close(req_id)
    assert len(lost) == 1
    assert farm.worker("b1").state is WorkerState.RUN
    farm.advance(2 * defaults.SWEEP_S)
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.state(farm.new()) is ReqState.INPROGRESS
