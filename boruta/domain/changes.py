"""News of requests and workers, as told to those who watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from boruta.domain.types import ReqInfo, WorkerInfo


@dataclass(frozen=True, slots=True)
class RequestChanged:
    """A request was created or changed.

    `kind` is created, assigned, acquired, prolonged, updated, out_of_reach, back, job_ending or
    ended.
    """

    seq: str
    kind: str
    at: datetime
    request: ReqInfo


@dataclass(frozen=True, slots=True)
class WorkerChanged:
    """A worker registered or changed.

    `kind` is registered, online, offline, state, groups or deregistered.
    """

    seq: str
    kind: str
    at: datetime
    worker: WorkerInfo


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes were lost to this watcher; read the lists anew."""

    seq: str
    at: datetime


Change: TypeAlias = RequestChanged | WorkerChanged | Gap
