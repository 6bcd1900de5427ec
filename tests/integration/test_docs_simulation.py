"""Every command and program of docs/simulation.md is run; its tables name what there is."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from boruta.testing import Faults
from tests.integration.doc_blocks import ROOT, block, python

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PAGE = "docs/simulation.md"


@pytest.mark.parametrize("line", block(PAGE, "commands").strip().splitlines())
def test_a_command_of_the_page_finds_that_all_holds(line: str, tmp_path: Path) -> None:
    name, *words = shlex.split(line)
    assert name == "python"
    done = python(tmp_path, "-W", "error", *words)
    assert "BROKEN" not in done.stdout
    assert "faults" in done.stdout
    assert done.stderr == ""


def test_make_simulate_runs_so_many_seeds(tmp_path: Path) -> None:
    words = shlex.split(block(PAGE, "make"), comments=True)
    assert words[:2] == ["make", "simulate"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    made = subprocess.run(
        [*words[:2], "-n", "-o", ".venv/.installed", "SEEDS=5..6", "WORKERS=3", "DAYS=0.02"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60, env=env,
    )  # fmt: skip
    line = made.stdout.strip().splitlines()[-1]
    done = python(tmp_path, *shlex.split(line)[1:])
    assert "2/2 seeds" in done.stdout
    assert "all 2 seeds hold" in done.stdout


def test_the_scenario_of_the_page_goes_as_it_says(tmp_path: Path) -> None:
    text = block(PAGE, "python")
    said = [line.partition("# ")[2] for line in text.splitlines() if line.startswith("print(")]
    assert python(tmp_path, "-W", "error", "-c", text).stdout.splitlines() == said


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(block(PAGE, "pytest"))
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py")
    assert "3 passed" in done.stdout


def test_every_fault_and_invariant_stands_on_the_page() -> None:
    text = (ROOT / PAGE).read_text()
    assert [one.name for one in fields(Faults) if f"`{one.name}`" not in text] == []
    watch = "".join(path.read_text() for path in (ROOT / "boruta/testing/simulation").glob("*.py"))
    rules = ("0 no defect", "1 one holder", "2 states", "3 nobody waits in vain", "4 order",
             "5 job time", "6 rest")  # fmt: skip
    assert [rule for rule in rules if f'"{rule}"' not in watch or f"| {rule} |" not in text] == []
