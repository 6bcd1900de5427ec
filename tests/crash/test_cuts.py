"""Cut off from its database in mid-commit, a server loses nothing and doubles nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.crash.farm import CrashFarm
from tests.crash.test_kills import SEED, shown
from tests.store.postgres import PORT, Postgres
from tests.store.proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
CUTS: Final = int(os.environ.get("BORUTA_CUTS", "12"))


def test_nothing_is_lost_by_commits_whose_outcome_is_unknown(
    tmp_path: Path, postgres: Postgres, database: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="boruta-wire-", dir="/tmp") as wire:
        proxy = Proxy(Path(wire), postgres.place, PORT)
        farm = CrashFarm(tmp_path, postgres.url(database), SEED)
        farm.through = postgres.url(database, Path(wire))
        with contextlib.closing(farm), contextlib.closing(proxy):
            farm.open()
            while proxy.cuts < CUTS:
                cuts = proxy.cuts
                proxy.cut_at_commit = farm.random.choice(("before", "after"))
                farm.until(lambda cuts=cuts: proxy.cuts > cuts, "a commit")
                farm.let_run(farm.random.uniform(0.05, 0.8))
            farm.leave()
            print(f"cuts={proxy.cuts} {farm.done()}")
            found = farm.findings()
            server_log = (tmp_path / "0.err").read_text()
    assert not found, shown(found)
    assert server_log.count("store_written_again") >= CUTS // 2
