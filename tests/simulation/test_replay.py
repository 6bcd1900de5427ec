"""One seed is one run, step for step: in this process, in another, and from the printed command."""

from __future__ import annotations

import gc
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boruta.testing import Faults, Simulation
from boruta.testing.simulation import Violation
from boruta.testing.simulation.__main__ import main
from boruta.testing.simulation.invariants import Invariants
from boruta.testing.simulation.sweep import HOUR_S, Plan, run_one

ROOT = Path(__file__).parents[2]


def trace_of(seed: int) -> tuple[list[str], str]:
    lines: list[str] = []
    with Simulation(seed, workers=4, faults=Faults.usual(3), trace=lines.append) as farm:
        farm.run(hours=2)
        farm.settle()
        return lines, farm.summary().digest


def test_a_seed_gives_the_same_trace_again_and_another_seed_another_one() -> None:
    lines, digest = trace_of(11)
    with Simulation(12, workers=3, faults=Faults.usual()) as between:
        between.run(600)  # what ran between leaves no mark
    assert trace_of(11) == (lines, digest)
    assert len(lines) > 1000
    assert trace_of(12)[1] != digest


def test_a_seed_gives_the_same_digest_whatever_the_hash_seed_of_the_process() -> None:
    words = "-m boruta.testing.simulation --seed 11 --workers 5 --days 0.06 --faults 3 --trace"
    said = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, *words.split()],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, check=True, timeout=50,
        )  # fmt: skip
        said.append(re.sub(r"(?m)^virtual time .*$", "", done.stdout))  # tells real seconds too
    assert "digest" in said[0]
    assert said[0] == said[1]


# Clients that are cut off amid several calls, tasks that hang for ever, servers that die with all.
PLANS = (
    Plan(8, HOUR_S, "cut=60", 0.9, 600.0),
    Plan(
        5, HOUR_S, "storms=1,client_killed=0.3,server_killed=60,store_ill=60,claim_refused=0.1",
        0.9, 600.0,
    ),
    Plan(5, HOUR_S, "prepare_hangs=0.3,agent_killed=40,agent_hung=40,server_lost=20", 0.9, 600.0),
)  # fmt: skip


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def a_frozen_heap() -> Iterator[None]:
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def collect_now_and_then() -> Callable[[str], None]:
    """A trace that has the garbage collected between steps, the young every time."""
    count = iter(range(10**9))

    def collect(_: str) -> None:
        gc.collect(2 if next(count) % 500 == 0 else 0)

    return collect


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.faults)
def test_a_seed_gives_the_same_digest_whenever_garbage_is_collected(plan: Plan) -> None:
    wanted = run_one(1, plan)
    assert wanted.broken == ""
    assert run_one(2, plan).summary.digest != wanted.summary.digest
    again = [run_one(1, plan)]
    with no_collector():
        again.append(run_one(1, plan))
    with a_frozen_heap():
        again.append(run_one(1, plan))
    again.append(run_one(1, plan, collect_now_and_then()))
    assert [one.summary for one in again] == [wanted.summary] * 4


def test_a_seed_gives_the_same_digest_in_a_fresh_process_as_in_one_where_others_ran() -> None:
    plan = PLANS[0]
    words = plan.again(1).split()
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "3"},
        capture_output=True, text=True, check=True, timeout=50,
    )  # fmt: skip
    assert f"digest         {run_one(1, plan).summary.digest}\n" in done.stdout


@pytest.fixture
def a_broken_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world where nobody may ask for anything."""
    monkeypatch.setattr(
        Invariants, "accepted", lambda self, req_id: self.broken("2 states", f"it took {req_id}")
    )


@pytest.mark.usefixtures("a_broken_world")
def test_a_failing_seed_prints_itself_and_the_command_that_fails_in_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = "--seeds 3..4 --workers 3 --days 0.02 --faults 2 --jobs 1"
    assert main(shlex.split(line)) == 1
    said = capsys.readouterr().out
    assert "failing seeds  3 4" in said
    broken = [line for line in said.splitlines() if line.startswith("BROKEN")]
    assert re.match(r"BROKEN +seed 3: invariant 2 states: it took 1 \(at [\d.]+ s\)$", broken[0])
    again = next(line for line in said.splitlines() if line.startswith("again"))
    python, *words = shlex.split(again.removeprefix("again"))
    assert (python, words[:2]) == ("python", ["-m", "boruta.testing.simulation"])
    assert main(words[2:]) == 1
    assert broken[0] in capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("a_broken_world")
def test_a_violation_ends_a_run_and_names_its_rule() -> None:
    with Simulation(3, workers=3) as farm:
        with pytest.raises(Violation, match="it took 1") as caught:
            farm.run(hours=1)
        assert farm.world.now < 3600.0
    assert caught.value.rule == "2 states"
