"""What the server asks of an agent, and what an agent tells when it registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from boruta.domain.types import NO_EPOCH, Capabilities, Check, Epoch, ReqID, WorkerInfo


@dataclass(frozen=True, slots=True)
class Prepare:
    """End every earlier session, sweep, and let `key` in.

    `key` is an OpenSSH public key line; `default_lease_s` counts from the first login until the
    lease arrives.
    """

    epoch: Epoch
    key: str
    default_lease_s: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The job `id` ends in `remaining_s` seconds; a newer `end_rev` replaces an older one."""

    epoch: Epoch
    id: ReqID
    remaining_s: float
    end_rev: int


@dataclass(frozen=True, slots=True)
class PutInMaintenance:
    """End every session and show `msg` on the board."""

    epoch: Epoch
    msg: str


@dataclass(frozen=True, slots=True)
class EndSession:
    """End the session of `epoch` and of every earlier one."""

    epoch: Epoch
    reason: str


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Tell how the board is."""


Command: TypeAlias = Prepare | Lease | PutInMaintenance | EndSession | Healthcheck


@dataclass(frozen=True, slots=True)
class PrepareDone:
    """The key is in; `host_keys` are public key lines without a host."""

    username: str
    host_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The command was carried out."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The findings of a healthcheck."""

    checks: tuple[Check, ...]


CommandReply: TypeAlias = PrepareDone | Done | Checks


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A job that goes on: on the agent when it registers, in the store when it is answered."""

    id: ReqID
    epoch: int
    remaining_s: float
    end_rev: int


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that the agent ended by its own clock while it was out of reach."""

    id: ReqID
    epoch: int
    reason_code: str


@dataclass(frozen=True, slots=True)
class Registration:
    """What an agent says of itself.

    `epoch` is the highest pair it has seen, `ssh_address` where its SSH listens (host:port, the
    host filled in by the edge), `session` the 16 bytes of its process.
    """

    caps: Capabilities
    ssh_address: str
    dryad_address: str = ""
    epoch: Epoch = NO_EPOCH
    job: KeptJob | None = None
    ended: EndedJob | None = None
    session: bytes = b""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the server answers: the worker as it stands, the epoch from now on, and the job.

    `job` goes on, if there is one; `first` says that the server did not know this worker before.
    """

    worker: WorkerInfo
    epoch: Epoch
    job: KeptJob | None = None
    first: bool = False
