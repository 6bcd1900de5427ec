"""Runs do not pile up in the process that they run in."""

from __future__ import annotations

import gc

import pykka

from boruta.testing.simulation.sweep import HOUR_S, Plan, run_one
from boruta.testing.simulation.world import World

PLAN = Plan(4, HOUR_S / 4, "server_killed=100")


def test_runs_that_are_over_are_garbage_and_no_actor_of_theirs_is_found() -> None:
    before = pykka.ActorRegistry.get_all()
    run_one(5, PLAN)
    worlds = _worlds()  # the last one may be at hand until the next begins
    for seed in (6, 7):
        run_one(seed, PLAN)
    assert pykka.ActorRegistry.get_all() == before
    assert _worlds() <= worlds


def _worlds() -> int:
    for _ in range(3):  # a coroutine that ends while it is collected takes others along
        gc.collect()
    return sum(isinstance(one, World) for one in gc.get_objects())
