"""What the actors tell one another. Commands are imperative, events past tense; all frozen.

A `Question` is answered, perhaps later: ``ref.ask(Close(by=me), timeout=5)`` comes back when the
request has ended. Told, it has the same effect and nobody hears the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boruta.domain.commands import KeptJob, Registration
from boruta.domain.ports import DryadPort
from boruta.domain.rows import JobRow, RequestRow, WorkerRow
from boruta.domain.types import (
    Caller,
    Capabilities,
    Groups,
    ReqID,
    ReqInfo,
    Role,
    WorkerState,
    WorkerUUID,
)

LOCAL = Caller("local", Role.ADMIN)  # a host that embeds the farm


class Question:
    """A message that is answered."""

    __slots__ = ()


class Once:
    """A message that nobody tells again: one that meets an actor which fails is kept.

    Others are made good by what a restarted actor reads in the store.
    """

    __slots__ = ()


# --- to a request
@dataclass(frozen=True, slots=True)
class Close(Question, Once):
    """End the request; `code` is the reason if it is not the caller's wish."""

    by: Caller = LOCAL
    code: str = ""


@dataclass(frozen=True, slots=True)
class Update(Question):
    """Change priority, valid_after or deadline."""

    info: ReqInfo
    by: Caller = LOCAL


@dataclass(frozen=True, slots=True)
class Rebind(Question):
    """The request, a bound one, lives no longer than this caller's session from now on."""

    by: Caller


@dataclass(frozen=True, slots=True)
class Acquire(Question):
    """Answer with the board's AccessInfo as soon as there is one."""

    by: Caller = LOCAL
    reached_at: str = ""


@dataclass(frozen=True, slots=True)
class StopAcquiring:
    """Whoever sent this `Acquire` does not wait any more; `late` answers him with TimedOut."""

    waiter: Acquire
    late: bool = False


@dataclass(frozen=True, slots=True)
class Prolong(Question):
    """Set the job's end anew."""

    by: Caller = LOCAL
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """Answer with the actor's ReqInfo or WorkerInfo, by `ask`."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The claim was committed: the request holds a board."""

    request: RequestRow
    job: JobRow


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """The board of this job is gone."""

    epoch: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerReach:
    """The board of this job went out of reach, or is back; `kept` is what its agent says of it."""

    epoch: int
    reachable: bool
    kept: KeptJob | None = None


@dataclass(frozen=True, slots=True)
class FoundUnservable:
    """No known board could ever serve the request."""

    rev: int


@dataclass(frozen=True, slots=True)
class Due:
    """The timer of a request: of a time in its row, ending_soon or job_end."""

    what: str


# --- to the matcher
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
class ExplainWaiting(Question):
    """Answer with `showing.Waits`, after some turns if there are many."""

    requests: Sequence[RequestRow]


@dataclass(frozen=True, slots=True)
class IsServable:
    """Answer with the keys that no known worker has, None if one could serve, by `ask`."""

    caps: Capabilities
    groups: Groups


@dataclass(frozen=True, slots=True)
class Match:
    """Match what can be matched now."""


@dataclass(frozen=True, slots=True)
class Explain:
    """Work on at what was asked by `ExplainWaiting`."""


# --- to a worker
@dataclass(frozen=True, slots=True)
class Sweep:
    """Look for messages that were lost (SAFETY, A6)."""


@dataclass(frozen=True, slots=True)
class Register(Question):
    """Its agent registered over `port`."""

    said: Registration
    by: Caller
    port: DryadPort


@dataclass(frozen=True, slots=True)
class LinkLost(Once):
    """The connection `port` is gone."""

    port: DryadPort


@dataclass(frozen=True, slots=True)
class Assign:
    """Claim yourself for this request."""

    request: RequestRow


@dataclass(frozen=True, slots=True)
class Release:
    """The request of this job ended: take the board back."""

    request: ReqID
    epoch: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class TellEnd:
    """The job's end changed: tell the agent."""

    job: JobRow


@dataclass(frozen=True, slots=True)
class SetState(Question):
    """An admin wants IDLE or MAINTENANCE."""

    state: WorkerState
    reason: str = ""
    drain: bool = False
    by: Caller = LOCAL


@dataclass(frozen=True, slots=True)
class SetGroups(Question):
    """An admin wants other groups."""

    groups: Groups
    by: Caller = LOCAL


@dataclass(frozen=True, slots=True)
class SetFail(Question, Once):
    """The agent reports a failure."""

    reason: str
    by: Caller = LOCAL


@dataclass(frozen=True, slots=True)
class RunCheck(Question):
    """Have the agent check its board; answers with its findings."""


@dataclass(frozen=True, slots=True)
class Deregister(Question):
    """Forget the worker."""

    by: Caller = LOCAL


@dataclass(frozen=True, slots=True)
class Answered:
    """The agent answered a command, or did not."""

    epoch: int
    command: str
    outcome: object


@dataclass(frozen=True, slots=True)
class WorkerDue:
    """A timer of the worker: retry, grace, settled or maintenance."""

    what: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class PermitGranted:
    """The worker may be prepared now."""

    epoch: int


@dataclass(frozen=True, slots=True)
class OfferAgain:
    """The matcher is a new one: say again whether you may be lent."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The request that a message was for is no more."""

    request: ReqID
    epoch: int
