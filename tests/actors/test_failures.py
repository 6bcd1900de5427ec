"""An actor that fails is started anew from the store; the rest goes on, and nobody hangs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from actors.matcher import MatcherActor
from actors.messages import Describe, Prolong, RequestReady, Sweep, WorkerReach
from actors.request import RequestActor
from actors.worker import WorkerActor
from boruta.domain import request
from boruta.domain.commands import EndSession, Prepare
from boruta.domain.errors import Busy, SessionAlive, ShuttingDown
from boruta.domain.rows import Write
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.testing.access import FakeAccess
from boruta.testing.dryad import Manner
from tests.actors.farm import ALICE, LAB, SimFarm


@pytest.fixture(params=range(3))
def order(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def farm(order: int, caplog: pytest.LogCaptureFixture) -> Iterator[SimFarm]:
    """The same story in three orders of turns."""
    caplog.set_level(logging.CRITICAL)  # tracebacks of planted failures are no news
    made = SimFarm(order)
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


def test_a_request_given_up_while_it_waits_leaves_the_queue_to_others(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = farm.new(), farm.new()
    real = RequestActor.begin

    def begin(self: Any) -> None:
        if self.key == broken:
            raise RuntimeError("beyond repair")
        real(self)

    monkeypatch.setattr(RequestActor, "begin", begin)
    failing_once(monkeypatch, RequestActor, "_worker_reach", RuntimeError("planted"))
    farm.system.directory.requests[broken].tell(WorkerReach(1, False))
    farm.advance(1)
    assert farm.info(broken).reason_code == "internal"
    farm.board("b1")
    assert farm.state(other) is ReqState.INPROGRESS
    farm.close(other)
    assert farm.worker("b1").state is WorkerState.IDLE  # and nobody offers it what is over


def test_an_offer_of_what_is_over_is_not_repeated(farm: SimFarm) -> None:
    farm.board("b1")
    req_id = farm.new(caps={"not": "there"})
    row = farm.store.request(req_id)
    assert row is not None
    stale = row._replace(rev=9, caps=Capabilities())
    over = request.closed(row, farm.now, "alice")
    assert farm.store.commit((Write(over, row.rev),)) is None
    farm.system.directory.tell_matcher(RequestReady(stale))
    farm.sim.run_until_idle()  # comes to an end
    assert farm.worker("b1").state is WorkerState.IDLE
    assert farm.state(farm.new()) is ReqState.INPROGRESS


def test_a_matcher_that_fails_again_and_again_rests_and_the_lists_are_told_without_it(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.board("b1")
    starts = []
    real = MatcherActor._ready_again
    monkeypatch.setattr(MatcherActor, "begin", lambda self: starts.append(self))

    def broken(self: Any, row: Any) -> None:
        raise RuntimeError("beyond repair for now")

    monkeypatch.setattr(MatcherActor, "_ready_again", broken)
    req_id = farm.new()
    farm.advance(30)
    assert len(starts) == 3
    assert farm.system.matcher_rests
    assert farm.state(req_id) is ReqState.WAIT
    monkeypatch.setattr(MatcherActor, "_ready_again", real)
    farm.advance(61)
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert not farm.system.matcher_rests


def test_a_new_matcher_disturbs_no_board_that_is_being_prepared(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    dryad = farm.board("b1", enable=False)
    dryad.manners["prepare"] = Manner(delay_s=20.0)
    farm.set_state("b1", WorkerState.IDLE)
    failing_once(monkeypatch, MatcherActor, "_ready_again", RuntimeError("planted"))
    req_id = farm.new()
    farm.advance(21)
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert len(dryad.sent(Prepare)) == 1


def test_a_watcher_that_fails_stops_nobody_s_work(farm: SimFarm) -> None:
    def broken(change: Any) -> None:
        raise RuntimeError("not my day")

    farm.front.feed(ALICE).subscribe(broken)
    farm.board("b1")
    seen = len(farm.changes)
    req_id = farm.new()
    assert farm.state(req_id) is ReqState.INPROGRESS
    assert len(farm.changes) > seen


def test_a_session_that_outlived_its_board_s_actor_is_ended_by_the_next(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    dryad = farm.board("b1")
    farm.new()
    dryad.manners["end_session"] = Manner(fail=SessionAlive("a process is left"))
    farm.call(farm.front.superviser(LAB).set_fail("b1", "smoke"))
    farm.advance(1)
    dryad.manners.clear()
    before = len(dryad.sent(EndSession))
    failing_once(monkeypatch, WorkerActor, "_sweep", RuntimeError("planted"))
    farm.system.directory.tell_worker("b1", Sweep())
    farm.sim.run_until_idle()
    assert len(dryad.sent(EndSession)) == before + 1
    assert farm.store.live_job("b1") is None


@pytest.mark.parametrize("error", [Busy("no port"), OSError(24, "too many open files")])
def test_a_tunnel_that_cannot_be_opened_ends_the_request_and_not_the_board(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    farm.board("b1")

    def broken(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(FakeAccess, "open", broken)
    req_id = farm.new()
    farm.advance(1)
    assert farm.info(req_id).reason_code == "internal"
    assert farm.access.reserved == set()
    assert farm.worker("b1").state is WorkerState.IDLE
