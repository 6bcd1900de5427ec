"""However a job ends: its tunnel first, then its request, and the board only when it is swept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest

from actors.messages import Answered
from boruta.domain.commands import (
    Command,
    EndedJob,
    EndSession,
    KeptJob,
    Prepare,
    PrepareDone,
    PutInMaintenance,
)
from boruta.domain.defaults import END_SESSION_WITHIN_S
from boruta.domain.errors import SessionAlive, StaleEpoch, TimedOut
from boruta.domain.ports import Endpoint
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad, Manner, OnReply
from tests.actors.farm import ALICE, LAB, SimFarm

ENDINGS: Final = (Prepare, PutInMaintenance, EndSession)
Way = Callable[[SimFarm, "Watched", int], None]


class Watched(FakeDryad):
    """An agent that notes which tunnels led to it when it was told to end a session."""

    open_then: dict[Endpoint, str] | None = None
    farm: SimFarm

    def send(self, command: Command, within_s: float, on_reply: OnReply) -> None:
        if isinstance(command, ENDINGS):
            self.open_then = dict(self.farm.access.opened)
        super().send(command, within_s, on_reply)


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    made = SimFarm(request.param)
    yield made
    made.end()


def held(farm: SimFarm) -> tuple[Watched, int]:
    """A board, and the request that holds it."""
    dryad = Watched(farm.sim, {"UUID": "b1"})
    dryad.farm = farm
    farm.register(dryad)
    farm.set_state("b1", WorkerState.IDLE)
    req_id = farm.new(job_timeout=100.0)
    assert farm.state(req_id) is ReqState.INPROGRESS
    dryad.commands.clear()
    return dryad, req_id


def returns(farm: SimFarm, dryad: Watched, **said: object) -> None:
    """Its agent connects again and says this of itself."""
    farm.lose(dryad)
    dryad.reconnect()
    registration = replace(dryad.registration(), **said)  # type: ignore[arg-type]
    dryad.registered(farm.call(farm.front.superviser(LAB).register(registration, dryad)))
    farm.sim.run_until_idle()


def closed(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.close(req_id)


def time_is_up(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.advance(101)


def maintained(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.set_state("b1", WorkerState.MAINTENANCE)


def drained(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.set_state("b1", WorkerState.MAINTENANCE, drain=True)
    farm.close(req_id)


def reported(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.call(farm.front.superviser(LAB).set_fail("b1", "smoke"))
    farm.sim.run_until_idle()


def lost(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.lose(dryad)
    farm.advance(61)
    assert farm.access.opened == {}
    assert dryad.commands == []  # nobody is there to be told; it hears of it when it is back
    farm.come_back(dryad)


def recapped(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    returns(farm, dryad, caps=Capabilities(UUID="b1", ram="2"))


def ended_by_its_clock(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    returns(farm, dryad, ended=EndedJob(req_id, dryad.epoch.board, "time_up"))


def came_back_without(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    returns(farm, dryad, session=b"another process")


def key_removed(farm: SimFarm, dryad: Watched, req_id: int) -> None:
    farm.front.key_removed(ALICE.name)
    farm.sim.run_until_idle()


WAYS: Final[tuple[Way, ...]] = (
    closed,
    time_is_up,
    maintained,
    drained,
    reported,
    lost,
    recapped,
    ended_by_its_clock,
    came_back_without,
    key_removed,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("_", "-"))
def test_a_board_that_is_not_lent_any_more_is_told_to_end_the_session(
    farm: SimFarm, way: Way
) -> None:
    dryad, req_id = held(farm)
    before = farm.store.job(req_id)
    assert before is not None
    way(farm, dryad, req_id)
    told = [one for one in dryad.commands if isinstance(one, ENDINGS)]
    assert told
    assert all(one.epoch.board >= before.board_epoch for one in told)
    assert dryad.open_then == {}  # the tunnel was closed first
    assert farm.state(req_id).ended
    assert farm.access.reserved == set()
    after = farm.store.job(req_id)
    assert after is not None
    assert after.ended_at is not None
    assert after.key == ""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("_", "-"))
def test_a_session_that_does_not_die_keeps_its_board_from_others_but_ends_its_request(
    farm: SimFarm, way: Way
) -> None:
    dryad, req_id = held(farm)
    dryad.manner = Manner(fail=SessionAlive("process 4711 is left"))
    way(farm, dryad, req_id)
    other = farm.new()
    farm.advance(300)
    assert farm.state(req_id).ended
    assert farm.state(other) is ReqState.WAIT
    job = farm.store.job(req_id)
    assert job is not None
    assert job.ended_at is None  # until its agent has said that nothing is left


def test_the_end_of_a_session_is_ordered_again_until_the_agent_says_that_it_is_over(
    farm: SimFarm,
) -> None:
    dryad, req_id = held(farm)
    dryad.manners["end_session"] = Manner(fail=SessionAlive("process 4711 is left"))
    reported(farm, dryad, req_id)
    farm.advance(3 * END_SESSION_WITHIN_S + 1)
    assert len(dryad.sent(EndSession)) == 4
    del dryad.manners["end_session"]
    farm.advance(END_SESSION_WITHIN_S)
    job = farm.store.job(req_id)
    assert job is not None
    assert job.ended_at is not None
    farm.advance(10 * END_SESSION_WITHIN_S)
    assert len(dryad.sent(EndSession)) == 5


def test_an_agent_that_missed_the_end_hears_of_it_when_it_is_back(farm: SimFarm) -> None:
    dryad, req_id = held(farm)
    dryad.manners["end_session"] = Manner(silent=True)
    reported(farm, dryad, req_id)
    farm.lose(dryad)
    del dryad.manners["end_session"]
    before = len(dryad.sent(EndSession))
    farm.come_back(dryad)
    assert len(dryad.sent(EndSession)) == before + 1
    job = farm.store.job(req_id)
    assert job is not None
    assert job.ended_at is not None


def test_a_board_in_maintenance_whose_agent_speaks_of_a_job_is_swept(farm: SimFarm) -> None:
    dryad, req_id = held(farm)
    maintained(farm, dryad, req_id)
    before, epoch = len(dryad.sent(PutInMaintenance)), dryad.epoch.board
    returns(farm, dryad, job=KeptJob(req_id, epoch - 1, 50.0, 1))
    assert len(dryad.sent(PutInMaintenance)) == before + 1
    assert dryad.epoch.board == epoch + 1
    assert farm.worker("b1").state is WorkerState.MAINTENANCE


def test_an_answer_about_an_earlier_key_says_nothing_about_this_one(farm: SimFarm) -> None:
    dryad, req_id = held(farm)
    dryad.manners["prepare"] = Manner(delay_s=20.0)
    farm.close(req_id)
    before = farm.store.job(req_id)
    assert before is not None
    for late in (PrepareDone("somebody", ()), TimedOut("too late"), StaleEpoch("older")):
        farm.system.directory.tell_worker("b1", Answered(before.board_epoch, "prepare", late))
        farm.sim.run_until_idle()
    assert farm.worker("b1").state is WorkerState.PREPARE
    assert farm.worker("b1").reason == ""
    assert len(dryad.sent(Prepare)) == 1
    farm.advance(21)
    worker = farm.store.worker("b1")
    assert worker is not None
    assert (worker.state, worker.username) == (WorkerState.IDLE, dryad.username)
    assert worker.prepared_key.split()[-1] == dryad.key[-1]  # both halves of one pair
