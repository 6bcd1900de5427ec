"""Every command of docs/cli.md that is marked is run, as a reader would run it."""

from __future__ import annotations

import re

import pytest

from boruta.cli.main import VERBS
from tests.integration.doc_blocks import ROOT, blocks, shell
from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
PAGE = "docs/cli.md"


def test_what_the_page_says_of_boards_and_requests(farm: Lab) -> None:
    boards = farm.start_boards(2, "-c", "arch=armv7l")
    said = "".join(shell(farm, text) for text in blocks(PAGE, "client"))
    for expected in ("Linux", "from here", "is held while this runs", "over plain OpenSSH"):
        assert expected in said
    assert '"outcome": "exited"' in said
    assert (farm.place / "again").read_text() == "hello\n"
    assert farm.json("requests") == []
    for text in blocks(PAGE, "admin"):
        shell(farm, text.replace("UUID", farm.uuids(boards)[0]))


def test_what_the_page_says_of_keys(farm: Lab) -> None:
    assert "carol" in "".join(shell(farm, text) for text in blocks(PAGE, "keys"))


def test_the_page_has_each_verb() -> None:
    text = (ROOT / PAGE).read_text()
    assert [verb for verb in VERBS if not re.search(rf"\b{verb}\b", text)] == []
