"""Each message to an actor, one after another, makes it fail: before it was handled, or after.

And each commit of an actor makes it fail before it could tell anybody.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from actors.base import FarmActor
from actors.matcher import MatcherActor
from actors.request import RequestActor
from actors.worker import WorkerActor
from boruta.domain.commands import KeptJob
from boruta.domain.errors import BorutaError, InternalLogicError
from boruta.domain.types import ReqID, ReqInfo, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import ADMIN, ALICE, BOB, LAB, SimFarm

pytestmark = pytest.mark.timeout(60)
SOON_S: Final = 25.0  # two sweeps, and a board that is prepared anew
MOST: Final = 2  # so many messages of one kind are tried, one in each story
KINDS: Final = (RequestActor, WorkerActor, MatcherActor)


class Story:
    """What users, admins and agents do in an hour, and what must have become of it."""

    def __init__(self) -> None:
        self.farm = SimFarm()
        self.dryad = FakeDryad(self.farm.sim, {"UUID": "b1"})

    # --- calls that a failure may hit
    def again(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The answer; who is answered "internal" asks again, and what was done is refused then."""
        for number in range(3):
            try:
                found = self.farm.call(call(), 600.0)
                self.farm.sim.run_until_idle()
                return found
            except (InternalLogicError, RuntimeError):
                self.farm.advance(1)
            except BorutaError:
                if not number:
                    raise
                return None
        raise AssertionError("refused three times")

    def register(self) -> None:
        said = self.dryad.registration()
        held = self.farm.store.worker("b1")
        if held is not None and held.request_id is not None and self.dryad.lease is not None:
            lease = self.dryad.lease
            said = replace(said, job=KeptJob(lease.id, lease.epoch.board, 900.0, lease.end_rev))
        front = self.farm.front.superviser(LAB)
        self.dryad.registered(self.again(lambda: front.register(said, self.dryad)))

    def enable(self) -> None:
        boss = self.farm.front.workers(ADMIN)
        if self.farm.worker("b1").state is WorkerState.FAIL:
            self.again(lambda: boss.set_state("b1", WorkerState.MAINTENANCE))
            self.farm.until(lambda: self.farm.worker("b1").state is WorkerState.MAINTENANCE, SOON_S)
        if self.farm.worker("b1").state is WorkerState.MAINTENANCE:
            self.again(lambda: boss.set_state("b1", WorkerState.IDLE))
        self.farm.until(lambda: self.farm.worker("b1").state is WorkerState.IDLE, 100)

    def new(self, **more: Any) -> ReqID:
        by = more.pop("by", ALICE)
        caps, prio = more.pop("caps", {}), more.pop("prio", 8)
        front = self.farm.front.requests(by)
        token = f"t{len(self.farm.store.requests())}"
        found: ReqID = self.again(lambda: front.new_request(caps, prio, token=token, **more))
        return found

    def held(self, **more: Any) -> ReqID:
        req_id = self.new(**more)
        front = self.farm.front.requests(more.get("by", ALICE))
        access = self.again(lambda: front.acquire_worker(req_id, SOON_S))
        assert access.key
        assert self.farm.access.opened
        return req_id

    def ends(self, req_id: ReqID, state: ReqState, code: str, within_s: float = SOON_S) -> None:
        self.farm.until(lambda: self.farm.state(req_id).ended, within_s)
        info = self.farm.info(req_id)
        assert (info.state, info.reason_code) == (state, code)

    def answered(self, waits: Any) -> None:
        # One whose question its actor failed at has that for an answer.
        with contextlib.suppress(RuntimeError):
            assert waits.get(timeout=SOON_S).key

    # --- the hour
    def tell(self) -> None:
        farm, dryad = self.farm, self.dryad
        mine, boss = farm.front.requests(ALICE), farm.front.workers(ADMIN)
        self.register()
        self.enable()
        first = self.held(job_timeout=1000.0)
        second = self.new(prio=9)
        waits = farm.start_call(mine.acquire_worker(second))
        self.again(lambda: mine.update_request(ReqInfo(second, 3)))
        self.again(lambda: mine.prolong_access(first))
        self.agrees()
        farm.lose(dryad)
        farm.advance(5)
        dryad.reconnect()
        self.register()
        self.agrees()
        self.again(lambda: mine.close_request(first))
        self.answered(waits)
        self.agrees()
        self.bound_one_is_freed()
        self.again(lambda: boss.set_state("b1", WorkerState.MAINTENANCE, reason="an idea"))
        self.ends(second, ReqState.FAILED, "maintenance")
        farm.until(lambda: farm.worker("b1").state is WorkerState.MAINTENANCE, SOON_S)
        self.enable()
        short = self.held(job_timeout=60.0)
        self.ends(short, ReqState.DONE, "time_up", 61.0)
        self.agrees()
        self.late_one_times_out()
        self.lost_board_is_told()
        self.keys_are_removed()
        self.again(lambda: boss.set_groups("b1", ["lab"]))
        self.again(lambda: boss.deregister("b1"))
        assert farm.store.workers() == []

    def bound_one_is_freed(self) -> None:
        bound = self.new(by=BOB, bound=True)
        self.farm.front.session_lost(BOB)
        self.ends(bound, ReqState.CANCEL, "client_lost", 15 + SOON_S)
        self.farm.front.session_opened(BOB)

    def late_one_times_out(self) -> None:
        farm = self.farm
        late = self.new(caps={"x": "y"}, deadline=farm.now + timedelta(seconds=30))
        later = self.new(valid_after=farm.now + timedelta(seconds=20))
        assert self.again(lambda: farm.front.requests(ALICE).get_request_info(later)).queue
        self.ends(late, ReqState.TIMEOUT, "deadline", 31.0)
        farm.until(lambda: farm.state(later) is ReqState.INPROGRESS, SOON_S)
        self.again(lambda: farm.front.requests(ALICE).close_request(later))
        self.agrees()

    def lost_board_is_told(self) -> None:
        farm = self.farm
        lost = self.held()
        farm.lose(self.dryad)
        # One that fails over the end of the grace gives it anew.
        self.ends(lost, ReqState.FAILED, "board_lost", 120.0 + SOON_S)
        self.dryad.reconnect()
        self.register()
        self.enable()
        self.agrees()

    def keys_are_removed(self) -> None:
        last = self.held()
        self.farm.front.key_removed("alice")
        self.ends(last, ReqState.DONE, "closed")
        self.farm.front.key_removed("lab")
        self.farm.until(lambda: self.farm.worker("b1").state is WorkerState.FAIL, SOON_S)
        self.agrees()

    # --- what all of them know is the same, once the sweeps have gone round
    def agrees(self) -> None:
        farm = self.farm
        farm.advance(SOON_S)
        directory, store = farm.system.directory, farm.store
        live = {row.id for row in store.requests() if not row.state.ended}
        assert set(directory.requests) == live
        owners = (row.owner_name for row in store.requests() if row.id in live)
        assert directory.live == Counter(owners)
        for actor in _actors(farm):
            if isinstance(actor, RequestActor):
                assert actor._row == store.request(actor._id)
                assert actor._job == store.job(actor._id)
            elif isinstance(actor, WorkerActor):
                assert actor._row == store.worker(actor._uuid)
        jobs = [job for req_id in live if (job := store.job(req_id)) is not None]
        assert {(one.host, one.port) for one in farm.access.opened} == {
            (job.tunnel_host, job.tunnel_port) for job in jobs
        }
        assert farm.access.reserved == set(farm.access.opened)
        for job in jobs:
            assert self.dryad.lease is not None
            assert (self.dryad.lease.id, self.dryad.lease.end_rev) == (job.request_id, job.end_rev)
        assert directory.permits._held == set()


