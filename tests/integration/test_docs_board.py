"""docs/board.md and docs/sessions.md: what is marked is run, what is configured is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from boruta.domain.errors import ActionRefused, BadRequest, Busy, InfraError, NotPermitted
from dryad.config import load
from dryad.sessions.limits import Limits
from tests.integration.doc_blocks import ROOT, block, python, shell
from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
BOARD = "docs/board.md"


def test_the_hardware_from_afar_and_on_the_board(farm: Lab) -> None:
    farm.start_boards(1, "-c", "arch=armv7l")
    said = shell(farm, block(BOARD, "afar"))
    assert said.splitlines()[0] == "on"
    assert "230" in said
    on_board = block(BOARD, "board")
    told = shell(farm, f"boruta run -c arch=armv7l -- sh -c '{on_board}'")
    assert told.splitlines()[:2] == ["on", "230"]
    assert "board power" in told


def test_the_hardware_in_python(farm: Lab) -> None:
    farm.start_boards(1, "-c", "arch=armv7l")
    text = block(BOARD, "afar", "python").replace(
        "boruta.connect()", f"boruta.connect(data={str(farm.data)!r})"
    )
    (farm.place / "script.py").write_text(text)
    said = python(farm.place, "script.py").stdout
    assert said.startswith("0.0 s: 230 mA")


def test_the_statuses_of_the_page() -> None:
    text = (ROOT / BOARD).read_text()
    for kind in (BadRequest, ActionRefused, NotPermitted, InfraError, Busy):
        assert f"\n| {kind.exit_status} |" in text, kind


def test_the_configuration_of_system_sessions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text(block("docs/sessions.md", "system", "toml"))
    config = load(path, {}, {})
    assert (config.sessions, config.groups) == ("system", ("dialout",))
    assert config.limits == Limits(memory=400 << 20)
