"""Every command of the README is run, as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- run: (\w+) -->\n```\w*\n(.*?)```", re.DOTALL)

# What a reader has in his usual places, a test has in a directory of its own.
PRELUDE = """
set -eu
boruta() { "$PYTHON" -c 'from boruta.cli.main import main; main()' --data "$DATA" "$@"; }
"""


def blocks(kind: str) -> list[str]:
    found = [text for name, text in BLOCK.findall((ROOT / "README.md").read_text()) if name == kind]
    assert found, f"README.md has no block of the kind {kind}"
    return found


def shell(farm: Lab, text: str) -> str:
    env = {"PYTHON": sys.executable, "DATA": str(farm.data), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", PRELUDE + text],
        cwd=farm.place,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_readme_says_of_a_day_s_work(farm: Lab) -> None:
    boards = farm.start_boards(2, "-c", "arch=armv7l")
    said = "".join(shell(farm, text) for text in blocks("client"))
    assert "Linux" in said
    assert "on the board as" in said
    for text in blocks("admin"):
        shell(farm, text.replace("UUID", farm.uuids(boards)[0]))


def test_the_readme_starts_server_and_boards_with_commands_that_exist(farm: Lab) -> None:
    (text,) = blocks("server")
    first, second = text.strip().splitlines()
    assert first == "boruta server &"
    words = second.removesuffix(" &").split()
    child = farm.start(*words, "--data", str(farm.data))
    farm.until(lambda: len(farm.said(child).splitlines()) == 2, "both boards")


def test_keys_as_the_readme_makes_them(farm: Lab) -> None:
    (text,) = blocks("keys")
    said = shell(farm, text)
    assert "board-17" in said
    assert "alice" in said
    assert (farm.place / "alice.key_secret").stat().st_mode & 0o77 == 0


def test_the_readme_s_python(tmp_path: Path) -> None:
    (text,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "Linux" in done.stdout


@pytest.mark.parametrize("name", ["watcher.py"])
def test_an_example_that_needs_nothing(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "ended" in done.stdout


def test_the_raw_client_of_the_examples_imports_nothing_of_ours(farm: Lab) -> None:
    farm.start_boards(1, "-c", "arch=armv7l")
    # From another directory and without our path: the example must stand alone.
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "examples" / "raw_client.py"), str(farm.data)],
        cwd=farm.place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "closed: DONE" in done.stdout


def test_the_harness_of_the_examples_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_agent_with_capabilities_of_its_own(farm: Lab) -> None:
    script = ROOT / "examples" / "own_agent.sh"
    bin_dir = farm.place / "bin"
    bin_dir.mkdir()
    program = bin_dir / "dryad"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dryad "$@"\n')
    program.chmod(0o755)
    env = {"PATH": f"{bin_dir}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    child = farm.start("bash", str(script), str(farm.data), env=env)
    farm.until(lambda: farm.said(child).strip(), "it registers")
    (worker,) = farm.json("workers", "-c", "uart=57600|115200", "-c", "voltage=2.9..3.6")
    assert worker["caps"]["arch"] == "riscv64"
