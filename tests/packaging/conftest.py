"""The package, built once; a root of its own to install it in, and what else that needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.doc_blocks import ROOT
from tests.integration.lab import Lab, lab

DEPENDS = ("python3-msgpack", "python3-serial", "python3-zmq", "openssh-client", "openssh-server")


def script(name: str) -> ModuleType:
    """A script of packaging/deb, as a module."""
    path = ROOT / "packaging/deb" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"packaging_deb_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built package."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    words = [sys.executable, ROOT / "packaging/deb/make_deb.py", tmp_path_factory.mktemp("deb")]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture
def root() -> Iterator[object]:
    """A root like this machine's, which is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("installing a package, even in a root of its own, needs root")
    for name in DEPENDS:
        done = subprocess.run(["dpkg", "-s", name], capture_output=True, text=True)
        if "ok installed" not in done.stdout:
            pytest.skip(f"{name} is not installed")
    made = script("root")
    try:
        starting = made.over_this_machine()
        here = starting.__enter__()
    except OSError as error:
        pytest.skip(str(error))
    try:
        yield here
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Lab]:
    """A server without boards."""
    with lab(tmp_path) as made:
        made.start_server()
        yield made
