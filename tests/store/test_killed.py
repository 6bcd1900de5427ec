"""A process that is killed has told nothing that is not on the disk."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.store.check import check
from tests.store.kit import Place, SqlitePlace

PROGRAM = """
import sys
from pathlib import Path
from boruta.domain.rows import Write
from tests.store.kit import Loop, PostgresPlace, SqlitePlace, a_job, a_request
data, database = Path(sys.argv[1]), sys.argv[2]
place = SqlitePlace(data) if database == "sqlite:" else PostgresPlace(data, database)
store = place.open()
def told(req_id):
    sys.stdout.write(f"{req_id}\\n")
    sys.stdout.flush()
while True:
    row = a_request(store)
    board = f"b{row.id}"
    assert store.commit((Write(row, 0), Write(a_job(row.id, board), 0))) is None
    store.when_written(store.position, lambda req_id=row.id: told(req_id))
    place.loop.run_all()
    if store.position - store.written > 200:
        place.loop.run_until(lambda: store.position - store.written < 100)
"""


@pytest.mark.integration
def test_what_a_killed_process_has_told_is_there_and_nothing_is_half_there(place: Place) -> None:
    chance = random.Random(5)
    for _ in range(3):
        words = [sys.executable, "-c", PROGRAM, str(place.data), place.database]
        with subprocess.Popen(words, stdout=-1, text=True, cwd=root()) as child:
            assert child.stdout is not None
            last = 0
            for _ in range(chance.randrange(50, 500)):
                last = int(child.stdout.readline())
            child.kill()
            last = max([last, *(int(line) for line in child.stdout if line.endswith("\n"))])
        store = place.open()
        rows = store.requests()
        assert [row.id for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) >= last
        assert all(store.live_job(f"b{row.id}") is not None for row in rows)
        assert store.close()
    if isinstance(place, SqlitePlace):
        assert [one for one in check(place.file) if one.code not in ("waiting_job",)] == []


def root() -> Path:
    """Where the packages are."""
    return Path(__file__).parents[2]
