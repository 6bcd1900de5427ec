"""Rows as the tables have them, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from boruta.domain.rows import JobRow, ProlongedBy, RequestRow, Row, WorkerRow
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.store.seal import Seal, job_label, worker_label

R = TypeVar("R", bound=Row)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A text that no database takes as it is (NUL, half of a surrogate pair) is written as JSON behind
# this mark, and so is one that begins with it.
_MARK: Final = "\x01json:"


# Of a row that changes most values are as they were: what they come to is looked up, which takes a
# quarter of the time.
@lru_cache(8192)
def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def time_of(micros: int) -> datetime:
    """The time so many microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def _micros(time: datetime | None) -> int | None:
    return None if time is None else micros(time)


def _time(value: int | None) -> datetime | None:
    return None if value is None else time_of(value)


@lru_cache(8192)
def text(value: str) -> str:
    """A text as any database takes it."""
    if value.isascii() and value.isprintable():
        return value  # nearly all of them
    if "\0" in value or value.startswith(_MARK):
        return _MARK + json.dumps(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        return _MARK + json.dumps(value)
    return value


def untext(value: str) -> str:
    """What `text` was given."""
    return str(json.loads(value[len(_MARK) :])) if value.startswith(_MARK) else value


@lru_cache(4096)
def _caps(caps: Capabilities) -> str:
    return json.dumps(dict(caps), separators=(",", ":"))


@lru_cache(4096)
def _caps_hash(caps: Capabilities) -> str:
    same = json.dumps(dict(caps), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(same.encode()).hexdigest()[:32]


@lru_cache(4096)
def _read_caps(value: str) -> Capabilities:
    return Capabilities(json.loads(value))


@lru_cache(4096)
def _texts(values: tuple[str, ...]) -> str:
    return json.dumps(values, separators=(",", ":"))


@lru_cache(4096)
def _read_texts(value: str) -> tuple[str, ...]:
    return tuple(json.loads(value))


@dataclass(frozen=True, slots=True)
class Columns(Generic[R]):
    """One table: its columns in order (the key first, then rev), and both ways."""

    table: str
    names: tuple[str, ...]
    encode: Callable[[R, Seal], tuple[Any, ...]]
    decode: Callable[[Any, Seal], R]


def _encode_request(row: RequestRow, seal: Seal) -> tuple[Any, ...]:
    return (
        row.id,
        row.rev,
        row.state._value_,
        row.priority,
        row.queue_seq,
        _caps(row.caps),
        _caps_hash(row.caps),
        micros(row.valid_after),
        micros(row.deadline),
        row.job_timeout_s,
        micros(row.created),
        text(row.owner_name),
        _texts(row.owner_groups),
        text(row.note),
        None if row.token is None else text(row.token),
        row.body_hash,
        row.session,
        int(row.bound),
        text(row.reason),
        text(row.reason_code),
        _micros(row.started),
        _micros(row.ended),
    )


def _decode_request(row: Any, seal: Seal) -> RequestRow:
    return RequestRow(
        id=row[0],
        rev=row[1],
        state=ReqState(row[2]),
        priority=row[3],
        queue_seq=row[4],
        caps=_read_caps(row[5]),
        valid_after=time_of(row[7]),
        deadline=time_of(row[8]),
        job_timeout_s=row[9],
        created=time_of(row[10]),
        owner_name=untext(row[11]),
        owner_groups=_read_texts(row[12]),
        note=untext(row[13]),
        token=None if row[14] is None else untext(row[14]),
        body_hash=bytes(row[15]),
        session=bytes(row[16]),
        bound=bool(row[17]),
        reason=untext(row[18]),
        reason_code=untext(row[19]),
        started=_time(row[20]),
        ended=_time(row[21]),
    )


def _prolongs(done: tuple[ProlongedBy, ...]) -> str | None:
    """The prolongs of a job that bore a token: at most as many as a job may have, a small list."""
    return json.dumps([(*one[:2], micros(one[2]), one[3]) for one in done]) if done else None


def _read_prolongs(value: str | None) -> tuple[ProlongedBy, ...]:
    return tuple(
        ProlongedBy(name, token, time_of(ends_at), number)
        for name, token, ends_at, number in json.loads(value or "[]")
    )


def _encode_job(row: JobRow, seal: Seal) -> tuple[Any, ...]:
    return (
        row.request_id,
        row.rev,
        text(row.worker_uuid),
        row.board_epoch,
        micros(row.started),
        micros(row.ends_at),
        row.end_rev,
        seal.close(row.key, job_label(row.request_id, row.worker_uuid, row.board_epoch)),
        seal.key_id,
        text(row.username),
        _texts(row.host_keys),
        text(row.tunnel_host),
        row.tunnel_port,
        _micros(row.acquired_at),
        row.prolongs,
        _prolongs(row.prolonged_by),
        _micros(row.ended_at),
        text(row.end_reason),
    )


def _decode_job(row: Any, seal: Seal) -> JobRow:
    uuid = untext(row[2])
    return JobRow(
        request_id=row[0],
        rev=row[1],
        worker_uuid=uuid,
        board_epoch=row[3],
        started=time_of(row[4]),
        ends_at=time_of(row[5]),
        end_rev=row[6],
        key=seal.open(row[7], job_label(row[0], uuid, row[3]), row[8]) or "",
        username=untext(row[9]),
        host_keys=_read_texts(row[10]),
        tunnel_host=untext(row[11]),
        tunnel_port=row[12],
        acquired_at=_time(row[13]),
        prolongs=row[14],
        prolonged_by=_read_prolongs(row[15]),
        ended_at=_time(row[16]),
        end_reason=untext(row[17]),
    )


def _encode_worker(row: WorkerRow, seal: Seal) -> tuple[Any, ...]:
    return (
        text(row.uuid),
        row.rev,
        row.state._value_,
        _caps(row.caps),
        _texts(row.groups),
        row.server_epoch,
        row.board_epoch,
        text(row.owner_key),
        row.session,
        text(row.reason),
        text(row.reason_code),
        row.failures,
        row.short_jobs,
        _micros(row.failed_at),
        _micros(row.since),
        text(row.ssh_address),
        text(row.username),
        _texts(row.host_keys),
        seal.close(row.prepared_key, worker_label(row.uuid, row.board_epoch)),
        seal.key_id,
        int(row.drain),
        row.request_id,
    )


def _decode_worker(row: Any, seal: Seal) -> WorkerRow:
    uuid = untext(row[0])
    return WorkerRow(
        uuid=uuid,
        rev=row[1],
        state=WorkerState(row[2]),
        caps=_read_caps(row[3]),
        groups=_read_texts(row[4]),
        server_epoch=row[5],
        board_epoch=row[6],
        owner_key=untext(row[7]),
        session=bytes(row[8]),
        reason=untext(row[9]),
        reason_code=untext(row[10]),
        failures=row[11],
        short_jobs=row[12],
        failed_at=_time(row[13]),
        since=_time(row[14]),
        ssh_address=untext(row[15]),
        username=untext(row[16]),
        host_keys=_read_texts(row[17]),
        prepared_key=seal.open(row[18], worker_label(uuid, row[6]), row[19]) or "",
        drain=bool(row[20]),
        request_id=row[21],
    )


def _named(names: str) -> tuple[str, ...]:
    return tuple(names.split())


REQUESTS: Final = Columns(
    "requests",
    _named(
        "id rev state priority queue_seq caps caps_hash valid_after deadline job_timeout_s created "
        "owner_name owner_groups note token body_hash session bound reason reason_code started "
        "ended"
    ),
    _encode_request,
    _decode_request,
)
JOBS: Final = Columns(
    "jobs",
    _named(
        "request_id rev worker_uuid board_epoch started ends_at end_rev key_enc store_key_id "
        "username host_keys tunnel_host tunnel_port acquired_at prolongs prolonged_by "
        "ended_at end_reason"
    ),
    _encode_job,
    _decode_job,
)
WORKERS: Final = Columns(
    "workers",
    _named(
        "uuid rev state caps groups server_epoch board_epoch owner_key session reason reason_code "
        "failures short_jobs failed_at since ssh_address username host_keys prepared_key_enc "
        "store_key_id drain request_id"
    ),
    _encode_worker,
    _decode_worker,
)
TABLES: Final[Mapping[type[Row], Columns[Any]]] = {
    RequestRow: REQUESTS,
    JobRow: JOBS,
    WorkerRow: WORKERS,
}
# Where a sealed key stands in a row, and what names it for a person.
SEALED_JOB: Final = JOBS.names.index("key_enc")
SEALED_WORKER: Final = WORKERS.names.index("prepared_key_enc")
