"""Verbs for requests: ask, look, wait, acquire, prolong, close, update."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from boruta.cli import output as out
from boruta.cli.options import (
    Duration,
    RequestId,
    Time,
    client,
    connection,
    output,
    request_id,
    request_options,
    request_words,
)
from boruta.cli.talk import tell
from boruta.cli.waiting import Same, until_changed, until_served
from boruta.domain.errors import BorutaError, UsageError
from boruta.domain.listing import RequestFilter
from boruta.domain.types import Page, ReqInfo, ReqState, SortInfo, SortOrder

if TYPE_CHECKING:
    from boruta.client import Client

# What `wait` ends with, by how the waiting ended.
WAIT_STATUS: Final = {
    ReqState.INPROGRESS: 0,
    ReqState.DONE: 0,
    ReqState.CANCEL: 5,
    ReqState.TIMEOUT: 6,
    ReqState.INVALID: 7,
    ReqState.FAILED: 8,
}
FOREVER: Final = float("inf")  # --wait without a duration
LIVE: Final = (ReqState.WAIT.value, ReqState.INPROGRESS.value)


def waited(info: ReqInfo) -> int:
    """Tells how the waiting ended; its exit status."""
    tell(f"request {info.id} is {info.state.value}" + (f": {info.reason}" if info.reason else ""))
    return WAIT_STATUS[info.state]


@click.command(epilog="Example: ID=$(boruta request -c arch=armv7l --for 2h --note bisecting)")
@connection
@request_options
@click.option("--bound", is_flag=True, help="Stay, and give the board back when this ends.")
@click.option(
    "--wait",
    type=Duration(),
    is_flag=False,
    flag_value=FOREVER,
    metavar="[DURATION]",
    help="Wait for a board, for ever or this long; the exit status is that of boruta wait.",
)
@output
@request_words
def request(wanted: dict[str, Any], bound: bool, wait: float | None, output: str) -> int:
    """Queue a request and print its id; everything else goes to stderr."""
    with client() as boruta:
        req_id = boruta.new_request(**wanted, bound=bound)
        same = Same(boruta, req_id)
        try:
            if output == "json":
                out.print_request(same.look(), output)
            else:
                click.echo(str(req_id))
            sys.stdout.flush()
        except OSError:
            boruta.close_request(req_id)  # nobody has heard its id
            raise
        if not bound and wait is None:
            tell(f"queued; boruta wait {req_id} waits for a board, boruta close {req_id} ends")
            return 0
        return _stay(boruta, same, bound, wait)


def _stay(boruta: Client, same: Same, bound: bool, wait: float | None) -> int:
    try:
        with _ended_by_signals() if bound else nullcontext():
            status = 0
            if wait is not None:
                limit = None if wait == FOREVER else wait
                status = waited(until_changed(same, boruta, _served, limit))
            if not bound or status != 0:
                return status
            tell(f"request {same.id} is bound: it lives until this ends (Ctrl-C)")
            info = until_changed(same, boruta, _served)
            if wait is None and not info.state.ended:
                waited(info)
            return waited(until_changed(same, boruta, lambda now: now.state.ended))
    except (KeyboardInterrupt, SystemExit):
        if bound:
            boruta.close_request(same.id)
            tell(f"request {same.id} is closed")
        raise


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {one: signal.signal(one, leave) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _served(info: ReqInfo) -> bool:
    return info.state is not ReqState.WAIT


@click.command(epilog="Example: boruta requests --state in-progress --owner alice -o json")
@connection
@click.option("--all", "all_", is_flag=True, help="Ended ones too.")
@click.option("--state", "states", multiple=True, metavar="S", help="In any case, - for a blank.")
@click.option("--priority", "priorities", multiple=True, type=int, metavar="N")
@click.option("--owner", "owners", multiple=True, metavar="U")
@click.option("--mine", is_flag=True, help="Those of your own key.")
@click.option(
    "--sort", default="", metavar="ITEM", help="id, priority, deadline, validafter or state."
)
@click.option("--desc", is_flag=True, help="The last first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N")
@output
def requests(
    all_: bool,
    states: tuple[str, ...],
    priorities: tuple[int, ...],
    owners: tuple[str, ...],
    mine: bool,
    sort: str,
    desc: bool,
    limit: int | None,
    output: str,
) -> None:
    """List requests: live ones, or all."""
    wanted = tuple(_state(state) for state in states) or (() if all_ else LIVE)
    with client() as boruta:
        if mine:
            owners = (*owners, str(boruta.info()["name"]))
        chosen = RequestFilter(priorities=priorities, states=wanted, owners=owners)
        order = SortOrder.DESCENDING if desc else SortOrder.ASCENDING
        page = None if limit is None else Page(limit=limit)
        infos, info = boruta.list_requests(chosen, SortInfo(sort, order), page)
    out.print_requests(infos, output)
    if output == "table" and info.remaining:
        tell(f"{info.remaining} more; --limit shows more")


def _state(text: str) -> str:
    name = text.replace("-", " ").upper()
    if name not in {state.value for state in ReqState}:
        allowed = ", ".join(state.value.lower().replace(" ", "-") for state in ReqState)
        raise UsageError(f"state {text!r}: want one of {allowed}")
    return name


@click.command(epilog="Example: boruta show 17")
@connection
@request_id
@output
def show(id: int, output: str) -> None:
    """Show one request; one that waits says why."""
    with client() as boruta:
        out.print_request(boruta.get_request_info(id), output)


@click.command(epilog="Example: boruta wait 17 --timeout 30m")
@connection
@request_id
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Give up after this long.")
def wait(id: int, timeout: float | None) -> int:
    """Wait until the request no longer waits.

    Exit status: 0 it has a board or is done, 5 it was cancelled, 6 its time or --timeout is over,
    7 no board can ever serve it, 8 it failed.
    """
    with client() as boruta:
        return waited(until_served(boruta, id, timeout))


@click.command(epilog="Example: boruta acquire 17 -o json")
@connection
@request_id
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Give up after this long.")
@output
def acquire(id: int, timeout: float | None, output: str) -> None:
    """Wait for the board and print how to reach it, with the job's private key."""
    with client() as boruta:
        until_served(boruta, id, timeout)
        access = boruta.acquire_worker(id, timeout)
    if output == "json":
        out.print_json(out.access_json(access))
        return
    if output == "id":
        click.echo(str(id))
        return
    out.fields(
        [
            ("host", access.host),
            ("port", str(access.port)),
            ("username", access.username),
            ("expires", out.stamp(access.expires)),
            ("host key", "; ".join(access.host_keys)),
        ]
    )
    click.echo(access.key.rstrip("\n"))
    tell(f"boruta ssh {id} logs in; boruta acquire -o json {id} is for programs")


