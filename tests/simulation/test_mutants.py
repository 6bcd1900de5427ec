"""The net catches fish: each deliberate bug is found, and the same seeds without it are quiet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boruta.testing.simulation.sweep import Plan, run_one
from tests.simulation.mutants.agent import AGENTS
from tests.simulation.mutants.engine import ENGINE
from tests.simulation.mutants.judgement import JUDGEMENT
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.writing import WRITING

MUTANTS = (*ENGINE, *WRITING, *JUDGEMENT, *AGENTS)
PLANS = sorted({mutant.plan for mutant in MUTANTS}, key=str)
QUIET_SEEDS = (1,)  # where nearly all of them are found
PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_deliberate_bug_is_found_within_its_seeds(mutant: Mutant) -> None:
    seed, broken = mutant.first_found()
    assert seed, f"no seed of {mutant.seeds} notices that {mutant.name}"
    assert broken.removeprefix("invariant ").startswith(mutant.found_by)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.faults}-{plan.workers}")
@pytest.mark.parametrize("seed", QUIET_SEEDS)
def test_the_same_seeds_hold_without_the_bug(seed: int, plan: Plan) -> None:
    assert run_one(seed, plan).broken == "", plan.again(seed)


def test_a_bug_is_there_only_while_it_is_planted() -> None:
    mutant = MUTANTS[0]
    before = run_one(1, mutant.plan).summary.digest
    mutant.first_found()
    assert run_one(1, mutant.plan).summary.digest == before


def test_a_bug_whose_place_has_moved_says_so() -> None:
    edit = Edit("boruta.domain.request:expired", "no such line", "")
    lost = Mutant("lost", "", (), (edit,))
    with pytest.raises(AssertionError, match="is there no more"):
        lost.first_found()


def test_the_page_has_the_table_of_all_of_them() -> None:
    rows = [
        f"| {one.name} | {one.rule} | {', '.join(one.found_by)} | {one.seeds} |" for one in MUTANTS
    ]
    table = "\n".join(["| bug | rule | found by | seeds |", "|---|---|---|---|", *rows])
    found = re.search(r"<!-- mutants -->\n+(.*)", PAGE.read_text(), re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == table


def test_there_are_many_of_them_and_each_has_its_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 20
