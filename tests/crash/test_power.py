"""What the files were at the last sync holds all that anybody was told."""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from boruta.store.check import check
from tests.crash import judge
from tests.crash.farm import CrashFarm
from tests.crash.kept import read_kept
from tests.crash.log import read, settled
from tests.crash.power import Disk
from tests.crash.recording import SYNC, Op, read_ops

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find"),
        reason="this Python's SQLite cannot be listened to: it is linked into Python itself",
    ),
]

FILES: Final = ("boruta.db", "boruta.db-wal")
CUTS: Final = 40
SHARES: Final = (0.0, 0.5, 0.9, 1.0)  # of the sectors that nobody had synced


def recorded(place: Path, synchronous: str) -> tuple[CrashFarm, list[Op]]:
    """A farm that was busy for a while, and what became of its database's files meanwhile."""
    ops = place / "ops"
    entry = ("tests.crash.recording", str(ops), synchronous)
    farm = CrashFarm(place, "sqlite:", seed=3, entry=entry)
    with contextlib.closing(farm):
        farm.open()
        farm.let_run(4.0)
        farm.leave()
    # The file is made under another name, and synced before it gets its own.
    return farm, [op._replace(name=op.name.removesuffix(".new")) for op in read_ops(ops)]


def power_losses(ops: Sequence[Op], seed: int) -> Iterator[tuple[float, dict[str, bytes]]]:
    """Instants, and what is found afterwards: most of them right before and after a sync."""
    chance = random.Random(seed)
    made = next(number for number, op in enumerate(ops) if op.name == "boruta.db-wal")
    syncs = [number for number, op in enumerate(ops) if op.what == SYNC and number > made]
    cuts = {chance.choice(syncs) - chance.randrange(2) for _ in range(CUTS)}
    # Around each sync of the database itself the log is being written back.
    cuts |= {n for n in syncs if ops[n].name == "boruta.db" for n in (n - 1, n)}
    cuts |= {chance.randrange(made, len(ops)) for _ in range(CUTS)}
    disk = Disk()
    for number, op in enumerate(ops):
        disk.do(op)
        if number in cuts:
            files = disk.after_power_loss(chance, chance.choice(SHARES))
            yield op.at, {name: bytes(files[name]) for name in FILES if name in files}


def findings(farm: CrashFarm, at: float, files: dict[str, bytes], data: Path) -> list[str]:
    """What was told by then and is not there, or what is wrong with the files."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    shutil.copytree(farm.data / "keys", data / "keys")
    for name, content in files.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o600)
    kept = read_kept("sqlite:", data)
    ledger = settled(line for line in read(farm.place / "ledger") if line["at"] <= at)
    found = [*judge.ledger_findings(ledger, kept), *judge.history_findings(kept)]
    texts = [judge.told(one, ledger, [], kept) for one in found]
    return texts + [one.text for one in check(data / "boruta.db") if one.bad]


def test_a_power_loss_at_any_instant_loses_nothing_that_was_told(tmp_path: Path) -> None:
    farm, ops = recorded(tmp_path, "FULL")
    log = next(number for number, op in enumerate(ops) if op.name == "boruta.db-wal")
    # The log was written back under way, with syncs of its own.
    assert any(op.what == SYNC and op.name == "boruta.db" for op in ops[log:])
    for at, files in power_losses(ops, seed=4):
        assert findings(farm, at, files, tmp_path / "after") == []


def test_a_database_that_is_not_synced_at_each_commit_is_caught(tmp_path: Path) -> None:
    farm, ops = recorded(tmp_path, "NORMAL")
    assert any(
        findings(farm, at, files, tmp_path / "after") for at, files in power_losses(ops, seed=4)
    )
