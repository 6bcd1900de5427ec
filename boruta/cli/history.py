"""`boruta history` and `boruta worker history`: who did what, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from boruta.cli import output as out
from boruta.cli.options import client, connection
from boruta.domain.defaults import HISTORY_PAGE

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.domain.history import Event

HEAD = ("TIME", "WHAT", "REQUEST", "WORKER", "STATE", "BY", "WHY")
limit_option = click.option(
    "--limit", type=click.IntRange(1), default=100, metavar="N", help="The newest N; 100."
)
form_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")


@click.command(epilog="Example: boruta history 42")
@connection
@click.argument("what", metavar="REQUEST|UUID")
@limit_option
@form_option
def history(what: str, limit: int, output: str) -> None:
    """Show what happened to a request (all digits) or to a worker, the newest last.

    Also of those that ended so long ago that the server has forgotten them otherwise.
    """
    which = {"request": int(what)} if what.isdecimal() else {"worker": what}
    with client() as boruta:
        show(boruta, limit, output, **which)


def show(boruta: Client, limit: int, output: str, **which: Any) -> None:
    """Prints the newest `limit` events of what `which` names.

    Raises:
        NotFoundError: there are none.
    """
    from boruta.domain.errors import NotFoundError

    events: list[Event] = []
    while len(events) < limit:
        before = events[0].id if events else None
        page = boruta.history(**which, before=before, limit=min(limit - len(events), HISTORY_PAGE))
        if not page:
            break
        events[:0] = page
    if not events:
        kind, name = next(iter(which.items()))
        raise NotFoundError(f"nothing is known of {kind} {name}")
    if output == "json":
        out.print_json([_json(event) for event in events])
    else:
        out.table(HEAD, [_row(event) for event in events])


def _json(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": out.when(event.at),
        "kind": event.kind,
        "request": event.request_id,
        "worker": event.worker_uuid,
        "epoch": event.epoch,
        "old_state": event.old_state,
        "new_state": event.new_state,
        "by": event.by,
        "reason": event.reason,
    }


def _row(event: Event) -> list[str]:
    states = [state for state in (event.old_state, event.new_state) if state]
    return [
        out.stamp(event.at),
        event.kind,
        "" if event.request_id is None else str(event.request_id),
        event.worker_uuid or "",
        " > ".join(states),
        event.by,
        event.reason,
    ]
