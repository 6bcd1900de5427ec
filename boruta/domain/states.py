"""Both state machines, one table each. A step that a table does not have is refused."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from boruta.domain.errors import ActionRefused, TransitionRefused
from boruta.domain.types import ReqState, WorkerState


class ReqEvent(enum.Enum):
    """What can happen to a request."""

    __hash__ = object.__hash__  # that of Enum is written in Python

    ASSIGNED = "assigned"
    CLOSED = "closed"
    DEADLINE_PASSED = "deadline passed"
    UNSERVABLE = "unservable"
    TIME_UP = "job time is up"
    WORKER_FAILED = "worker failed"
    BROKEN = "broken"


REQUEST_STEPS: Final[Mapping[tuple[ReqState, ReqEvent], ReqState]] = {
    (ReqState.WAIT, ReqEvent.ASSIGNED): ReqState.INPROGRESS,
    (ReqState.WAIT, ReqEvent.CLOSED): ReqState.CANCEL,
    (ReqState.WAIT, ReqEvent.DEADLINE_PASSED): ReqState.TIMEOUT,
    (ReqState.WAIT, ReqEvent.UNSERVABLE): ReqState.INVALID,
    (ReqState.WAIT, ReqEvent.BROKEN): ReqState.FAILED,
    (ReqState.INPROGRESS, ReqEvent.CLOSED): ReqState.DONE,
    (ReqState.INPROGRESS, ReqEvent.TIME_UP): ReqState.DONE,
    (ReqState.INPROGRESS, ReqEvent.WORKER_FAILED): ReqState.FAILED,
    (ReqState.INPROGRESS, ReqEvent.BROKEN): ReqState.FAILED,
}


class WorkerEvent(enum.Enum):
    """What can happen to a worker."""

    __hash__ = object.__hash__  # that of Enum is written in Python

    ENABLE = "enable"  # an admin sets IDLE
    TAKE_OUT = "take out"  # an admin sets MAINTENANCE, or caps changed
    PREPARED = "prepared"
    PREPARE_FAILED = "prepare failed for good"
    IN_MAINTENANCE = "in maintenance"
    MAINTENANCE_FAILED = "put_in_maintenance failed"
    CLAIMED = "claimed"
    RELEASED = "released"
    REPORTED = "reported as failed"
    LOST = "lost"
    UNHEALTHY = "unhealthy"
    RETURNED = "registered again"


_S, _E = WorkerState, WorkerEvent
WORKER_STEPS: Final[Mapping[tuple[WorkerState, WorkerEvent], WorkerState]] = {
    (_S.MAINTENANCE, _E.ENABLE): _S.PREPARE,
    (_S.PREPARE, _E.ENABLE): _S.PREPARE,
    (_S.MAINTENANCE, _E.TAKE_OUT): _S.BUSY,
    (_S.IDLE, _E.TAKE_OUT): _S.BUSY,
    (_S.RUN, _E.TAKE_OUT): _S.BUSY,
    (_S.FAIL, _E.TAKE_OUT): _S.BUSY,
    (_S.PREPARE, _E.TAKE_OUT): _S.BUSY,
    (_S.BUSY, _E.TAKE_OUT): _S.BUSY,
    (_S.PREPARE, _E.PREPARED): _S.IDLE,
    (_S.PREPARE, _E.PREPARE_FAILED): _S.FAIL,
    (_S.BUSY, _E.IN_MAINTENANCE): _S.MAINTENANCE,
    (_S.BUSY, _E.MAINTENANCE_FAILED): _S.FAIL,
    (_S.IDLE, _E.CLAIMED): _S.RUN,
    (_S.RUN, _E.RELEASED): _S.PREPARE,
    (_S.IDLE, _E.REPORTED): _S.FAIL,
    (_S.RUN, _E.REPORTED): _S.FAIL,
    (_S.PREPARE, _E.REPORTED): _S.FAIL,
    (_S.FAIL, _E.REPORTED): _S.FAIL,
    (_S.RUN, _E.LOST): _S.FAIL,
    (_S.RUN, _E.UNHEALTHY): _S.FAIL,
    (_S.PREPARE, _E.UNHEALTHY): _S.FAIL,
    (_S.IDLE, _E.UNHEALTHY): _S.FAIL,
    (_S.IDLE, _E.RETURNED): _S.PREPARE,  # its key did not survive
    (_S.RUN, _E.RETURNED): _S.PREPARE,  # its job did not survive
    (_S.FAIL, _E.RETURNED): _S.PREPARE,
    (_S.PREPARE, _E.RETURNED): _S.PREPARE,
}


def request_after(state: ReqState, event: ReqEvent) -> ReqState:
    """The state that `event` leads to.

    Raises:
        ActionRefused: the table has no such step. Nothing has changed.
    """
    try:
        return REQUEST_STEPS[state, event]
    except KeyError:
        raise ActionRefused(
            f"a request that is {state.value} cannot be {event.value}", state=state.value
        ) from None


def worker_after(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """The state that `event` leads to.

    Raises:
        TransitionRefused: the table has no such step. Nothing has changed.
    """
    try:
        return WORKER_STEPS[state, event]
    except KeyError:
        hint = ""
        if event is WorkerEvent.ENABLE and state is WorkerState.FAIL:
            hint = "; set MAINTENANCE first, then IDLE"
        raise TransitionRefused(
            f"a worker that is {state.value} does not take the step '{event.value}'{hint}",
            state=state.value,
        ) from None
