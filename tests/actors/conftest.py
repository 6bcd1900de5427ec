"""No farm outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actors.farm import OPEN


@pytest.fixture(autouse=True)
def _ended_farms() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().end()
