"""Whether ledgers, store and boards agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from boruta.domain.types import ReqState
from tests.crash.kept import Kept

Line = dict[str, Any]
# The agent's clock corrects an end that was read from the store by less than this.
CLOCKS = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be; `request` is 0 if it is about none."""

    text: str
    request: int = 0


def ledger_findings(ledger: Sequence[Line], kept: Kept) -> Iterator[Finding]:
    """What clients were told against what is kept."""
    yield from _created(ledger, kept)
    answers: dict[int, list[Line]] = defaultdict(list)
    for line in ledger:
        if "id" in line and line["what"] != "visit":
            answers[line["id"]].append(line)
    for req_id, lines in answers.items():
        row = kept.requests.get(req_id)
        if row is None:
            continue  # said already
        if any(_done(line, "close") for line in lines) and not row.state.ended:
            yield Finding(f"its close was answered, and it is {row.state.value}", req_id)
        if row.reason_code == "client_lost":
            yield Finding("its client was there all the time, and it ended as client_lost", req_id)
        yield from _priority(req_id, lines, row.priority)
        yield from _prolonged(req_id, lines, kept)


def _done(line: Line, what: str) -> bool:
    return line["what"] == what and "answer" in line


def _created(ledger: Sequence[Line], kept: Kept) -> Iterator[Finding]:
    by_note = Counter(row.note for row in kept.requests.values())
    for note, count in by_note.items():
        if count > 1:
            ids = [row.id for row in kept.requests.values() if row.note == note]
            yield Finding(f"the call {note} made {count} requests: {ids}", ids[-1])
    told: dict[int, str] = {}
    for line in ledger:
        if line["what"] not in ("new", "again") or "answer" not in line:
            continue
        req_id, note = line["answer"]["id"], line["note"]
        if told.setdefault(req_id, note) != note:
            yield Finding(f"the id was given to {told[req_id]} and to {note}", req_id)
        row = kept.requests.get(req_id)
        if row is None:
            yield Finding(f"{note} was answered with this id, and it is not there", req_id)
        elif row.note != note or row.owner_name != line["by"]:
            yield Finding(f"it was {note}'s, and is {row.note}'s of {row.owner_name}", req_id)


def _priority(req_id: int, lines: Sequence[Line], now: int) -> Iterator[Finding]:
    """The last one that was acknowledged, or one that was asked for since."""
    possible: set[int] = set()
    for line in lines:
        if line["what"] != "update":
            continue
        if "answer" in line:
            possible = {line["priority"]}
        elif line.get("error") in ("unreachable", "no_answer", "store_unavailable"):
            possible.add(line["priority"])
    if any(_done(line, "update") for line in lines) and now not in possible:
        yield Finding(f"its priority is {now}, and was set to one of {sorted(possible)}", req_id)


def _prolonged(req_id: int, lines: Sequence[Line], kept: Kept) -> Iterator[Finding]:
    told = [line for line in lines if _done(line, "prolong")]
    if not told:
        return
    job = kept.jobs.get(req_id)
    if job is None:
        yield Finding("it was prolonged, and has no job", req_id)
        return
    asked = sum(line["what"] == "prolong" for line in lines)  # each token once, whatever was sent
    if not len(told) <= job.prolongs <= asked:
        yield Finding(f"{len(told)} of {asked} prolongs were answered, {job.prolongs} kept", req_id)
    last = max(line["answer"]["end"] for line in told)
    if job.ends_at.timestamp() < last - CLOCKS.total_seconds():
        yield Finding(f"it was prolonged until {last:.3f}, and ends {job.ends_at}", req_id)


def history_findings(kept: Kept) -> Iterator[Finding]:
    """Each request begins once, runs once at most, ends once, and stays as its row says."""
    for req_id, row in kept.requests.items():
        events = kept.history.get(req_id, [])
        created = sum(event.kind == "request.created" for event in events)
        if created != 1:
            yield Finding(f"it was created {created} times", req_id)
        steps = [event.new_state for event in events if event.kind == "request.state"]
        ended = [step for step in steps if ReqState(step).ended]
        if len(ended) != int(row.state.ended):
            yield Finding(f"it is {row.state.value}, and ended {len(ended)} times", req_id)
        if steps.count(ReqState.INPROGRESS.value) > 1:
            yield Finding(f"it ran {steps.count(ReqState.INPROGRESS.value)} times", req_id)
        last = steps[-1] if steps else ReqState.WAIT.value
        if last != row.state.value:
            yield Finding(f"it is {row.state.value}; its history ends with {last}", req_id)


def board_findings(boards: Sequence[Line], ledger: Sequence[Line], kept: Kept) -> Iterator[Finding]:
    """What the boards saw: who was let in, and for whom they were told to be kept."""
    yield from _one_at_a_time(boards)
    keys = {line["key"]: (line["board"], line["epoch"]) for line in boards if "key" in line}
    holders: dict[str, int] = {}
    for line in ledger:
        if not _done(line, "acquire"):
            continue
        req_id, key = line["id"], line["answer"]["key"]
        if holders.setdefault(key, req_id) != req_id:
            yield Finding(f"request {holders[key]} was given the same key", req_id)
        if key not in keys:
            yield Finding("it was given a key that no board ever had", req_id)
            continue
        job = kept.jobs.get(req_id)
        if job is None or (job.worker_uuid, job.board_epoch) != keys[key]:
            yield Finding(f"it was given the key of {keys[key]}; its job is {job}", req_id)


def _one_at_a_time(boards: Sequence[Line]) -> Iterator[Finding]:
    inside: dict[str, tuple[int, set[int]]] = {}  # of a board: whose epoch is open, and for whom
    for line in boards:
        board, what = line["board"], line["what"]
        epoch, holders = inside.get(board, (0, set()))
        if what in ("started", "closed"):
            inside.pop(board, None)
        elif what == "open":
            if holders:
                yield Finding(f"{board} was opened anew while {holders} held it", min(holders))
            inside[board] = (line["epoch"], set())
        elif line["epoch"] != epoch:
            text = f"{board}: {what} of epoch {line['epoch']} while {epoch} is open"
            yield Finding(text, line["request"])
        else:
            holders.add(line["request"])
            if len(holders) > 1:
                text = f"{board} had two holders in epoch {epoch}: {sorted(holders)}"
                yield Finding(text, line["request"])


def told(finding: Finding, ledger: Sequence[Line], boards: Sequence[Line], kept: Kept) -> str:
    """The finding, with every line about its request."""
    req_id = finding.request
    row = kept.requests.get(req_id)
    mine = [
        line for line in ledger if req_id in (line.get("id"), (line.get("answer") or {}).get("id"))
    ]
    there = [line for line in boards if line.get("request") == req_id]
    lines = [f"request {req_id}: {finding.text}"]
    lines += [f"    ledger {line}" for line in mine]
    lines += [f"    board  {line}" for line in there]
    lines += [f"    event  {tuple(event)}" for event in kept.history.get(req_id, [])]
    lines += [f"    row    {row}", f"    job    {kept.jobs.get(req_id)}"]
    return "\n".join(lines)
