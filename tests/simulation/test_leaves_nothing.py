"""Runs do not pile up in the process that they run in, and leave it nothing to do."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

import pykka
import pytest

from boruta.testing.simulation.sweep import HOUR_S, Plan, run_one
from boruta.testing.simulation.world import World

PLAN = Plan(4, HOUR_S / 4, "server_killed=100,client_killed=1,board_faulty=1,cut=60")


def test_runs_that_are_over_are_garbage_and_no_actor_of_theirs_is_found() -> None:
    before = pykka.ActorRegistry.get_all()
    run_one(5, PLAN)
    worlds = _worlds()  # the last one may be at hand until the next begins
    for seed in (6, 7):
        run_one(seed, PLAN)
    assert pykka.ActorRegistry.get_all() == before
    assert _worlds() <= worlds


def test_nothing_of_a_run_unwinds_after_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unwound: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unwound.append)
    gc.collect()
    unwound.clear()
    run_one(5, PLAN)
    logging.disable(logging.NOTSET)
    assert not [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
    gc.collect()
    assert unwound == []
    assert caplog.records == []


def _worlds() -> int:
    gc.collect()
    return sum(isinstance(one, World) for one in gc.get_objects())
