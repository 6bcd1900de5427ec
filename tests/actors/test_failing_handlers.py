"""Whatever method of an actor fails, once, anywhere in a day's work: the farm works on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from actors.matcher import MatcherActor
from actors.request import RequestActor
from actors.request_shell import RequestShell
from actors.worker import WorkerActor
from actors.worker_shell import WorkerShell
from boruta.domain.commands import KeptJob
from boruta.domain.errors import BorutaError
from boruta.domain.types import ReqInfo, ReqState, WorkerState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import ADMIN, ALICE, SimFarm

pytestmark = pytest.mark.timeout(20)
WITHIN_S = 600.0  # then every call has its answer
# What stops an actor cannot fail halfway and be tried again: there is nothing left of it.
NOT_TRIED = {"__init__", "on_stop", "on_failure"}


def methods() -> list[tuple[type[Any], str]]:
    """Each method of each of our actors, by the class that has it."""
    return [
        (kind, name)
        for kind in (RequestActor, RequestShell, WorkerActor, WorkerShell, MatcherActor)
        for name, value in vars(kind).items()
        if callable(value) and name not in NOT_TRIED
    ]


class Day:
    """A day's work on a farm; what its calls are refused is borne, a hang is not."""

    def __init__(self, farm: SimFarm) -> None:
        self.farm = farm

    def does(self, call: Coroutine[Any, Any, Any]) -> Any:
        """The answer; None if it is an error."""
        with contextlib.suppress(BorutaError, RuntimeError):
            return self.farm.call(call, WITHIN_S)
        return None

    def work(self) -> None:
        """All that users, admins and agents do."""
        farm = self.farm
        mine, boss = farm.front.requests(ALICE), farm.front.workers(ADMIN)
        dryad = farm.dryads["b1"] = FakeDryad(farm.sim, {"UUID": "b1"})
        for _ in range(2):  # an agent that was not answered well comes again
            with contextlib.suppress(BorutaError, RuntimeError):
                farm.register(dryad)
            farm.advance(5)
        self.does(boss.set_state("b1", WorkerState.IDLE))
        farm.advance(30)
        held = self.does(mine.new_request({}, 8, job_timeout=1000.0, bound=True))
        waits = self.does(mine.new_request({}, 9))
        self.does(mine.acquire_worker(held, 5.0))
        self.does(mine.prolong_access(held))
        self.does(mine.update_request(ReqInfo(waits, 3)))
        self.does(mine.get_request_info(waits))
        self.does(mine.list_requests())
        farm.lose(dryad)
        farm.advance(20)
        self.does(boss.check("b1"))
        dryad.reconnect()
        job = farm.store.job(held) if held else None
        if job is not None:
            left = KeptJob(held, job.board_epoch, 900.0, job.end_rev)
            said = dryad.registration()
            said = replace(said, job=left)
            self.does(farm.front.superviser(ADMIN).register(said, dryad))
        farm.advance(20)
        self.does(boss.set_groups("b1", ["lab"]))
        dryad.manners["prepare"] = Manner(delay_s=5.0)
        self.does(mine.close_request(held))
        farm.advance(20)
        self.does(mine.acquire_worker(waits, 5.0))
        self.does(boss.set_state("b1", WorkerState.MAINTENANCE, reason="an idea"))
        farm.advance(20)
        self.does(boss.set_state("b1", WorkerState.IDLE))
        short = self.does(mine.new_request({}, 8, job_timeout=60.0))
        self.does(mine.acquire_worker(short, 5.0))
        farm.advance(120)

    def ends_well(self) -> None:
        """Nothing of it is left, and the next request has its board at once."""
        farm = self.farm
        farm.advance(120)
        for row in farm.store.requests():
            if not row.state.ended:
                self.does(farm.front.requests(ADMIN).close_request(row.id))
        dryad = farm.dryads["b1"]
        farm.lose(dryad)
        farm.come_back(dryad)
        farm.advance(120)
        if farm.worker("b1").state is not WorkerState.IDLE:
            if farm.worker("b1").state is WorkerState.FAIL:
                self.does(farm.front.workers(ADMIN).set_state("b1", WorkerState.MAINTENANCE))
                farm.advance(30)
            farm.set_state("b1", WorkerState.IDLE)
            farm.advance(30)
        req_id = farm.new()
        farm.advance(10)
        assert farm.state(req_id) is ReqState.INPROGRESS
        farm.close(req_id)
        farm.advance(30)
        directory = farm.system.directory
        assert (directory.requests, directory.waiting_acquires) == ({}, {})
        assert len(farm.access.reserved) == 0
        assert all(job.ended_at for row in farm.store.requests() if (job := farm.store.job(row.id)))


@pytest.mark.parametrize(
    ("kind", "name"), methods(), ids=[f"{kind.__name__}.{name}" for kind, name in methods()]
)
def test_a_method_that_fails_once_costs_at_most_a_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[Any], name: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    real = getattr(kind, name)
    failed: list[str] = []

    def fails(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not failed:
            failed.append(name)
            raise RuntimeError(f"planted in {name}")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, fails)
    day = Day(SimFarm())
    day.work()
    day.ends_well()
