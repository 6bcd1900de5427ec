"""Who holds what, and what happens: `who` and `watch`."""

from __future__ import annotations

import queue
import sys

import click

from boruta.cli import output as out
from boruta.cli.options import client, connection, output
from boruta.cli.talk import clean, tell
from boruta.domain.changes import Change, Gap, RequestChanged, WorkerChanged
from boruta.domain.types import ReqInfo, ReqState


@click.command(epilog="Example: boruta who")
@connection
@output
def who(output: str) -> None:
    """Show who holds which board, since when, until when and for what."""
    from boruta.domain.listing import RequestFilter

    with client() as boruta:
        held, _ = boruta.list_requests(RequestFilter(states=(ReqState.INPROGRESS.value,)))
    if output != "table":
        out.print_requests(held, output)
        return
    head = ("OWNER", "REQUEST", "WORKER", "SINCE", "UNTIL", "NOTE")
    out.table(head, [_holder(info) for info in held])


def _holder(info: ReqInfo) -> list[str]:
    job = info.job
    return [
        info.owner.name,
        str(info.id),
        "" if job is None else job.worker_uuid,
        out.brief(info.started),
        "" if job is None else out.brief(job.timeout),
        info.note,
    ]


@click.command(epilog="Example: boruta watch --kind ended -o json")
@connection
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only these: created, assigned, acquired, prolonged, updated, out_of_reach, back, "
    "job_ending, ended; registered, online, offline, state, groups, deregistered.",
)
@output
def watch(kinds: tuple[str, ...], output: str) -> None:
    """Show each change of requests and workers as it happens, until Ctrl-C.

    It outlives restarts of the server, and says so. With -o json each change is one line.
    """
    # Bounded by the client, which tells of a gap when it is full.
    changes: queue.Queue[Change] = queue.Queue(maxsize=1)
    try:
        with client() as boruta:
            watching = boruta.subscribe(changes.put, kinds=kinds or None)
            try:
                while True:
                    show(changes.get(), output)
                    sys.stdout.flush()
            finally:
                watching.close()
                _drained(changes)
    except KeyboardInterrupt:
        return


def _drained(changes: queue.Queue[Change]) -> None:
    """Lets go whoever waits to put one more."""
    try:
        while True:
            changes.get_nowait()
    except queue.Empty:
        return


def show(change: Change, output: str) -> None:
    """Prints one change."""
    if output == "json":
        out.print_json(change_json(change), line=True)
    elif isinstance(change, Gap):
        tell("boruta: some changes were lost; boruta requests and boruta workers have the truth")
    elif output == "id":
        click.echo(clean(_name(change)))
    else:
        click.echo(out.stamp(change.at) + "  " + clean("  ".join(_words(change))))


def _name(change: RequestChanged | WorkerChanged) -> str:
    if isinstance(change, RequestChanged):
        return str(change.request.id)
    return change.worker.worker_uuid


def _words(change: RequestChanged | WorkerChanged) -> list[str]:
    if isinstance(change, RequestChanged):
        info = change.request
        board = info.job.worker_uuid if info.job is not None else ""
        words = [f"request {info.id}", change.kind, info.state.value, info.owner.name, board]
        return [word for word in [*words, info.reason] if word]
    worker = change.worker
    words = [f"worker {worker.worker_uuid}", change.kind, worker.state.value, worker.reason]
    return [word for word in words if word]


def change_json(change: Change) -> dict[str, object]:
    """A change as JSON has it."""
    if isinstance(change, Gap):
        return {"seq": change.seq, "kind": "gap", "at": out.when(change.at)}
    found: dict[str, object] = {
        "seq": change.seq,
        "kind": change.kind,
        "at": out.when(change.at),
    }
    if isinstance(change, RequestChanged):
        return {**found, "request": out.request_json(change.request)}
    return {**found, "worker": out.worker_json(change.worker)}
