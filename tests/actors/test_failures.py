"""An actor that fails is started anew from the store; the rest goes on, and nobody hangs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.matcher import MatcherActor
from actors.messages import Describe, Prolong, WorkerReach
from actors.request import RequestActor
from actors.worker import WorkerActor
from boruta.domain.errors import ShuttingDown
from boruta.domain.types import ReqState, WorkerState
from tests.actors.farm import ALICE, SimFarm


@pytest.fixture(params=range(3))
def farm(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    caplog.set_level(logging.CRITICAL)  # tracebacks of planted failures are no news
    made = SimFarm(request.param)
    yield made
    made.end()


def failing_once(monkeypatch: pytest.MonkeyPatch, kind: type[Any], method: str, error: Any) -> None:
    """The next call of the method raises; later ones work."""
    real = getattr(kind, method)

    def fails(self: Any, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(kind, method, real)
        raise error

    monkeypatch.setattr(kind, method, fails)


@pytest.mark.parametrize("error", [RuntimeError("planted"), SystemExit(3), KeyboardInterrupt()])
def test_a_request_that_fails_while_it_is_assigned_still_gets_its_board(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    req_id = farm.new()
    waiting = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    failing_once(monkeypatch, RequestActor, "_assigned", error)
    farm.board("b1")
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert waiting.get(timeout=1).username == "boruta-user"
    farm.close(req_id)
    assert farm.worker("b1").state is WorkerState.IDLE


def test_a_question_that_breaks_its_actor_is_answered_and_the_actor_is_new(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.board("b1")
    req_id = farm.new()
    before = farm.system.directory.requests[req_id]
    failing_once(monkeypatch, RequestActor, "_prolong", RuntimeError("planted"))
    asked = before.ask(Prolong(), block=False)
    farm.sim.run_until_idle()
    with pytest.raises(RuntimeError, match="planted"):
        asked.get(timeout=0)
    after = farm.system.directory.requests[req_id]
    assert after is not before
    assert not before.is_alive()
    assert after.ask(Describe(), timeout=1).state is ReqState.INPROGRESS


def test_a_request_that_fails_again_and_again_ends_as_failed_with_the_reason(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.board("b1")
    req_id = farm.new()

    def broken(self: Any, *args: Any) -> None:
        raise RuntimeError("beyond repair")

    monkeypatch.setattr(RequestActor, "_worker_reach", broken)
    monkeypatch.setattr(RequestActor, "begin", broken)
    farm.system.directory.requests[req_id].tell(WorkerReach(1, False))
    farm.advance(30)
    info = farm.info(req_id)
    assert (info.state, info.reason_code) == (ReqState.FAILED, "internal")
    assert farm.worker("b1").state is WorkerState.IDLE


def test_a_worker_that_fails_while_it_is_prepared_is_prepared_by_its_successor(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, WorkerActor, "_prepare_answered", RuntimeError("planted"))
    farm.board("b1")
    farm.advance(1)
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.state(farm.new()) is ReqState.INPROGRESS


def test_a_worker_that_fails_while_it_is_held_keeps_its_job(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.board("b1")
    req_id = farm.new()
    failing_once(monkeypatch, WorkerActor, "_sweep", RuntimeError("planted"))
    farm.advance(11)
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert farm.access.opened
    farm.close(req_id)
    assert farm.access.opened == {}
    assert farm.worker("b1").state is WorkerState.IDLE


@pytest.mark.parametrize("method", ["_match", "_ready_again", "_put_back"])
def test_a_matcher_that_fails_is_filled_anew(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    farm.board("b1")
    first, urgent, second = farm.new(), farm.new(prio=1), farm.new()
    failing_once(monkeypatch, MatcherActor, method, RuntimeError("planted"))
    late = farm.new(prio=2)
    farm.advance(11)
    for expected in (urgent, late, second):
        farm.close(first)
        assert farm.worker("b1").request == expected
        first = expected


def test_a_failure_of_one_request_does_not_touch_another(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.board("b1")
    held, waiting = farm.new(), farm.new()
    other = farm.system.directory.requests[waiting]
    failing_once(monkeypatch, RequestActor, "_prolong", SystemExit())
    farm.system.directory.requests[held].tell(Prolong())
    farm.sim.run_until_idle()
    assert farm.system.directory.requests[waiting] is other
    assert other.is_alive()


def test_a_host_s_own_actors_live_on_when_ours_fail(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Host(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return message

    host = Host.start()
    try:
        failing_once(monkeypatch, RequestActor, "_prolong", SystemExit())
        req_id = farm.new()
        farm.system.directory.requests[req_id].tell(Prolong())
        farm.sim.run_until_idle()
        assert host.ask("still here", timeout=5) == "still here"
    finally:
        host.stop()


def test_a_refused_message_that_was_told_stops_nothing(farm: SimFarm) -> None:
    req_id = farm.new()
    ref = farm.system.directory.requests[req_id]
    ref.tell(Prolong())  # it waits: refused, and nobody hears it
    farm.sim.run_until_idle()
    assert ref.is_alive()
    assert farm.state(req_id) is ReqState.WAIT


def test_whoever_waits_when_the_system_stops_is_told(farm: SimFarm) -> None:
    req_id = farm.new()
    waiting = farm.start_call(farm.front.requests(ALICE).acquire_worker(req_id))
    farm.system.stop()
    with pytest.raises(ShuttingDown):
        waiting.get(timeout=1)
