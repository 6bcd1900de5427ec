"""The nouns of Boruta: requests, workers, jobs, access. Plain frozen data, the seed's names."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, NewType, Protocol, TypeAlias

from boruta.domain.errors import CapsMissingUUID
from boruta.domain.later import AtFirstLook

ReqID: TypeAlias = int
WorkerUUID: TypeAlias = str
Priority: TypeAlias = int
Groups: TypeAlias = tuple[str, ...]
KeyText = NewType("KeyText", str)

HI_PRIO: Final[Priority] = 1
LO_PRIO: Final[Priority] = 16
UUID_CAP: Final = "UUID"


class ReqState(enum.StrEnum):
    """State of a request; values are the seed's strings."""

    WAIT = "WAITING"
    INPROGRESS = "IN PROGRESS"
    CANCEL = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    INVALID = "INVALID"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """No way leads out of this state."""
        return self not in (ReqState.WAIT, ReqState.INPROGRESS)


class WorkerState(enum.StrEnum):
    """State of a worker; PREPARE is on the way to IDLE, BUSY on the way to MAINTENANCE."""

    MAINTENANCE = "MAINTENANCE"
    IDLE = "IDLE"
    RUN = "RUNNING"
    FAIL = "FAILED"
    PREPARE = "PREPARE"
    BUSY = "BUSY"


class Role(enum.StrEnum):
    """What a key may do."""

    WORKER = "worker"
    USER = "user"
    ADMIN = "admin"


class Capabilities(Mapping[str, str]):
    """What a worker has, or what a request asks for: an immutable map of strings."""

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, str] | None = None, /, **more: str) -> None:
        self._values: dict[str, str] = {**(values or {}), **more}
        self._hash: int | None = None

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._values.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Capabilities):
            return self._values == other._values
        if isinstance(other, Mapping):
            return self._values == dict(other)
        return NotImplemented

    def __repr__(self) -> str:
        return f"Capabilities({self._values!r})"

    def as_dict(self) -> dict[str, str]:
        """A dict of its own; quicker than `dict` of a map."""
        return self._values.copy()

    def get_worker_uuid(self) -> WorkerUUID:
        """The worker's UUID.

        Raises:
            CapsMissingUUID: there is no such capability.
        """
        try:
            return self._values[UUID_CAP]
        except KeyError:
            raise CapsMissingUUID(f"caps: the entry {UUID_CAP!r} is missing") from None

    def without_uuid(self) -> Capabilities:
        """The same, less the UUID."""
        return Capabilities({k: v for k, v in self._values.items() if k != UUID_CAP})


NO_CAPS: Final = Capabilities()


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user or an admin; `groups` are the worker groups that his requests may use (none: any)."""

    name: str = ""
    groups: Groups = ()


NOBODY: Final = UserInfo()


class Epoch(NamedTuple):
    """The pair that makes a command of an older life stale (SAFETY, A2); the older one is less."""

    server: int = 0
    board: int = 0


NO_EPOCH: Final = Epoch()


@dataclass(frozen=True, slots=True)
class JobInfo:
    """The board that a request holds, and until when."""

    worker_uuid: WorkerUUID
    timeout: datetime
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """Why a request waits, and how long. `position` counts from 1."""

    position: int
    estimate_s: float | None = None
    why: str = ""
    why_code: str = ""
    holders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReqInfo:
    """A request as anyone may see it. Times are aware UTC, durations seconds.

    For `update_request` only `id`, `priority`, `valid_after` and `deadline` are looked at;
    0 and None leave what is.
    """

    id: ReqID
    priority: Priority = 0
    owner: UserInfo = NOBODY
    note: str = ""
    caps: Capabilities = NO_CAPS
    valid_after: datetime | None = None
    deadline: datetime | None = None
    job_timeout_s: float = 0.0
    bound: bool = False
    state: ReqState = ReqState.WAIT
    reason: str = ""
    reason_code: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    prolongs_left: int = 0
    job: JobInfo | None = None
    queue: QueueInfo | None = None


# In a list why a request waits is put into words when somebody looks.
setattr(ReqInfo, "queue", AtFirstLook(ReqInfo.__dict__["queue"]))  # noqa: B010


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as anyone may see it; `request` is the one that holds it."""

    worker_uuid: WorkerUUID
    state: WorkerState
    groups: Groups = ()
    caps: Capabilities = NO_CAPS
    reason: str = ""
    reason_code: str = ""
    online: bool = False
    since: datetime | None = None
    last_seen: datetime | None = None
    request: ReqID | None = None


@dataclass(frozen=True, slots=True)
class AccessInfo:
    """How to reach the board over SSH, for one job. `key` never shows in a repr or a log."""

    host: str
    port: int
    username: str
    key: str = field(repr=False)
    host_keys: tuple[str, ...] = ()
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Prolonged:
    """The job's new end, and how many prolongs are left."""

    timeout: datetime
    prolongs_left: int


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of a board's healthcheck."""

    name: str
    ok: bool
    detail: str = ""


class ListFilter(Protocol):
    """Chooses requests of a list. One of your own works in process only."""

    def match(self, req: ReqInfo) -> bool:
        """Whether the request belongs to the list."""
        ...


class SortOrder(enum.StrEnum):
    """Order of a list."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


class ListDirection(enum.StrEnum):
    """On which side of the border the page lies."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True, slots=True)
class SortInfo:
    """By what a list is sorted; an empty item is the id or the uuid."""

    item: str = ""
    order: SortOrder = SortOrder.ASCENDING


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. `id` is the border, never returned itself; limit 0 is the most."""

    id: ReqID | WorkerUUID | None = None
    direction: ListDirection = ListDirection.FORWARD
    limit: int = 0


@dataclass(frozen=True, slots=True)
class ListInfo:
    """How many match in all, and how many lie beyond the page."""

    total: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key's name, role and groups, and the session that owns what he holds."""

    name: str
    role: Role
    groups: Groups = ()
    session: bytes = b""

    @property
    def is_admin(self) -> bool:
        """Whether the key is an admin's."""
        return self.role is Role.ADMIN
