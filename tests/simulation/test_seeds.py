"""A share of what `make simulate` runs: every invariant holds, whatever goes wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from boruta.testing.simulation.sweep import HOUR_S, Plan, Total, parse_seeds, run_one, sweep

USUAL = Plan(workers=20, seconds=2.0 * HOUR_S)
WILD = Plan(workers=6, seconds=2.0 * HOUR_S, faults="6", busy=0.9, hold_s=600.0)


@pytest.mark.parametrize("seed", range(100, 108))
def test_a_bad_week_in_a_bad_lab(seed: int) -> None:
    assert run_one(seed, USUAL).broken == "", USUAL.again(seed)


CRASHES = Plan(
    6, 2.0 * HOUR_S, "server_killed=300,store_ill=100,cut=30,storms=0.5,turn_late=0.2", 0.9, 600.0
)


@pytest.mark.parametrize("seed", range(400, 404))
def test_a_server_that_dies_amid_its_commits_has_told_nothing_that_is_lost(seed: int) -> None:
    outcome = run_one(seed, CRASHES)
    assert outcome.broken == "", CRASHES.again(seed)
    assert outcome.summary.lives > 5


@pytest.mark.parametrize("seed", range(200, 208))
def test_a_small_farm_where_nearly_everything_goes_wrong(seed: int) -> None:
    assert run_one(seed, WILD).broken == "", WILD.again(seed)


def test_seeds_in_processes_of_their_own_are_counted_together() -> None:
    plan = Plan(workers=3, seconds=HOUR_S, faults="3")
    total = Total()
    for outcome in sweep(range(300, 303), plan, jobs=2):
        total.add(outcome)
    assert [one.broken for one in total.failed] == []
    assert total.seeds == 3
    assert total.hours > 3.0
    alone = [run_one(seed, plan).summary for seed in range(300, 303)]
    assert total.steps == sum(one.steps for one in alone)
    assert total.faults == sum((Counter(one.faults) for one in alone), Counter())


def test_seeds_are_given_as_a_number_or_as_a_range() -> None:
    assert parse_seeds("3") == range(3)
    assert parse_seeds("200..202") == range(200, 203)
    for wrong in ("", "0", "x", "5..4", "-3..4"):
        with pytest.raises(ValueError, match="want a number of seeds"):
            parse_seeds(wrong)
