"""The two ways to let holders in: what is asked of one is asked of both."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.dryad import sessions_kit
from tests.dryad.sessions_kit import Boards

BACK_ENDS: dict[str, Boards] = {
    "embedded": sessions_kit.embedded,
    "system": sessions_kit.system,
}


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that runs in this process sends its log elsewhere; afterwards it goes as before."""
    loggers = [logging.getLogger(name) for name in ("dryad", "boruta", "transport")]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.setLevel(level)


@pytest.fixture(params=BACK_ENDS)
def board(request: pytest.FixtureRequest) -> Boards:
    """Boards with sessions of each kind."""
    return BACK_ENDS[request.param]
