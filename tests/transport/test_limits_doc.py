"""docs/limits.md has every number of defaults.py, and says which of them nothing uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.runtime.clocks import ADOPT_AFTER_S
from actors.runtime.timers import DUE_AT_ONCE
from boruta.domain import defaults
from tests.transport import doc_page
from transport.tunnels.pump import PIPE_BYTES

PAGE = doc_page.read("limits.md")
ROWS = [[cell.strip("`") for cell in row] for table in doc_page.tables(PAGE) for row in table]
NAMES = [name for name in vars(defaults) if name.isupper()]
ROOT = Path(__file__).resolve().parents[2]


def test_the_page_has_every_number_once() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(NAMES)


@pytest.mark.parametrize(("name", "said"), [row[:2] for row in ROWS])
def test_a_number_is_the_codes(name: str, said: str) -> None:
    value = getattr(defaults, name)
    if isinstance(value, str):
        assert said == value
    else:
        values = value if isinstance(value, tuple) else (value,)
        assert tuple(float(one) for one in said.split(",")) == values


def test_a_number_says_whether_it_has_an_effect() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("boruta", "actors", "transport", "dryad")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "defaults.py"
    )
    unused = {name for name in NAMES if not re.search(rf"\b{name}\b", code)}
    # The runtime knows nothing of Boruta, so it has numbers of its own.
    assert defaults.DUE_TIMERS_A_TURN == DUE_AT_ONCE
    assert defaults.CLOCK_STEP_HOLDS_S == ADOPT_AFTER_S
    unused -= {"DUE_TIMERS_A_TURN", "CLOCK_STEP_HOLDS_S"}
    assert {row[0] for row in ROWS if "*(no effect yet)*" in row[2]} == unused


def test_a_tunnel_has_as_much_under_way_as_the_page_says() -> None:
    assert f"at most {PIPE_BYTES >> 10} KiB" in PAGE
