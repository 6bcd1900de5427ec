"""What is printed: requests, workers and access as tables, JSON or ids."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from boruta.cli.talk import clean, coloured
from boruta.domain.types import AccessInfo, Check, ReqInfo, ReqState, WorkerInfo

COLOURS: Final = {
    "IN PROGRESS": "green",
    "IDLE": "green",
    "RUNNING": "cyan",
    "WAITING": "yellow",
    "PREPARE": "yellow",
    "BUSY": "yellow",
    "FAILED": "red",
    "INVALID": "red",
    "TIMEOUT": "red",
    "WRONG": "red",
}
LEAST: Final = 12  # a column of a table too wide for the terminal is not narrowed further
_UNUSUAL: Final = re.compile(r"[^\n -~]")
ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"


def when(time: datetime | None) -> str | None:
    """RFC 3339 UTC with `Z`."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def stamp(time: datetime | None) -> str:
    """A time for people: to the second, UTC."""
    return "-" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def brief(time: datetime | None) -> str:
    """A time for a cell: of today the time, else the day; UTC."""
    if time is None:
        return "-"
    there, today = time.astimezone(UTC), datetime.now(UTC)
    if there.date() == today.date():
        return f"{there:%H:%M:%S}Z"
    return f"{there:%m-%d %H:%M}Z" if there.year == today.year else f"{there:%Y-%m-%d}"


def request_json(info: ReqInfo) -> dict[str, Any]:
    """The request as JSON has it."""
    job, queue = info.job, info.queue
    return {
        "id": info.id,
        "priority": info.priority,
        "owner": {"name": info.owner.name, "groups": list(info.owner.groups)},
        "note": info.note,
        "caps": dict(info.caps),
        "valid_after": when(info.valid_after),
        "deadline": when(info.deadline),
        "job_timeout_s": info.job_timeout_s,
        "bound": info.bound,
        "state": info.state.value,
        "reason": info.reason,
        "reason_code": info.reason_code,
        "created": when(info.created),
        "started": when(info.started),
        "ended": when(info.ended),
        "prolongs_left": info.prolongs_left,
        "job": None
        if job is None
        else {"worker_uuid": job.worker_uuid, "timeout": when(job.timeout), "epoch": job.epoch},
        "queue": None
        if queue is None
        else {
            "position": queue.position,
            "estimate_s": queue.estimate_s,
            "why": queue.why,
            "why_code": queue.why_code,
            "holders": list(queue.holders),
        },
    }


def worker_json(info: WorkerInfo) -> dict[str, Any]:
    """The worker as JSON has it."""
    return {
        "worker_uuid": info.worker_uuid,
        "state": info.state.value,
        "groups": list(info.groups),
        "caps": dict(info.caps),
        "reason": info.reason,
        "reason_code": info.reason_code,
        "online": info.online,
        "since": when(info.since),
        "last_seen": when(info.last_seen),
        "request": info.request,
    }


def access_json(access: AccessInfo) -> dict[str, Any]:
    """How to reach the board, the private key included: whoever asks for it holds the board."""
    return {
        "host": access.host,
        "port": access.port,
        "username": access.username,
        "key": access.key,
        "host_keys": list(access.host_keys),
        "expires": when(access.expires),
    }


