"""The nouns: immutable, comparable, and silent about keys."""

from __future__ import annotations

import dataclasses

import pytest

from boruta.domain.errors import CapsMissingUUID
from boruta.domain.types import (
    AccessInfo,
    Caller,
    Capabilities,
    Epoch,
    ReqInfo,
    ReqState,
    Role,
    WorkerState,
)


def test_states_are_the_strings_of_the_seed() -> None:
    assert [state.value for state in ReqState] == [
        "WAITING",
        "IN PROGRESS",
        "CANCELLED",
        "TIMEOUT",
        "INVALID",
        "DONE",
        "FAILED",
    ]
    assert [state.value for state in WorkerState] == [
        "MAINTENANCE",
        "IDLE",
        "RUNNING",
        "FAILED",
        "PREPARE",
        "BUSY",
    ]
    assert [state for state in ReqState if not state.ended] == [
        ReqState.WAIT,
        ReqState.INPROGRESS,
    ]


def test_capabilities_are_a_map_that_can_be_a_key() -> None:
    caps = Capabilities({"a": "1"}, b="2")
    assert dict(caps) == {"a": "1", "b": "2"} == caps
    assert caps == Capabilities(b="2", a="1")
    assert hash(caps) == hash(Capabilities(b="2", a="1"))
    assert caps != Capabilities(a="1")
    assert caps != 5
    assert len(caps) == 2
    assert repr(caps) == "Capabilities({'a': '1', 'b': '2'})"


def test_capabilities_do_not_change_with_the_map_they_came_from() -> None:
    source = {"a": "1"}
    caps = Capabilities(source)
    source["a"] = "2"
    assert caps["a"] == "1"
    with pytest.raises(TypeError):
        caps["a"] = "2"  # type: ignore[index]


def test_a_worker_is_known_by_the_capability_uuid() -> None:
    caps = Capabilities(UUID="w1", arch="arm")
    assert caps.get_worker_uuid() == "w1"
    assert caps.without_uuid() == {"arch": "arm"}
    with pytest.raises(CapsMissingUUID, match="UUID"):
        caps.without_uuid().get_worker_uuid()


def test_epochs_are_compared_server_first() -> None:
    assert Epoch(1, 9) < Epoch(2, 0) < Epoch(2, 1)
    assert Epoch(2, 1) <= Epoch(2, 1)
    assert not Epoch(2, 1) < Epoch(2, 1)


def test_a_key_never_shows_in_a_repr() -> None:
    access = AccessInfo("host", 22, "user", "-----BEGIN SECRET")
    assert "SECRET" not in repr(access)
    assert "SECRET" not in f"{access}"


def test_infos_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReqInfo(1).priority = 3  # type: ignore[misc]


def test_an_admin_is_one_by_role_alone() -> None:
    assert Caller("x", Role.ADMIN).is_admin
    assert not Caller("admin", Role.USER).is_admin
