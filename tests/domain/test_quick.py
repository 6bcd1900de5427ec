"""What `quick` makes is the frozen dataclass itself."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from boruta.domain.quick import quick
from boruta.domain.types import QueueInfo, ReqInfo


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


def test_it_makes_the_same_as_the_class_itself() -> None:
    made = quick(Point)(1, names=["a"])
    assert type(made) is Point
    assert made == Point(1, names=["a"])
    assert repr(made) == repr(Point(1, names=["a"]))
    assert replace(made, y=5) == Point(1, 5, ["a"])


def test_each_one_has_defaults_of_its_own() -> None:
    first, second = quick(Point)(1), quick(Point)(1)
    assert first.names is not second.names


def test_what_it_makes_is_frozen_and_may_be_hashed_and_pickled() -> None:
    made = quick(QueueInfo)(3, why="busy")
    with pytest.raises(FrozenInstanceError):
        made.position = 4  # type: ignore[misc]
    assert hash(made) == hash(QueueInfo(3, why="busy"))
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_field_that_is_missing_or_unknown_is_refused() -> None:
    with pytest.raises(TypeError):
        quick(ReqInfo)()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        quick(ReqInfo)(1, no_such_field=2)  # type: ignore[call-arg]