def check_json(check: Check) -> dict[str, Any]:
    """One finding of a healthcheck."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail}


def print_json(value: object, *, line: bool = False) -> None:
    """One object or one array; on one line where more of them follow.

    What JSON leaves as it is and a terminal obeys, as U+009B, is escaped.
    """
    text = json.dumps(value, indent=None if line else 2, ensure_ascii=False)
    click.echo(_UNUSUAL.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def caps_words(caps: Mapping[str, str]) -> str:
    """Capabilities in one line."""
    return " ".join(f"{key}={value}" for key, value in sorted(caps.items()))


def table_lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None, colour: bool
) -> list[str]:
    """The lines of a table.

    Args:
        head: the columns' names.
        rows: their cells; an empty one shows as `-`.
        width: what a terminal has; None: nothing is cut.
        colour: whether states are coloured.
    """
    cells = [list(head), *([clean(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        widths = _narrowed(widths, width)
    lines = []
    for row in cells:
        # Columns that find no room are left out: the last ones tell least.
        texts = [_cut(cell, most).ljust(most) for cell, most in zip(row, widths, strict=False)]
        lines.append("  ".join(_styled(text) if colour else text for text in texts).rstrip())
    return lines


def _narrowed(widths: Sequence[int], width: int) -> list[int]:
    """The widest columns give way, the first (what names the row) last of all."""
    found = list(widths)
    while (over := sum(found) + 2 * (len(found) - 1) - width) > 0:
        at = max(range(1, len(found)), key=found.__getitem__, default=0)
        if found[at] <= LEAST:
            if len(found) == 1:
                return [width]
            found.pop()
            continue
        second = max((w for i, w in enumerate(found) if i not in (0, at)), default=LEAST)
        found[at] -= min(over, max(1, found[at] - max(second, LEAST)))
    return found


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + ELLIPSIS


def _styled(padded: str) -> str:
    colour = COLOURS.get(padded.strip())
    return padded if colour is None else click.style(padded, fg=colour)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: the same in a pipe, but there nothing is cut or coloured."""
    width = None
    if sys.stdout.isatty():
        import shutil

        width = shutil.get_terminal_size().columns
    for line in table_lines(head, rows, width=width, colour=coloured()):
        click.echo(line)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """One thing, a line for each of its fields."""
    found = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        text = clean(value)
        click.echo(f"{name.ljust(width)}  {_styled(text) if coloured() else text}")


REQUEST_HEAD: Final = ("ID", "STATE", "PRIO", "OWNER", "SINCE", "UNTIL", "WORKER / WHY", "NOTE")


def request_row(info: ReqInfo) -> list[str]:
    """A request's line: one column is either where it runs or why it waits or ended."""
    since = info.ended or info.started or info.created
    until: datetime | None = None
    if info.state is ReqState.INPROGRESS and info.job is not None:
        where, until = info.job.worker_uuid, info.job.timeout
        if info.reason:
            where += f" ({info.reason})"
    elif info.queue is not None:
        where, until = f"#{info.queue.position}: {info.queue.why}", info.deadline
    else:
        where = info.reason
    return [
        str(info.id),
        info.state.value,
        str(info.priority),
        info.owner.name,
        brief(since),
        brief(until),
        where,
        info.note,
    ]


def print_requests(infos: Sequence[ReqInfo], output: str) -> None:
    """A list of requests."""
    if output == "json":
        print_json([request_json(info) for info in infos])
    elif output == "id":
        for info in infos:
            click.echo(str(info.id))
    else:
        table(REQUEST_HEAD, [request_row(info) for info in infos])


def print_request(info: ReqInfo, output: str) -> None:
    """One request."""
    if output == "json":
        print_json(request_json(info))
    elif output == "id":
        click.echo(str(info.id))
    else:
        fields(_of_request(info))


def _of_request(info: ReqInfo) -> list[tuple[str, str]]:
    job, queue = info.job, info.queue
    return [
        ("id", str(info.id)),
        ("state", info.state.value),
        ("reason", f"{info.reason}  [{info.reason_code}]" if info.reason_code else info.reason),
        ("worker", "" if job is None else job.worker_uuid),
        ("job ends", "" if job is None or info.state.ended else stamp(job.timeout)),
        ("queue", "" if queue is None else f"#{queue.position}"),
        ("why", "" if queue is None else f"{queue.why}  [{queue.why_code}]"),
        ("holders", "" if queue is None else "; ".join(queue.holders)),
        ("estimate", _seconds(None if queue is None else queue.estimate_s)),
        ("priority", str(info.priority)),
        ("owner", info.owner.name),
        ("groups", " ".join(info.owner.groups)),
        ("caps", caps_words(info.caps)),
        ("valid after", stamp(info.valid_after)),
        ("deadline", stamp(info.deadline)),
        ("job time", _seconds(info.job_timeout_s)),
        ("prolongs left", str(info.prolongs_left)),
        ("bound", "yes" if info.bound else ""),
        ("created", stamp(info.created)),
        ("started", stamp(info.started) if info.started else ""),
        ("ended", stamp(info.ended) if info.ended else ""),
        ("note", info.note),
    ]


def _seconds(value: float | None) -> str:
    from boruta.domain.durations import format_duration

    return "" if value is None else format_duration(value)
