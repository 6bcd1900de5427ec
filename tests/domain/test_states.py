"""Both tables of states."""

from __future__ import annotations

import pytest

from boruta.domain.errors import ActionRefused, TransitionRefused
from boruta.domain.states import (
    REQUEST_STEPS,
    WORKER_STEPS,
    ReqEvent,
    WorkerEvent,
    request_after,
    worker_after,
)
from boruta.domain.types import ReqState, WorkerState


@pytest.mark.parametrize("state", [state for state in ReqState if state.ended])
@pytest.mark.parametrize("event", list(ReqEvent))
def test_no_event_leads_out_of_an_ended_request(state: ReqState, event: ReqEvent) -> None:
    with pytest.raises(ActionRefused, match=state.value):
        request_after(state, event)


@pytest.mark.parametrize("state", list(ReqState))
@pytest.mark.parametrize("event", list(ReqEvent))
def test_a_request_takes_a_step_of_its_table_or_refuses(state: ReqState, event: ReqEvent) -> None:
    if (state, event) in REQUEST_STEPS:
        assert request_after(state, event) is REQUEST_STEPS[state, event]
    else:
        with pytest.raises(ActionRefused):
            request_after(state, event)


@pytest.mark.parametrize("state", list(WorkerState))
@pytest.mark.parametrize("event", list(WorkerEvent))
def test_a_worker_takes_a_step_of_its_table_or_refuses(
    state: WorkerState, event: WorkerEvent
) -> None:
    if (state, event) in WORKER_STEPS:
        assert worker_after(state, event) is WORKER_STEPS[state, event]
    else:
        with pytest.raises(TransitionRefused):
            worker_after(state, event)


def test_a_board_that_was_lent_never_goes_straight_to_idle() -> None:
    assert WorkerState.IDLE not in {
        after for (state, _), after in WORKER_STEPS.items() if state is WorkerState.RUN
    }


def test_only_a_prepared_board_becomes_idle() -> None:
    ways = {key for key, after in WORKER_STEPS.items() if after is WorkerState.IDLE}
    assert ways == {(WorkerState.PREPARE, WorkerEvent.PREPARED)}


def test_every_state_of_a_request_is_reached() -> None:
    assert set(REQUEST_STEPS.values()) | {ReqState.WAIT} == set(ReqState)


def test_every_state_of_a_worker_is_reached_from_maintenance() -> None:
    reached = {WorkerState.MAINTENANCE}
    while True:
        more = {after for (state, _), after in WORKER_STEPS.items() if state in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(WorkerState)


def test_enabling_a_failed_board_says_what_to_do_first() -> None:
    with pytest.raises(TransitionRefused, match="MAINTENANCE first"):
        worker_after(WorkerState.FAIL, WorkerEvent.ENABLE)
