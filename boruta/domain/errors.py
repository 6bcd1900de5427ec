"""Every error that Boruta raises: one tree, each leaf with a stable code.

::

    BorutaError
    +-- UsageError            (exit 2) the caller's input is wrong; correct it and call again
    |   +-- BadRequest, BadCaps, PriorityOutOfBounds, TimeRangeIllegal, DeadlinePast, BadTime,
    |   |   BadSort, BadPage, CapsMissingUUID, BadAddress, StateNotAllowed, TooLarge, BadConfig
    |   +-- ProtocolError     the peer does not speak our protocol
    |       +-- BadFrame, UnsupportedProtocol, HelloRequired, UnknownType
    +-- NotFoundError         (exit 3) no such request, worker or page border
    +-- NotPermitted          (exit 4) the key's role or groups do not allow it
    +-- Refused               (exit 5) not in this state
    |   +-- ActionRefused, WorkerNotAssigned, TransitionRefused, WorkerNotRemovable, FailRefused,
    |       ProlongLimit, UUIDInUse, StaleEpoch, TokenConflict
    +-- TimedOut              (exit 6) the time that the caller gave is over
    +-- Unservable            (exit 7) no known board could ever serve it
    +-- InfraError            (exit 8) the board or its agent failed
    |   +-- BoardLost, SessionAlive
    +-- Unavailable           (exit 9) try again later, details.retry_after_s says when
    |   +-- Unreachable, StoreUnavailable, NotLeader, ShuttingDown, Busy
    +-- InternalLogicError    (exit 1) a defect of Boruta's; nothing the caller can mend

`code` goes over the wire and never changes; `message` is for people and may.
"""

from __future__ import annotations

from typing import ClassVar


class BorutaError(Exception):
    """Root of the tree.

    Args:
        message: what was wrong, where, and what is allowed.
        details: plain values for programs; they travel over the wire.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str = "", /, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.details))


def _rebuild(kind: type[BorutaError], message: str, details: dict[str, object]) -> BorutaError:
    return kind(message, **details)


class UsageError(BorutaError):
    """The caller's input is wrong; correct it and call again."""

    code = "bad_request"
    exit_status = 2


class BadRequest(UsageError):
    """A field is missing, of the wrong type or out of range."""


class BadCaps(UsageError):
    """A requirement does not follow the grammar of capabilities."""

    code = "bad_caps"


class PriorityOutOfBounds(UsageError):
    """A priority outside 1 (most important) .. 16."""

    code = "priority_out_of_bounds"


class TimeRangeIllegal(UsageError):
    """valid_after is later than the deadline."""

    code = "time_range_illegal"


class DeadlinePast(UsageError):
    """The deadline has passed already."""

    code = "deadline_past"


class BadTime(UsageError):
    """A time or a duration that cannot be read or kept."""

    code = "bad_time"


class BadSort(UsageError):
    """An unknown item to sort by, or an unknown order."""

    code = "bad_sort"


class BadPage(UsageError):
    """A page limit or direction that is not allowed."""

    code = "bad_page"


class CapsMissingUUID(UsageError):
    """A worker registers without the capability UUID."""

    code = "caps_missing_uuid"


class BadAddress(UsageError):
    """An address without a port, or one that the server may not dial."""

    code = "bad_address"


class StateNotAllowed(UsageError):
    """An admin may set IDLE and MAINTENANCE alone."""

    code = "state_not_allowed"


class TooLarge(UsageError):
    """A text, a map or a frame over its limit."""

    code = "too_large"


class BadConfig(UsageError):
    """A configuration that cannot be used; names file, key and line."""


class ProtocolError(UsageError):
    """The peer does not speak our protocol."""

    code = "bad_frame"


class BadFrame(ProtocolError):
    """A frame that is no message of protocol 1."""


class UnsupportedProtocol(ProtocolError):
    """No common protocol version; details.protocols has ours."""

    code = "unsupported_protocol"


class HelloRequired(ProtocolError):
    """Something was said before `hello`."""

    code = "hello_required"


class UnknownType(ProtocolError):
    """A call that this end does not have."""

    code = "unknown_type"


class NotFoundError(BorutaError):
    """The searched element is missing."""

    code = "not_found"
    exit_status = 3


class NotPermitted(BorutaError):
    """The key's role, name or groups do not allow it."""

    code = "not_permitted"
    exit_status = 4


class Refused(BorutaError):
    """Not in this state. Nothing has changed."""

    code = "action_refused"
    exit_status = 5


class ActionRefused(Refused):
    """The request's state does not allow it."""


class WorkerNotAssigned(Refused):
    """The request has no board: it waits or has ended (details.state)."""

    code = "worker_not_assigned"


class TransitionRefused(Refused):
    """The worker's state does not lead to the one asked for."""

    code = "transition_refused"


class WorkerNotRemovable(Refused):
    """Only a worker in MAINTENANCE or FAILED is deregistered."""

    code = "worker_not_removable"


class FailRefused(Refused):
    """A worker in MAINTENANCE or BUSY cannot be set FAILED."""

    code = "fail_refused"


class ProlongLimit(Refused):
    """The request was prolonged as often, or as long, as is allowed."""

    code = "prolong_limit"


class UUIDInUse(Refused):
    """Another live agent, or another key, has this UUID."""

    code = "uuid_in_use"


class StaleEpoch(Refused):
    """A command from an older life of the board or the server."""

    code = "stale_epoch"


class TokenConflict(Refused):
    """The same token came with another body."""

    code = "token_conflict"


class TimedOut(BorutaError):
    """The time that the caller gave is over."""

    code = "timed_out"
    exit_status = 6


class Unservable(BorutaError):
    """No known board, offline ones included, could ever serve it."""

    code = "unservable"
    exit_status = 7


class InfraError(BorutaError):
    """The board or its agent failed; not the caller's fault."""

    code = "board_lost"
    exit_status = 8


class BoardLost(InfraError):
    """The board was lost or taken away while it was held."""


class SessionAlive(InfraError):
    """Processes of a holder outlived the end of his session."""

    code = "session_alive"


class Unavailable(BorutaError):
    """Not now; details.retry_after_s says when to try again."""

    code = "unreachable"
    exit_status = 9

    def __init__(self, message: str = "", /, **details: object) -> None:
        details.setdefault("retry_after_s", 1.0)
        super().__init__(message, **details)


class Unreachable(Unavailable):
    """The server or the board is out of reach."""


class StoreUnavailable(Unavailable):
    """The store does not take changes now."""

    code = "store_unavailable"


class NotLeader(Unavailable):
    """Another server leads; details.servers has the addresses."""

    code = "not_leader"


class ShuttingDown(Unavailable):
    """The server, the farm or the client is closing."""

    code = "shutting_down"


class Busy(Unavailable):
    """A bound was reached; try again later."""

    code = "busy"


class InternalLogicError(BorutaError):
    """Boruta has detected unexpected behaviour of its own."""
