"""A compiled check gives the verdict of the check that it was made of, whatever comes."""

from __future__ import annotations

import math
from collections import UserDict
from datetime import UTC, datetime
from inspect import unwrap
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from boruta.domain.errors import UsageError
from boruta.domain.types import (
    Capabilities,
    JobInfo,
    QueueInfo,
    ReqInfo,
    UserInfo,
    WorkerInfo,
    WorkerState,
)
from transport import checker, maps, swift
from transport.checker import Check, Optional, integer, list_of, map_of, number, record, text
from transport.wire import REQUEST, WORKER

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
FULL = maps.request_map(
    ReqInfo(
        7, 3, UserInfo("ann", ("lab", "büro")), "a note", Capabilities(arch="arm", größe="9"),
        NOON, NOON, 60.0, True, created=NOON, started=NOON, ended=NOON, prolongs_left=2,
        job=JobInfo("board", NOON, 4), queue=QueueInfo(3, 1.5, "busy", "all_busy", ("one", "two")),
    )
)  # fmt: skip
BOARD = maps.worker_map(
    WorkerInfo("board", WorkerState.IDLE, ("lab",), Capabilities(arch="arm"), since=NOON, request=5)
)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(),
    st.sampled_from(["x" * 300, "\ud800", NOON, NOON.replace(tzinfo=None), b"", (), [], {}]),
    st.lists(st.text() | st.integers(), max_size=3),
    st.dictionaries(st.text() | st.integers(), st.text() | st.none(), max_size=3),
)  # fmt: skip


def verdict(check: Check, value: object) -> object:
    try:
        return check(value, "body")
    except UsageError as error:
        return type(error), error.message, error.details


@pytest.mark.parametrize(("check", "whole"), [(REQUEST, FULL), (WORKER, BOARD)])
def test_what_is_fine_passes_without_the_slow_check(check: Check, whole: dict[str, Any]) -> None:
    check = unwrap(check)
    plain = swift._compiled(check)
    plainer = {**whole, "caps": {"arch": "arm"}}
    if "owner" in whole:
        plainer["owner"] = {"name": "ann", "groups": ["lab"]}
    assert plain(plainer) == check(plainer, "body") == plainer
    assert plain({**plainer, "news": 1}) == plainer


@pytest.mark.parametrize(("check", "whole"), [(REQUEST, FULL), (WORKER, BOARD)])
@given(data=st.data())
def test_whatever_comes_gets_the_same_verdict(
    check: Check, whole: dict[str, Any], data: st.DataObject
) -> None:
    found = {**whole, "unknown": 1}
    for name in data.draw(st.sets(st.sampled_from(sorted(found)), max_size=3)):
        inner = found[name]
        if isinstance(inner, dict) and data.draw(st.booleans()):
            part = data.draw(st.sampled_from([*inner, "more"]))
            found[name] = {**inner, part: data.draw(ODD)}
        elif data.draw(st.booleans()):
            found[name] = data.draw(ODD)
        else:
            del found[name]
    assert verdict(check, found) == verdict(unwrap(check), found)


EDGES = record(
    some=Optional(integer(1, 5)), name=Optional(text(3, 1)), part=Optional(number(0.0, 1.0)),
    any=Optional(number()), few=Optional(list_of(integer(0), 2, 1)),
    pairs=Optional(map_of(text(2), integer(), 1)), what=Optional(checker.anything),
)  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        {"some": 0}, {"some": 1}, {"some": 5}, {"some": 6}, {"some": True}, {"name": ""},
        {"name": "abc"}, {"name": "abcd"}, {"name": "ää"}, {"name": "ä"}, {"part": -0.1},
        {"part": 0.0}, {"part": 1.0}, {"part": 1.1}, {"part": 1}, {"any": math.inf},
        {"any": math.nan}, {"any": 1e308}, {"few": []}, {"few": [1]}, {"few": [1, 2, 3]},
        {"few": [-1]}, {"few": (1,)}, {"pairs": {}}, {"pairs": {"ab": 1}}, {"pairs": {"abc": 1}},
        {"pairs": {"a": 1, "b": 2}}, {"pairs": {"a": "1"}}, {"what": 5}, UserDict(some=1), [], None,
    ],
)  # fmt: skip
def test_each_edge_is_where_the_slow_check_has_it(value: object) -> None:
    assert verdict(swift.swift(EDGES), value) == verdict(EDGES, value)
