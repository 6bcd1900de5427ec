"""Verbs that tell how a farm is used, and what more boards would change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boruta.typed import Lab, lab, typed

WANTED = """
hours = 2
[[requests]]
caps = ["arch=armv7l"]
per_hour = 20.0
hold = "10m"
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Lab]:
    with lab(2) as made:
        yield made


def test_stats_tell_of_boards_queue_and_jobs(farm: Lab) -> None:
    held = farm.held("-c", f"UUID={farm.boards[0]}")
    farm("request", "-c", "arch=sparc", "--priority", "3")
    told = farm("stats").out
    assert "1 IDLE, 1 RUNNING" in told
    assert "1 of priority 3; the longest waits for" in told
    farm("close", held)
    found = json.loads(farm("stats", "-o", "json", "--last", "1h").out)
    assert found["outcomes"] == {"DONE": 1}
    assert found["holds"]["count"] == found["waits"]["count"] == found["jobs_per_hour"] == 1
    assert farm("stats", "--last", "0").status == 2


def test_plan_tells_what_more_boards_change(farm: Lab, tmp_path: Path) -> None:
    load, picture = tmp_path / "wanted.toml", tmp_path / "waits.svg"
    load.write_text(WANTED)
    done = farm(
        "plan", "--workload", str(load), "--boards", "3", "-c", "arch=armv7l", "--plot",
        str(picture),
    )  # fmt: skip
    assert done.status == 0
    assert "3 more of arch=armv7l" in done.err
    assert "today: 2 boards" in done.out
    assert picture.read_text().startswith("<svg")
    words = ("plan", "--workload", str(load), "-c", "arch=armv7l", "-o", "json")
    found = json.loads(farm(*words).out)
    assert found["more"]["boards"] == 3
    assert found["added"] == {"boards": 1, "caps": {"arch": "armv7l"}, "groups": []}


def test_a_plan_needs_no_server_if_the_boards_are_given(tmp_path: Path) -> None:
    load, boards = tmp_path / "wanted.toml", tmp_path / "boards.json"
    load.write_text(WANTED)
    board = {"caps": {"UUID": "a", "arch": "armv7l"}, "groups": []}
    boards.write_text(json.dumps([board]))
    words = ("plan", "--workload", str(load), "--farm", str(boards))
    assert "2 boards" in typed(*words).out
    boards.write_text("[]")
    done = typed(*words)
    assert done.status == 2
    assert "no known board fits" in done.err
    boards.write_text(json.dumps([board] * 50))
    assert "nobody waits" in typed(*words).err
    assert typed(*words, "--boards", "0").status == 2
    boards.write_text("{")
    assert str(boards) in typed(*words).err
