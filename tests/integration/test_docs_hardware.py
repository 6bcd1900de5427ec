"""docs/hardware.md: its configurations are loaded, its programs run, its template conforms."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.types import Check
from dryad.config import load
from dryad.hardware import boards
from dryad.hardware.command import COMMANDS, read_options
from dryad.hardware.stm_simulator import StmSimulator
from tests.integration.doc_blocks import block

pytestmark = pytest.mark.integration
PAGE = "docs/hardware.md"


def ran(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(block(PAGE, name, "python"), names)
    return names


@pytest.mark.parametrize("name", ["stm", "command"])
def test_the_configurations_are_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text(block(PAGE, name, "toml"))
    config = load(path, {}, {})
    assert config.hardware.partition(":")[0] == name
    boards.check_options(config.hardware, config.board)
    if name == "command":
        assert set(read_options(config.board)[0]) == set(COMMANDS)


def test_the_driver_is_used_as_the_page_does() -> None:
    async def story() -> None:
        async with StmSimulator(speed=1e6) as simulator:
            assert await ran("driver")["measure"](simulator.path) == 300

    asyncio.run(story())
    asyncio.run(ran("simulator")["try_it"]())


def test_the_template_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    template = ran("template")
    module = type(sys)("relay_board")
    vars(module).update(template)
    monkeypatch.setitem(sys.modules, "relay_board", module)
    ran("conformance")["test_my_board_conforms"]()
    board = template["make"]("4", {})
    assert asyncio.run(board.checks()) == [Check("relay", True, "channel 4")]
