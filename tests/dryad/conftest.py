"""The two ways to let holders in: what is asked of one is asked of both."""

from __future__ import annotations

import pytest

from tests.dryad import sessions_kit
from tests.dryad.sessions_kit import Boards

BACK_ENDS: dict[str, Boards] = {
    "embedded": sessions_kit.embedded,
    "system": sessions_kit.system,
}


@pytest.fixture(params=BACK_ENDS)
def board(request: pytest.FixtureRequest) -> Boards:
    """Boards with sessions of each kind."""
    return BACK_ENDS[request.param]
