"""Each example is run as its first lines say."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.doc_blocks import ROOT, python
from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
EXAMPLES = ROOT / "examples"


def raw(farm: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    # From another directory and without our path: the example must stand alone.
    return subprocess.run(
        [sys.executable, "-P", str(EXAMPLES / "raw_client.py"), str(farm.data), *words],
        cwd=farm.place,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def raw_client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("raw_client", EXAMPLES / "raw_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_actor_that_watches(tmp_path: Path) -> None:
    done = python(tmp_path, str(EXAMPLES / "watcher.py"))
    assert "ended, DONE" in done.stdout
    assert done.stderr == ""


def test_the_raw_client_imports_nothing_of_ours() -> None:
    text = (EXAMPLES / "raw_client.py").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert not [line for line in lines if line.split()[1].split(".")[0] in ("boruta", "transport")]


def test_the_raw_client_gets_a_board_and_gives_it_back(farm: Lab) -> None:
    farm.start_boards(1, "-c", "arch=armv7l")
    done = raw(farm, "arch=armv7l")
    assert done.returncode == 0, done.stderr
    assert "closed: DONE" in done.stdout
    refused = raw(farm, "arch=sparc")
    assert refused.returncode == 1
    assert refused.stderr.startswith("unservable: ")


def test_the_raw_client_keeps_its_session_over_a_server_that_stood_still(
    farm: Lab, raw_client: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_client, "SILENT_S", 1.0)
    client = raw_client.Client(*raw_client.found(farm.data))
    assert farm.server is not None
    try:
        kept = client.call("requests.new", caps={"a": "1"}, priority=8, bound=True, token="t")["id"]
        first = client.connection
        os.kill(farm.server.pid, signal.SIGSTOP)
        waking = threading.Timer(1.5, os.kill, (farm.server.pid, signal.SIGCONT))
        waking.start()
        found = client.call("requests.get", id=kept)["request"]
        waking.join()
        assert found["state"] == "WAITING"
        assert client.connection is not first
        assert client.kept
        with pytest.raises(raw_client.ServerError, match=r"^not_found: ") as missing:
            client.call("requests.get", id=999_999)
        assert missing.value.code == "not_found"
    finally:
        os.kill(farm.server.pid, signal.SIGCONT)
        client.close()


def test_the_raw_client_says_that_nobody_is_there(
    raw_client: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_client, "HELLO_S", 0.2)
    monkeypatch.setattr(raw_client, "TRIES", 1)
    public, secret = raw_client.zmq.curve_keypair()
    client = raw_client.Client("tcp://127.0.0.1:1", public, (public, secret))
    with pytest.raises(raw_client.ConnectionLost, match=r"no server at tcp://127\.0\.0\.1:1"):
        client.call("ping")
    client.close()


def test_the_harness_passes(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES))
    assert "2 passed" in done.stdout


def test_an_agent_with_capabilities_of_its_own(farm: Lab) -> None:
    bin_dir = farm.place / "bin"
    bin_dir.mkdir()
    program = bin_dir / "dryad"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dryad "$@"\n')
    program.chmod(0o755)
    env = {"PATH": f"{bin_dir}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    child = farm.start("bash", str(EXAMPLES / "own_agent.sh"), str(farm.data), env=env)
    farm.until(lambda: farm.said(child).strip(), "it registers")
    (worker,) = farm.json("workers", "-c", "uart=57600|115200", "-c", "voltage=2.9..3.6")
    assert worker["caps"]["arch"] == "riscv64"
