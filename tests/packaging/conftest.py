"""The package, built once from these sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build() -> Build:
    """Builds the package into a directory, by another process, as `make deb` does."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")

    def built(out: Path, umask: int = 0o022, **env: str) -> Path:
        done = subprocess.run(
            [sys.executable, "packaging/deb/build.py", "--out", str(out)],
            cwd=ROOT, env={**os.environ, **env}, umask=umask, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    return built


@pytest.fixture(scope="session")
def package(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    return build(tmp_path_factory.mktemp("deb"))