def _actors(farm: SimFarm) -> list[Any]:
    directory = farm.system.directory
    refs = [*directory.requests.values(), *directory.workers.values()]
    return [ref._actor_weakref() for ref in refs]


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[type[Any], type[Any]]]:
    """How many messages of each kind the story has."""
    seen: Counter[tuple[type[Any], type[Any]]] = Counter()
    for kind in KINDS:
        real = kind.on_message

        def counts(self: Any, message: Any, reply: Any, real: Any = real, kind: Any = kind) -> Any:
            seen[kind, type(message)] += 1
            return real(self, message, reply)

        monkeypatch.setattr(kind, "on_message", counts)
    Story().tell()
    monkeypatch.undo()
    return seen


def fails(
    monkeypatch: pytest.MonkeyPatch, kind: Any, taken: type[Any], number: int, after: bool
) -> None:
    """The actor fails at the `number`th message of this kind."""
    real, seen = kind.on_message, Counter[str]()

    def breaks(self: Any, message: Any, reply: Any) -> Any:
        if type(message) is not taken:
            return real(self, message, reply)
        seen["messages"] += 1
        if seen["messages"] != number:
            return real(self, message, reply)
        if after:
            real(self, message, reply)
        raise RuntimeError(f"planted {'after' if after else 'before'} {message}")

    monkeypatch.setattr(kind, "on_message", breaks)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_makes_its_actor_fail_is_made_good(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any, after: bool
) -> None:
    caplog.set_level(logging.CRITICAL)
    troubles = []
    for (owner, taken), times in counted(monkeypatch).items():
        for number in range(1, min(times, MOST) + 1) if owner is kind else ():
            fails(monkeypatch, kind, taken, number, after)
            try:
                Story().tell()
            except Exception as error:
                troubles.append(f"{taken.__name__} {number}: {error!r}"[:220])
            monkeypatch.undo()
    assert not troubles, "\n".join(troubles)


def test_a_change_that_was_committed_is_made_known_though_its_actor_failed_right_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    real, troubles, number, left = FarmActor.commit, [], 0, True
    while left:
        number, left, seen = number + 1, False, 0

        def breaks(self: Any, transaction: Any, then: Any, number: int = number) -> None:
            nonlocal left, seen
            seen += 1
            if seen != number:
                return real(self, transaction, then)
            left = True
            real(self, transaction, lambda _: None)
            raise RuntimeError("planted after a commit")

        monkeypatch.setattr(FarmActor, "commit", breaks)
        try:
            Story().tell()
        except Exception as error:
            troubles.append(f"commit {number}: {error!r}"[:200])
    assert number > 20
    assert not troubles, "\n".join(troubles)
