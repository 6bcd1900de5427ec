"""Who holds what, and what happens: `who` and `watch`."""

from __future__ import annotations

import json
import queue
import sys

import click

from boruta.cli import output as out
from boruta.cli.options import client, connection, output
from boruta.domain.changes import Change, Gap, RequestChanged
from boruta.domain.listing import RequestFilter
from boruta.domain.types import ReqInfo, ReqState


@click.command()
@connection
@output
def who(output: str) -> None:
    """Show who holds which board, since when, until when and for what."""
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
        out.short(info.started),
        "" if job is None else out.short(job.timeout),
        info.note,
    ]


@click.command()
@connection
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only changes of this kind.")
@output
def watch(kinds: tuple[str, ...], output: str) -> None:
    """Show each change of requests and workers as it happens, until Ctrl-C."""
    # Bounded by the client, which tells of a gap when it is full.
    changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
    with client() as boruta:
        watching = boruta.subscribe(changes.put, kinds=kinds or None)
        try:
            while True:
                _print(changes.get(), output)
                sys.stdout.flush()
        except KeyboardInterrupt:
            return
        finally:
            watching.close()


def _print(change: Change, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(change_json(change), ensure_ascii=False))
        return
    if isinstance(change, Gap):
        click.echo(f"{out.short(change.at)}  some changes were lost; the lists have the truth")
        return
    if isinstance(change, RequestChanged):
        name, info = str(change.request.id), change.request
        words = [f"request {name}", change.kind, info.state.value, info.owner.name]
        words += [info.job.worker_uuid if info.job is not None else "", info.reason]
    else:
        board = change.worker
        name = board.worker_uuid
        words = [f"worker {name}", change.kind, board.state.value, board.reason]
    if output == "id":
        click.echo(name)
        return
    click.echo(out.short(change.at) + "  " + out.clean("  ".join(word for word in words if word)))


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
