"""A lab for each module: a server of its own, with boards where a test starts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, lab


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Lab]:
    """A server without boards."""
    with lab(tmp_path) as made:
        made.start_server()
        yield made
