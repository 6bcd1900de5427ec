"""The marked blocks of a page: `<!-- KIND: NAME -->` stands above what a test takes from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.lab import Lab

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"<!-- (\w+)(?:: ([\w.-]+))? -->\n```\w*\n(.*?)```", re.DOTALL)

# What a reader has in his usual places, a test has in a directory of its own.
_PRELUDE = """
set -eu
boruta() { "$PYTHON" -c 'from boruta.cli.main import main; main()' --data "$DATA" "$@"; }
dryad() { "$PYTHON" -m dryad "$@"; }
"""


def blocks(page: str, name: str, kind: str = "run") -> list[str]:
    """All blocks of a page under this name; there is at least one."""
    found = _BLOCK.findall((ROOT / page).read_text())
    texts = [text for what, called, text in found if (what, called) == (kind, name)]
    assert texts, f"{page} has no block {kind}: {name}"
    return texts


def block(page: str, name: str, kind: str = "run") -> str:
    """The one block under this name."""
    (text,) = blocks(page, name, kind)
    return text


def shell(farm: Lab, text: str) -> str:
    """What the lines print; they must succeed."""
    env = {"PYTHON": sys.executable, "DATA": str(farm.data), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", _PRELUDE + text],
        cwd=farm.place,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(place: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A Python of our own with our code, in `place`; it must succeed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place), **env},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
