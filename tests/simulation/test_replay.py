"""One seed is one run, step for step: in this process, in another, and from the printed command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.testing import Faults, Simulation
from boruta.testing.simulation import Violation
from boruta.testing.simulation.__main__ import main
from boruta.testing.simulation.invariants import Invariants

ROOT = Path(__file__).parents[2]


def trace_of(seed: int) -> tuple[list[str], str]:
    lines: list[str] = []
    farm = Simulation(seed, workers=4, faults=Faults.usual(3), trace=lines.append)
    farm.run(hours=2)
    farm.settle()
    return lines, farm.summary().digest


def test_a_seed_gives_the_same_trace_again_and_another_seed_another_one() -> None:
    lines, digest = trace_of(11)
    Simulation(12, workers=3, faults=Faults.usual()).run(600)  # what ran between leaves no mark
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
    farm = Simulation(3, workers=3)
    with pytest.raises(Violation, match="it took 1") as caught:
        farm.run(hours=1)
    assert caught.value.rule == "2 states"
    assert farm.world.now < 3600.0
