"""Killed at random instants, a server loses nothing, doubles nothing, lends nothing twice."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.crash.farm import CrashFarm
from tests.store.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

# `make crash` has 50 of them, and a seed of its own choice.
KILLS: Final = int(os.environ.get("BORUTA_KILLS", "10"))
SEED: Final = int(os.environ.get("BORUTA_SEED", "1"))
WITH_POSTGRES: Final = max(1, KILLS * 3 // 10)


def after_kills(farm: CrashFarm, kills: int) -> list[str]:
    """What does not agree after so many kills."""
    with contextlib.closing(farm):
        farm.open()
        while farm.kills < kills - 1:
            farm.kill_and_start()
        farm.leave()
        print(f"kills={farm.kills} of boards={farm.boards_killed} {farm.done()}")
        return farm.findings()


def shown(found: Sequence[str]) -> str:
    """For a person, if there is anything."""
    return f"{len(found)} findings, BORUTA_SEED={SEED}\n" + "\n".join(found[:5])


def test_nothing_is_lost_by_kills_of_a_server_on_sqlite(tmp_path: Path) -> None:
    found = after_kills(CrashFarm(tmp_path, "sqlite:", SEED), KILLS - WITH_POSTGRES)
    assert not found, shown(found)


def test_nothing_is_lost_by_kills_of_a_server_on_postgresql(
    tmp_path: Path, postgres: Postgres, database: str
) -> None:
    farm = CrashFarm(tmp_path, postgres.url(database), SEED + 1)
    found = after_kills(farm, WITH_POSTGRES)
    assert not found, shown(found)


@pytest.mark.parametrize("what", ["answers", "claims"])
def test_a_server_that_tells_before_it_has_written_is_caught(tmp_path: Path, what: str) -> None:
    farm = CrashFarm(tmp_path, "sqlite:", SEED, (2.5, 4.5), ("tests.crash.early", what))
    assert after_kills(farm, 3)
