"""Workloads on farms, in virtual time."""

from __future__ import annotations

import xml.etree.ElementTree

from boruta.domain.types import Capabilities
from boruta.planning.chart import bar, shares, svg
from boruta.planning.run import Kind, simulate, wanted_most
from boruta.planning.workload import Asked, Workload

ARM, X86 = Kind(Capabilities(arch="arm")), Kind(Capabilities(arch="x86"), ("lab",))


def asked(at: float, hold: float, arch: str = "arm", priority: int = 8) -> Asked:
    return Asked(at, Capabilities(arch=arch), hold, priority, ())


def test_one_board_serves_one_after_another_and_is_cleaned_between() -> None:
    load = Workload((asked(0, 100), asked(0, 100), asked(50, 100), asked(1000, 5)))
    found = simulate(load, [ARM], prepare_s=10.0)
    assert [round(wait or 0) for wait in found.waits_s] == [0, 110, 170, 0]
    assert found.most_waiting == 2
    assert found.never_served == 0
    assert 0.25 < found.held_share < 0.35


def test_the_more_important_request_comes_first() -> None:
    load = Workload((asked(0, 100), asked(1, 100), asked(2, 100, priority=1)))
    first, second, third = simulate(load, [ARM], prepare_s=0.0).waits_s
    assert first is not None
    assert second is not None
    assert third is not None
    assert first < third < second


def test_more_boards_of_the_kind_that_is_wanted_most_shorten_the_waits() -> None:
    load = Workload(tuple(asked(at, 600, "arm" if at % 3 else "x86") for at in range(0, 60, 2)))
    today = simulate(load, [ARM, X86])
    kind = wanted_most(load, today, [ARM, X86])
    assert kind == ARM
    more = simulate(load, [ARM, X86, ARM])
    assert today.waits.p50_s is not None
    assert more.waits.p50_s is not None
    assert more.waits.p50_s < today.waits.p50_s
    assert more.boards == 3


def test_what_no_board_has_is_never_served() -> None:
    load = Workload((asked(0, 10, "sparc"), asked(0, 10)))
    found = simulate(load, [ARM])
    assert found.never_served == 1
    assert found.waits_s[0] is None
    assert wanted_most(load, found, [ARM]) is None
    assert simulate(load, []).never_served == 2


def test_the_same_seed_gives_the_same_outcome() -> None:
    load = Workload(tuple(asked(at * 7 % 50, 30 + at) for at in range(20)))
    assert simulate(load, [ARM, ARM], seed=3) == simulate(load, [ARM, ARM], seed=3)


def test_waits_are_drawn() -> None:
    waits = [0.0, 5.0, 30.0, 90_000.0, None]
    rows = dict(shares(waits))
    assert rows["up to 10s"] == 0.4
    assert rows["up to 1m"] == rows["longer"] == rows["no board"] == 0.2
    assert sum(rows.values()) == 1.0
    assert bar(0.0) == "-"
    assert bar(1.0).endswith("# 100%")
    picture = xml.etree.ElementTree.fromstring(svg({"a < b": waits, "b": [0.0]}))
    texts = [one.text for one in picture.iter() if one.tag.endswith("text")]
    assert "a < b" in texts
    assert len([one for one in picture.iter() if one.tag.endswith("polyline")]) == 3
