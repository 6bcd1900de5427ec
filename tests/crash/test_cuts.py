"""Cut off from its database in the middle of commits, a server loses and doubles nothing."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Final

import pytest

from tests.crash.farm import CrashFarm
from tests.store.postgres import Postgres
from tests.store.proxy import Proxy, Where

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
CUTS: Final = 24
# "late": the database is told to commit when the server asks it already what became of it.
WHERE: Final[tuple[Where, ...]] = ("before", "after", "late")


def said(farm: CrashFarm) -> str:
    """The server's log."""
    assert farm.server is not None
    return farm.said(farm.server, "err")


def logged(farm: CrashFarm, what: str, times: int) -> None:
    """Waits until the server has said it so often."""
    farm.until(lambda: said(farm).count(what) >= times, f"{what} {times}")


def test_nothing_is_lost_by_cuts_in_the_middle_of_commits(
    tmp_path: Path, postgres: Postgres, database: str, proxy: tuple[Proxy, Path]
) -> None:
    wire, place = proxy
    with contextlib.closing(CrashFarm(tmp_path, postgres.url(database, place), 1)) as farm:
        farm.open()
        for number, where in enumerate(itertools.islice(itertools.cycle(WHERE), CUTS), 1):
            answered = farm.done().get("new", 0) + 3
            farm.until(lambda much=answered: farm.done().get("new", 0) >= much, "they go on")
            wire.cut_at_commit = where
            logged(farm, "store_not_written", number)
            wire.release()
            logged(farm, "store_written_again", number)
        log = said(farm)
        farm.leave()
        done = farm.done()
        findings = farm.findings()
    print(f"cuts={wire.cuts} {done}")
    assert not findings, "\n".join(findings[:5])
    assert wire.cuts == CUTS
    assert "deposed" not in log
    assert done["new"] > CUTS
    assert any(call.endswith(":store_unavailable") for call in done), "nobody heard of it"
