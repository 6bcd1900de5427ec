"""How long boards are held, as measured."""

from __future__ import annotations

from boruta.domain.holds import ENOUGH, KEPT, KINDS, Holds


def test_few_holds_tell_nothing() -> None:
    holds = Holds()
    for _ in range(ENOUGH - 1):
        holds.add("arm", 10.0)
    assert holds.typical("arm") is None
    holds.add("arm", 10.0)
    assert holds.typical("arm") == 10.0


def test_a_kind_is_told_by_its_own_holds_and_else_by_all() -> None:
    holds = Holds()
    for seconds in (1.0, 2.0, 3.0, 4.0, 100.0):
        holds.add("arm", seconds)
    holds.add("x86", 7.0)
    assert holds.typical("arm") == 3.0
    assert holds.typical("x86") == holds.typical("sparc") == 3.5


def test_only_the_latest_count_and_kinds_are_bounded() -> None:
    holds = Holds()
    for seconds in [5000.0] * KEPT + [1.0] * KEPT:
        holds.add(0, seconds)
    assert holds.typical(0) == 1.0
    for kind in range(1, KINDS + 1):
        holds.add(kind, 9000.0)
    assert len(holds._kinds) == KINDS
    assert holds.typical(0) == 9000.0, "the kind that was held longest ago is forgotten"
