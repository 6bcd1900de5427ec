"""What each kind of actor takes, of `actors.messages`."""

from __future__ import annotations

from typing import TypeAlias

from actors.messages import (
    Acquire,
    Answered,
    Assign,
    Assigned,
    AssignRefused,
    Close,
    Deregister,
    Describe,
    Due,
    Explain,
    ExplainWaiting,
    FoundUnservable,
    Gone,
    IsServable,
    LinkLost,
    Match,
    OfferAgain,
    PermitGranted,
    Prolong,
    Rebind,
    Register,
    Release,
    RequestLeft,
    RequestReady,
    RunCheck,
    SetFail,
    SetGroups,
    SetState,
    StopAcquiring,
    Sweep,
    TellEnd,
    Update,
    WorkerDue,
    WorkerForgotten,
    WorkerGone,
    WorkerKnown,
    WorkerOffered,
    WorkerReach,
    WorkerWithdrawn,
)

RequestMessage: TypeAlias = (
    Close
    | Update
    | Acquire
    | StopAcquiring
    | Prolong
    | Rebind
    | Describe
    | Assigned
    | WorkerGone
    | WorkerReach
    | FoundUnservable
    | Due
)

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
    | Explain
    | Sweep
)

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
    | OfferAgain
    | Gone
    | Sweep
    | Describe
)
