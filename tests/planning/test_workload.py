"""Workloads: recorded by a farm, or described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import BadConfig
from boruta.planning.workload import load

DESCRIBED = """
hours = 10
[[requests]]
caps = ["arch=armv7l", "ram>=512"]
per_hour = 60
hold = "5m"
[[requests]]
caps = "arch=aarch64"
per_hour = 6
hold = 30
priority = 2
groups = ["lab"]
"""


def entry(created: str, started: str | None, ended: str | None, **more: Any) -> dict[str, Any]:
    base = {
        "caps": {"arch": "arm"}, "priority": 8, "owner": {"name": "a", "groups": []},
        "created": created, "valid_after": created, "started": started, "ended": ended,
    }  # fmt: skip
    return {**base, **more}


def test_a_recorded_workload_comes_as_it_came_and_holds_as_long_as_it_held(tmp_path: Path) -> None:
    path = tmp_path / "week.json"
    second = entry(
        "2030-01-01T00:00:10Z", "2030-01-01T00:05:00Z", "2030-01-01T00:06:00Z",
        valid_after="2030-01-01T00:01:10Z", priority=3, owner={"name": "b", "groups": ["lab"]},
    )  # fmt: skip
    first = entry("2030-01-01T00:00:30Z", "2030-01-01T00:00:30Z", "2030-01-01T00:00:31.5Z")
    waits = entry("2030-01-01T00:00:00Z", None, None)
    runs = entry("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", None)
    path.write_text(json.dumps([second, waits, first, runs]))
    found = load(path)
    assert [(one.at, one.hold_s, one.priority, one.groups) for one in found.asked] == [
        (0.0, 1.5, 8, ()),
        (40.0, 60.0, 3, ("lab",)),
    ]
    assert found.left_out == 2
    assert found.lasts_s == 40.0


def test_a_described_workload_is_random_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    path = tmp_path / "wanted.toml"
    path.write_text(DESCRIBED)
    found = load(path, seed=1)
    assert found == load(path, seed=1)
    assert found != load(path, seed=2)
    assert [one.at for one in found.asked] == sorted(one.at for one in found.asked)
    common = [one for one in found.asked if one.caps["arch"] == "armv7l"]
    assert 500 < len(common) < 700
    assert 240 < sum(one.hold_s for one in common) / len(common) < 360
    assert {one.groups for one in found.asked if one.priority == 2} == {("lab",)}


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("w.json", "{}", "want an array"),
        ("w.json", "[1]", "entry 1"),
        ("w.json", "[", "Expecting value"),
        ("w.json", "[]", "no request in it held a board"),
        ("w.toml", "hours = 1", r"\[\[requests\]\]"),
        ("w.toml", "x = [", "Invalid"),
        ("w.toml", 'hours = 1\n[[requests]]\nper_hour = 0\nhold = "5m"', "per_hour"),
        ("w.toml", "hours = 1\n[[requests]]\nper_hour = 5", "hold"),
        ("w.toml", 'hours = 1\n[[requests]]\nper_hour = 5\nhold = "5m"\npriority = 17', "17"),
        ("w.toml", 'hours = 1\n[[requests]]\nper_hour = 5\nhold = "5m"\ncaps = "="', "caps"),
    ],
)
def test_a_file_that_is_none_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, text: str, wrong: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadConfig, match=wrong) as error:
        load(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml")
