"""What the actors tell one another. Commands are imperative, events past tense; all frozen.

A `Question` is answered, perhaps later: ``ref.ask(Close(by=me), timeout=5)`` comes back when the
request has ended. Told, it has the same effect and nobody hears the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from boruta.domain.commands import Registration
from boruta.domain.ports import DryadPort
from boruta.domain.rows import JobRow, RequestRow
from boruta.domain.types import (
    Caller,
    Groups,
    ReqID,
    ReqInfo,
    Role,
    WorkerState,
)

LOCAL = Caller("local", Role.ADMIN)  # a host that embeds the farm


class Question:
    """A message that is answered."""

    __slots__ = ()


# --- to a request
@dataclass(frozen=True, slots=True)
class Close(Question):
    """End the request; `code` is the reason if it is not the caller's wish."""

    by: Caller = LOCAL
    code: str = ""


@dataclass(frozen=True, slots=True)
class Update(Question):
    """Change priority, valid_after or deadline."""

    info: ReqInfo
    by: Caller = LOCAL


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
    """The board of this job went out of reach, or came back."""

    epoch: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class FoundUnservable:
    """No known board could ever serve the request."""

    rev: int


@dataclass(frozen=True, slots=True)
class Due:
    """The timer of a request: of a time in its row, ending_soon or job_end."""

    what: str


RequestMessage: TypeAlias = (
    Close
    | Update
    | Acquire
    | StopAcquiring
    | Prolong
    | Describe
    | Assigned
    | WorkerGone
    | WorkerReach
    | FoundUnservable
    | Due
)


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
class LinkLost:
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
class SetFail(Question):
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
class Gone:
    """The request that a message was for is no more."""

    request: ReqID
    epoch: int


WorkerMessage: TypeAlias = (
    Register
    | LinkLost
    | Assign
    | Release
    | TellEnd
    | SetState
    | SetGroups
    | SetFail
    | RunCheck
    | Deregister
    | Answered
    | WorkerDue
    | PermitGranted
    | Gone
    | Sweep
    | Describe
)
