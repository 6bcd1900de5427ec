"""Fixtures: `rt` is each of the three runtimes, `ours` each of our two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.runtimes import ALL, Runtime


@pytest.fixture(params=["threads", "loop", "simulated"])
def rt(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Pykka's own runtime, and ours: all must behave alike."""
    with ALL[request.param]() as runtime:
        yield runtime


@pytest.fixture(params=["loop", "simulated"])
def ours(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Where we promise more than Pykka does."""
    with ALL[request.param]() as runtime:
        yield runtime
