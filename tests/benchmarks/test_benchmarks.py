"""Each benchmark runs, at the smallest size, and says what it found as all of them do."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.plot import plot
from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.turns import Turns

FIELDS = ["name", "value", "unit", "better", "limit", "limit_what", "ratio"]
IN_PROCESS = ("queue", "listing", "memory")
NEEDS = {"ssh": ("sshd", "ssh")}


def well_formed(one: dict[str, Any]) -> None:
    assert list(one) == FIELDS
    assert one["name"]
    assert one["unit"]
    assert one["better"] in ("higher", "lower")
    assert isinstance(one["value"], (int, float))
    if one["limit"]:
        assert one["limit_what"]
        assert one["ratio"] == pytest.approx(one["value"] / one["limit"], rel=0.01)
    json.dumps(one)


def tried(name: str) -> None:
    for program in NEEDS.get(name, ()):
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            pytest.skip(f"there is no {program} here")
    found = importlib.import_module(f"benchmarks.{name}").run(Scale.TINY)
    assert found
    for one in found:
        well_formed(one)
    names = [one["name"] for one in found]
    assert len(names) == len(set(names)), "a name stands for one figure"


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_benchmark_of_the_engine_gives_well_formed_results(name: str) -> None:
    tried(name)


@pytest.mark.integration
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in IN_PROCESS])
def test_a_benchmark_with_processes_gives_well_formed_results(name: str) -> None:
    tried(name)


def test_results_are_printed_written_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHMARKS_SCALE", "tiny")
    kept, drawn = tmp_path / "figures.json", tmp_path / "drawn"
    assert main(["queue", "--json", str(kept), "--plot", str(drawn)]) == 0
    results = json.loads(kept.read_text())
    out = capsys.readouterr().out
    for one in results:
        well_formed(one)
        assert one["name"] in out
    pictures = {path.name for path in drawn.iterdir()}
    assert {"new-request-uniform-queue.svg", "index-diverse-queue.svg"} <= pictures
    assert (drawn / "index-diverse-queue.svg").read_text().startswith("<svg ")


def test_a_benchmark_that_is_not_there_is_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such"])
    assert caught.value.code == 2
    assert "no benchmark 'no-such'" in capsys.readouterr().err


def test_only_what_was_measured_at_several_sizes_is_drawn(tmp_path: Path) -> None:
    results = [
        result("rate @ 10", 1.0, "1/s", "higher"),
        result("rate @ 100", 2.0, "1/s", "higher"),
    ]
    results.append(result("one figure", 1.0, "s", "lower"))
    assert [path.name for path in plot(results, tmp_path)] == ["rate.svg"]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(list(range(100)), 99) == 99


def test_a_turn_that_holds_the_loop_is_seen() -> None:
    import asyncio
    import time

    async def story() -> float:
        with Turns() as turns:
            await asyncio.sleep(0.005)
            began = time.thread_time()
            while time.thread_time() - began < 0.03:
                pass
            await asyncio.sleep(0.005)
        return turns.longest_s

    assert asyncio.run(story()) >= 0.028
