"""ONE suite over every way in: what a client sees is the same by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.directory import Rules
from tests.conformance.lab import InProcess, Lab, OverZeroMQ, Party, Way

WAYS: dict[str, type[Way]] = {"in process": InProcess, "zeromq": OverZeroMQ}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> type[Way]:
    """A way in."""
    return WAYS[request.param]


@pytest.fixture
def make_lab(way: type[Way], tmp_path: Path) -> Iterator[Callable[[Rules], Lab]]:
    """Makes a lab with rules of one's own."""
    made: list[Lab] = []

    def make(rules: Rules) -> Lab:
        made.append(Lab(way, tmp_path, rules))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[[Rules], Lab]) -> Lab:
    """A lab with the rules as they come."""
    return make_lab(Rules())


@pytest.fixture
def alice(lab: Lab) -> Party:
    """A user."""
    return lab.user("alice")


@pytest.fixture
def admin(lab: Lab) -> Party:
    """An admin."""
    return lab.admin
