"""Calls at the very moment at which a job's time is up: one of them wins, and all agree."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from actors.base import ActorGone
from actors.messages import Acquire, Prolong
from boruta.domain.errors import BorutaError, WorkerNotAssigned
from boruta.domain.types import ReqState
from tests.actors.farm import ALICE, SimFarm


@pytest.fixture(params=range(8))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in eight orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def prolong(farm: SimFarm, req_id: int) -> Coroutine[Any, Any, Any]:
    return farm.front.requests(ALICE).prolong_access(req_id)


def acquire(farm: SimFarm, req_id: int) -> Coroutine[Any, Any, Any]:
    return farm.front.requests(ALICE).acquire_worker(req_id)


def held(farm: SimFarm, seconds: float) -> int:
    farm.board("b1")
    req_id = farm.new(job_timeout=seconds)
    assert farm.state(req_id) is ReqState.INPROGRESS
    return req_id


@pytest.mark.parametrize("message", [Prolong(ALICE), Acquire(ALICE)])
def test_a_job_whose_time_is_up_is_neither_prolonged_nor_begun_anew(
    farm: SimFarm, message: Prolong | Acquire
) -> None:
    req_id = held(farm, 100.0)
    answer = farm.system.directory.requests[req_id].ask(message, block=False)
    farm.sim._now += 101.0  # the server's thread was held: call and timer are both there now
    farm.sim.run_until_idle()
    with pytest.raises((WorkerNotAssigned, ActorGone)):
        answer.get(timeout=0)
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.DONE, "time_up")
    assert farm.access.opened == {}


@pytest.mark.parametrize("seconds", [99.9995, 100.0, 100.0005])
def test_a_prolong_and_the_end_at_one_moment_agree(farm: SimFarm, seconds: float) -> None:
    req_id = held(farm, 100.0)
    farm.call(acquire(farm, req_id))
    outcome: list[object] = []

    async def tries() -> None:
        try:
            outcome.append(await prolong(farm, req_id))
        except BorutaError as error:
            outcome.append(error)

    farm.sim.call_later(seconds, lambda: farm.sim.spawn(tries()))
    farm.advance(110)
    assert len(outcome) == 1
    if isinstance(outcome[0], BorutaError):
        assert farm.info(req_id).reason_code == "time_up"
    else:
        assert farm.state(req_id) is ReqState.INPROGRESS
        job = farm.store.job(req_id)
        dryad = farm.dryads["b1"]
        assert job is not None
        assert dryad.lease is not None
        assert dryad.lease.end_rev == job.end_rev
        farm.advance(100)
        assert farm.info(req_id).reason_code == "time_up"