@click.command(epilog="Example: boruta prolong 17")
@connection
@request_id
@output
def prolong(id: int, output: str) -> None:
    """Set the job's end to now plus its job time."""
    with client() as boruta:
        new = boruta.prolong_access(id)
    if output == "json":
        out.print_json({"timeout": out.when(new.timeout), "prolongs_left": new.prolongs_left})
    elif output == "id":
        click.echo(str(id))
    else:
        click.echo(f"request {id} ends {out.stamp(new.timeout)}; {new.prolongs_left} prolongs left")


@click.command(epilog="Example: boruta close 17 18")
@connection
@click.argument("ids", type=RequestId(), nargs=-1, required=True, metavar="ID...")
def close(ids: tuple[int, ...]) -> int:
    """Cancel what waits, end what runs; the first refusal gives the exit status."""
    status = 0
    with client() as boruta:
        for req_id in ids:
            try:
                boruta.close_request(req_id)
            except BorutaError as error:
                tell(f"boruta: {error.message}   [{error.code}]")
                status = status or error.exit_status
            else:
                tell(f"request {req_id} is closed")
    return status


@click.command(epilog="Example: boruta update 17 --priority 2 --deadline +4h")
@connection
@request_id
@click.option("--priority", type=int, metavar="N", help="1 (first) .. 16.")
@click.option("--after", type=Time(), metavar="TIME", help="Not before.")
@click.option("--deadline", type=Time(), metavar="TIME", help="Give up then.")
@output
def update(
    id: int,
    priority: int | None,
    after: datetime | None,
    deadline: datetime | None,
    output: str,
) -> None:
    """Change a request that waits, and show it."""
    if priority is None and after is None and deadline is None:
        raise UsageError("update: nothing to change (want --priority, --after or --deadline)")
    if priority is not None:
        from boruta.domain.policy import check_priority

        check_priority(priority)  # 0 would mean "leave it"
    with client() as boruta:
        boruta.update_request(ReqInfo(id, priority or 0, valid_after=after, deadline=deadline))
        out.print_request(boruta.get_request_info(id), output)
