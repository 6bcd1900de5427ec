"""What the matcher is told, and asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from actors.messages import Sweep
from boruta.domain.rows import RequestRow, WorkerRow
from boruta.domain.types import Capabilities, Groups, ReqID, WorkerUUID


@dataclass(frozen=True, slots=True)
class RequestReady:
    """The request may be matched; again after each change of its row."""

    request: RequestRow


@dataclass(frozen=True, slots=True)
class RequestLeft:
    """The request is not to be matched any more."""

    id: ReqID


@dataclass(frozen=True, slots=True)
class WorkerKnown:
    """A worker exists, whatever its state; again when its caps or groups change."""

    worker: WorkerRow


@dataclass(frozen=True, slots=True)
class WorkerForgotten:
    """A worker was deregistered."""

    uuid: WorkerUUID


@dataclass(frozen=True, slots=True)
class WorkerOffered:
    """The worker may be lent."""

    uuid: WorkerUUID
    recently_failed: bool = False


@dataclass(frozen=True, slots=True)
class WorkerWithdrawn:
    """The worker may not be lent."""

    uuid: WorkerUUID


@dataclass(frozen=True, slots=True)
class AssignRefused:
    """The worker did not take the request; it goes back to its place."""

    request: ReqID
    rev: int
    worker: WorkerUUID


@dataclass(frozen=True, slots=True)
class ExplainWaiting:
    """Answer with a map from id to QueueInfo, of the first few if there are many, by `ask`."""

    requests: Sequence[RequestRow]


@dataclass(frozen=True, slots=True)
class IsServable:
    """Answer with the keys that no known worker has, None if one could serve, by `ask`."""

    caps: Capabilities
    groups: Groups


@dataclass(frozen=True, slots=True)
class Match:
    """Match what can be matched now."""


MatcherMessage: TypeAlias = (
    RequestReady
    | RequestLeft
    | WorkerKnown
    | WorkerForgotten
    | WorkerOffered
    | WorkerWithdrawn
    | AssignRefused
    | ExplainWaiting
    | IsServable
    | Match
    | Sweep
)
