"""A server that is killed at random instants loses nothing, doubles nothing, lends nothing twice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.crash.farm import CrashFarm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_nothing_is_lost_by_kills(tmp_path: Path) -> None:
    farm = CrashFarm(tmp_path, "sqlite:", seed=1)
    with contextlib.closing(farm):
        farm.open()
        for _ in range(2):
            farm.kill_and_start()
        farm.leave()
        print(farm.kills, farm.done())
        found = farm.findings()
    assert not found, f"{len(found)} findings\n" + "\n".join(found[:5])
