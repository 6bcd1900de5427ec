"""What `import boruta` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import boruta
import boruta.testing

NAMES = [
    "AccessInfo", "BoardLost", "BorutaError", "Capabilities", "Client", "Dryad", "Farm", "Gap",
    "Groups", "InfraError", "InternalLogicError", "JobInfo", "ListDirection", "ListFilter",
    "ListInfo", "NotFoundError", "NotPermitted", "Page", "Priority", "Refused", "ReqID", "ReqInfo",
    "ReqState", "RequestChanged", "Requests", "Reservation", "ShuttingDown", "SortInfo",
    "SortOrder", "Superviser", "TimedOut", "Unavailable", "Unreachable", "Unservable", "UsageError",
    "UserInfo", "WorkerChanged", "WorkerInfo", "WorkerState", "WorkerUUID", "Workers",
    "__version__", "connect",
]  # fmt: skip
HEAVY = ["zmq", "asyncssh", "pykka", "sqlalchemy", "click", "rich", "cryptography", "asyncio"]


def test_the_public_names_are_pinned_and_sorted() -> None:
    assert boruta.__all__ == NAMES == sorted(NAMES)
    assert boruta.testing.__all__ == [
        "FakeAccess",
        "FakeDryad",
        "Faults",
        "Load",
        "Manner",
        "ManualClock",
        "Simulation",
        "Violation",
        "Visit",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(boruta, name) is not None
    assert name in dir(boruta)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Frobnicator'"):
        boruta.Frobnicator  # noqa: B018


def test_the_asyncio_names_are_the_same() -> None:
    from boruta import aio

    assert aio.__all__ == ["Client", "Farm", "Reservation", "connect"]
    assert all(getattr(aio, name) is not None for name in aio.__all__)


def _loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, stdout=-1, text=True, check=True).stdout.split())


def test_importing_boruta_alone_loads_nothing_heavy() -> None:
    assert not _loaded_by("import boruta") & set(HEAVY)


def test_the_nouns_load_nothing_heavy() -> None:
    loaded = _loaded_by("from boruta import ReqInfo, BorutaError, Requests, WorkerState")
    assert not loaded & set(HEAVY)
