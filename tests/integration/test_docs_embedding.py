"""Every block of docs/embedding.md is run, and is silent where a program would want it to be."""

from __future__ import annotations

from pathlib import Path

import pytest

import boruta
from tests.integration.doc_blocks import ROOT, block, blocks, python

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PAGE = "docs/embedding.md"


@pytest.mark.parametrize(
    "text", blocks(PAGE, "python"), ids=lambda text: text.split("\n\n")[0][:40]
)
def test_a_block_of_the_page_runs_and_logs_nothing(text: str, tmp_path: Path) -> None:
    done = python(tmp_path, "-W", "error", "-c", text)
    assert done.stderr == ""


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(block(PAGE, "pytest"))
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py")
    assert "1 passed" in done.stdout


def test_every_error_that_boruta_gives_a_name_stands_on_the_page() -> None:
    text = (ROOT / PAGE).read_text()
    public = [getattr(boruta, name) for name in boruta.__all__]
    errors = [
        one.__name__ for one in public if isinstance(one, type) and issubclass(one, Exception)
    ]
    assert len(errors) > 5
    assert [name for name in errors if f"`{name}`" not in text] == []
