"""The commands of docs/performance.md run; what it says is there exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from tests.integration.doc_blocks import ROOT, block

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PAGE = "docs/performance.md"
COMMANDS = [line.partition("#")[0].split() for line in block(PAGE, "measure").splitlines()]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_runs(words: list[str], tmp_path: Path) -> None:
    assert words[:3] == ["python", "-m", "benchmarks"]
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "BENCHMARKS_SCALE": "tiny", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    for name in words[3:]:
        if "." in name:
            assert (tmp_path / name).stat().st_size


def test_each_benchmark_is_described() -> None:
    text = (ROOT / PAGE).read_text()
    for name in BENCHMARKS:
        assert f"| `{name}` |" in text


def test_pictures_of_the_page_exist() -> None:
    found = re.findall(r"\]\((pictures/[\w-]+\.svg)\)", (ROOT / PAGE).read_text())
    assert found
    for name in found:
        assert (ROOT / "docs" / name).read_text().startswith("<svg ")
