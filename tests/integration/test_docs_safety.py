"""What docs/safety.md names is there."""

from __future__ import annotations

import re

from tests.integration.doc_blocks import ROOT

PAGE = ROOT / "docs/safety.md"


def test_each_module_and_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:actors|boruta|dryad|transport|tests)/[^`]+)`", PAGE.read_text())
    assert len(named) > 80
    missing = []
    for name in named:
        path, _, test = name.partition("::")
        there = (ROOT / path).is_file()
        if not there or (test and f"def {test}(" not in (ROOT / path).read_text()):
            missing.append(name)
    assert missing == []


def test_each_promise_has_a_place_and_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    promises = [row.split("|")[1:4] for row in rows if not row.startswith("| promise")]
    assert len(promises) > 30
    for _, place, test in promises:
        assert "`" in place
        assert "`tests/" in test


def test_the_readme_leads_to_it() -> None:
    assert "(docs/safety.md)" in (ROOT / "README.md").read_text().partition("## More")[2]
