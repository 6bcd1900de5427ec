"""docs/agent.md: every configuration is loaded, every command run, every key told of."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.pairs import load_pair
from dryad.config import AgentConfig, check_complete, load
from tests.integration.doc_blocks import ROOT, block, shell
from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PAGE = "docs/agent.md"


def loaded(tmp_path: Path, name: str, file: str = "dryad.toml") -> AgentConfig:
    path = tmp_path / file
    path.write_text(block(PAGE, name, "toml"))
    return load(path, {}, {})


def test_the_first_configuration_is_complete(tmp_path: Path) -> None:
    config = loaded(tmp_path, "first")
    check_complete(config)
    assert config.trust_holders
    assert config.key == str(tmp_path / "board-17.key_secret")


def test_the_full_configuration_has_every_key_at_its_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "full")
    default = AgentConfig()
    told = {"server", "server_key", "key", "caps"}
    for name in set(AgentConfig.__dataclass_fields__) - told:
        assert getattr(config, name) == getattr(default, name), name
    assert all(getattr(config, name) for name in told)
    for name in AgentConfig.__dataclass_fields__:
        table = {"username": "user", "console": r"# \[console\]"}.get(name, name)
        stands_as = rf"({name} = |\[{table}\]|{table})"
        assert re.search(f"^{stands_as}", block(PAGE, "full", "toml"), re.MULTILINE), name


def test_the_original_s_file_is_read(tmp_path: Path) -> None:
    config = loaded(tmp_path, "dryad.conf", "dryad.conf")
    check_complete(config)
    assert config.server == ("tcp://boruta.lab:7175",)
    assert config.caps["device_type"] == "raspberrypi3"


def test_a_board_as_the_page_sets_it_up(farm: Lab) -> None:
    shell(farm, block(PAGE, "server"))
    server_key = json.loads((farm.data / "server.json").read_text())["server_key"]
    text = block(PAGE, "first", "toml")
    text = text.replace("tcp://boruta.lab:7175", farm.url)
    text = text.replace('"server.key"', f"'{server_key}'").replace("/var/lib/dryad", "board")
    (farm.place / "dryad.toml").write_text('ssh_address = "127.0.0.1:0"\n' + text)
    # A relative path, as somebody types it who tries this in a directory of his own.
    words = [*block(PAGE, "board").split(), "--config", "dryad.toml"]
    agent = farm.start(*words)
    farm.until(lambda: " registered " in farm.said(agent, "err"), "the agent")
    uuid = (farm.place / "board" / "uuid").read_text().strip()
    said = shell(farm, block(PAGE, "admin").replace("UUID", uuid))
    assert uuid in said.splitlines()[1]  # the table of boards in MAINTENANCE
    assert "Linux" in said
    assert farm.end(agent) == 0
    log = farm.said(agent, "err")
    assert uuid in log
    assert "uname" not in log


def test_a_board_that_makes_its_own_key_as_the_page_says(farm: Lab) -> None:
    admit = shell(farm, block(PAGE, "invite"))
    assert admit.startswith("boruta key add --role worker board-17 -- ")
    shell(farm, admit)
    config = load(farm.place / "dryad.toml", {}, {})
    check_complete(config)
    assert load_pair(Path(config.key)).public in shell(farm, "boruta key list")


def test_boards_simulated_as_the_page_does_it(farm: Lab) -> None:
    words = shlex.split(block(PAGE, "simulate"))
    child = farm.start(*words, "--data", str(farm.data))
    farm.until(lambda: len(farm.said(child).splitlines()) == 3, "three boards")
    workers = farm.json("workers", "-c", "uart=115200", "-g", "lab")
    assert len(workers) == 3
    uuid, name, address = farm.said(child).splitlines()[0].split()
    assert uuid in [worker["worker_uuid"] for worker in workers]
    assert name.startswith("board-")
    assert address.startswith("127.0.0.1:")


def test_an_agent_is_set_up_as_the_page_does_it(tmp_path: Path) -> None:
    statuses = []
    for line in block(PAGE, "check").splitlines():
        program, *words = line.split()
        assert program == "dryad"
        done = subprocess.run(
            [sys.executable, "-m", "dryad", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        statuses.append(done.returncode)
    assert statuses[0] == 0
    assert statuses[1] == 1  # no server yet
    assert statuses[2] == 3
