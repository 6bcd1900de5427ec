"""`boruta workers`: a list, once or anew at each change."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from boruta.cli import output as out
from boruta.cli.options import CAP_HELP, client, connection, output
from boruta.cli.talk import clean, coloured
from boruta.domain.errors import Unavailable, UsageError
from boruta.domain.types import ReqInfo, SortInfo, WorkerInfo, WorkerState

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.domain.listing import WorkerFilter

HEAD: Final = (
    "WORKER", "STATE", "ONLINE", "HOLDER", "SINCE", "UNTIL", "GROUPS", "CAPS", "NOTE",
)  # fmt: skip
QUIET_S: Final = 0.3  # between two pictures: many changes at once are one
LOOK_S: Final = 10.0  # so often the list is read anew, also if no change was told
AGAIN_S: Final = 2.0  # after a server that did not answer


@click.command(epilog="Example: boruta workers --state idle -c arch=armv7l -o json")
@connection
@click.option("-g", "--group", "groups", multiple=True, help="In any of these groups.")
@click.option("-c", "--cap", "caps", multiple=True, metavar="CAP", help=CAP_HELP)
@click.option("--state", "states", multiple=True, metavar="S", help="In any case.")
@click.option("--sort", default="", metavar="ITEM", help="uuid, state or groups.")
@click.option("--watch", is_flag=True, help="Show the list anew at each change, until Ctrl-C.")
@output
def workers(
    groups: tuple[str, ...],
    caps: tuple[str, ...],
    states: tuple[str, ...],
    sort: str,
    watch: bool,
    output: str,
) -> None:
    """List workers: their states, and who holds them until when."""
    from boruta.domain.listing import WorkerFilter
    from boruta.domain.requirements import parse_cap_words

    chosen = WorkerFilter(
        groups=groups, caps=parse_cap_words(caps), states=tuple(_state(one) for one in states)
    )
    if watch:
        try:
            with client() as boruta:
                _watch(boruta, chosen, SortInfo(sort), output)
        except KeyboardInterrupt:
            return
    with client() as boruta:
        infos, held = _listed(boruta, chosen, SortInfo(sort), output)
    print_workers(infos, held, output)


Listed = tuple[Sequence[WorkerInfo], Mapping[int, ReqInfo]]


def _listed(boruta: Client, chosen: WorkerFilter, sort: SortInfo, output: str) -> Listed:
    infos, _ = boruta.list_workers(chosen, sort)
    return infos, holders(boruta, infos) if output == "table" else {}


def _watch(boruta: Client, chosen: WorkerFilter, sort: SortInfo, output: str) -> None:
    changed = threading.Event()
    watching = boruta.subscribe(lambda _: changed.set())
    before: object = None
    try:
        while True:
            changed.clear()
            try:
                infos, held = _listed(boruta, chosen, sort, output)
            except Unavailable:
                changed.wait(AGAIN_S)  # the connection is told of; it comes back by itself
                continue
            # When it was seen last changes all the time, and no table shows it.
            picture = ([replace(info, last_seen=None) for info in infos], held)
            if picture != before:
                _draw(infos, held, output)
                before = picture
            changed.wait(LOOK_S)
            time.sleep(QUIET_S)
    finally:
        watching.close()


def _draw(infos: Sequence[WorkerInfo], held: Mapping[int, ReqInfo], output: str) -> None:
    if output == "json":
        out.print_json([out.worker_json(info) for info in infos], line=True)
    elif output == "id" or not sys.stdout.isatty():
        print_workers(infos, held, output)
    else:
        size = shutil.get_terminal_size()
        rows = [_row(info, held) for info in infos]
        lines = out.table_lines(HEAD, rows, width=size.columns, colour=coloured())
        if len(lines) > size.lines - 1:
            hidden = len(lines) - (size.lines - 2)
            lines = [*lines[: size.lines - 2], f"... and {hidden} more"]
        # Overwritten in place: a cleared screen flickers.
        click.echo("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", nl=False)
    sys.stdout.flush()


def _state(text: str) -> str:
    name = text.upper()
    if name not in {state.value for state in WorkerState}:
        allowed = ", ".join(state.value.lower() for state in WorkerState)
        raise UsageError(f"state {text!r}: want one of {allowed}")
    return name


def holders(boruta: Client, infos: Sequence[WorkerInfo]) -> dict[int, ReqInfo]:
    """The requests that hold these workers."""
    ids = tuple(info.request for info in infos if info.request is not None)
    if not ids:
        return {}
    from boruta.domain.listing import RequestFilter

    found, _ = boruta.list_requests(RequestFilter(ids=ids))
    return {info.id: info for info in found}


def print_workers(infos: Sequence[WorkerInfo], held: Mapping[int, ReqInfo], output: str) -> None:
    """A list of workers."""
    if output == "json":
        out.print_json([out.worker_json(info) for info in infos])
    elif output == "id":
        for info in infos:
            click.echo(clean(info.worker_uuid))
    else:
        out.table(HEAD, [_row(info, held) for info in infos])


def _row(info: WorkerInfo, held: Mapping[int, ReqInfo]) -> list[str]:
    holder = None if info.request is None else held.get(info.request)
    until = None if holder is None or holder.job is None else holder.job.timeout
    caps = {key: value for key, value in info.caps.items() if key != "UUID"}
    return [
        info.worker_uuid,
        info.state.value,
        "yes" if info.online else "no",
        "" if holder is None else f"{holder.owner.name} ({holder.id})",
        out.brief(info.since),
        out.brief(until),
        " ".join(info.groups),
        out.caps_words(caps),
        info.reason or ("" if holder is None else holder.note),
    ]
