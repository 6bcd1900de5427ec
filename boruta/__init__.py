"""Boruta lends the boards of a farm: `Farm` embeds a whole one, `connect` reaches a server.

Nothing heavy is loaded until a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from boruta.version import VERSION as __version__

if TYPE_CHECKING:
    from boruta.client import Client, connect
    from boruta.domain.changes import Gap, RequestChanged, WorkerChanged
    from boruta.domain.errors import (
        BoardLost,
        BorutaError,
        InfraError,
        InternalLogicError,
        NotFoundError,
        NotPermitted,
        Refused,
        ShuttingDown,
        TimedOut,
        Unavailable,
        Unreachable,
        Unservable,
        UsageError,
    )
    from boruta.domain.interfaces import Dryad, Requests, Superviser, Workers
    from boruta.domain.types import (
        AccessInfo,
        Capabilities,
        Groups,
        JobInfo,
        ListDirection,
        ListFilter,
        ListInfo,
        Page,
        Priority,
        ReqID,
        ReqInfo,
        ReqState,
        SortInfo,
        SortOrder,
        UserInfo,
        WorkerInfo,
        WorkerState,
        WorkerUUID,
    )
    from boruta.farm import Farm
    from boruta.reservation import Reservation

__all__ = [
    "AccessInfo",
    "BoardLost",
    "BorutaError",
    "Capabilities",
    "Client",
    "Dryad",
    "Farm",
    "Gap",
    "Groups",
    "InfraError",
    "InternalLogicError",
    "JobInfo",
    "ListDirection",
    "ListFilter",
    "ListInfo",
    "NotFoundError",
    "NotPermitted",
    "Page",
    "Priority",
    "Refused",
    "ReqID",
    "ReqInfo",
    "ReqState",
    "RequestChanged",
    "Requests",
    "Reservation",
    "ShuttingDown",
    "SortInfo",
    "SortOrder",
    "Superviser",
    "TimedOut",
    "Unavailable",
    "Unreachable",
    "Unservable",
    "UsageError",
    "UserInfo",
    "WorkerChanged",
    "WorkerInfo",
    "WorkerState",
    "WorkerUUID",
    "Workers",
    "__version__",
    "connect",
]

_HOMES = {
    "Client": "boruta.client",
    "connect": "boruta.client",
    "Farm": "boruta.farm",
    "Reservation": "boruta.reservation",
    "Gap": "boruta.domain.changes",
    "RequestChanged": "boruta.domain.changes",
    "WorkerChanged": "boruta.domain.changes",
    "Dryad": "boruta.domain.interfaces",
    "Requests": "boruta.domain.interfaces",
    "Superviser": "boruta.domain.interfaces",
    "Workers": "boruta.domain.interfaces",
}
_ERRORS = frozenset(
    {
        "BoardLost",
        "BorutaError",
        "InfraError",
        "InternalLogicError",
        "NotFoundError",
        "NotPermitted",
        "Refused",
        "ShuttingDown",
        "TimedOut",
        "Unavailable",
        "Unreachable",
        "Unservable",
        "UsageError",
    }
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'boruta' has no attribute {name!r}")
    home = _HOMES.get(name)
    if home is None:
        home = "boruta.domain.errors" if name in _ERRORS else "boruta.domain.types"
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
