"""Verbs for workers: look, enable, put in maintenance, group, check, forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from boruta.cli import output as out
from boruta.cli.options import CAP_HELP, client, connection, output
from boruta.cli.requests import tell
from boruta.cli.waiting import Progress
from boruta.domain.errors import TransitionRefused, UsageError
from boruta.domain.listing import RequestFilter, WorkerFilter
from boruta.domain.requirements import parse_cap_words
from boruta.domain.types import ReqInfo, SortInfo, WorkerInfo, WorkerState

SETTLE_S = 0.2  # between two looks at a worker that an admin is told of by no event


@click.command()
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
    chosen = WorkerFilter(
        groups=groups, caps=parse_cap_words(caps), states=tuple(_state(one) for one in states)
    )
    with client() as boruta:

        def show() -> None:
            infos, _ = boruta.list_workers(chosen, SortInfo(sort))
            print_workers(infos, holders(boruta, infos), output)

        if watch:
            _watch(boruta, show)
        else:
            show()


def _watch(boruta: Any, show: Any) -> None:
    import threading

    changed = threading.Event()
    with_changes = boruta.subscribe(lambda _: changed.set())
    try:
        while True:
            changed.clear()
            click.clear()
            show()
            changed.wait()
    finally:
        with_changes.close()


def _state(text: str) -> str:
    name = text.upper()
    if name not in {state.value for state in WorkerState}:
        allowed = ", ".join(state.value.lower() for state in WorkerState)
        raise UsageError(f"state {text!r}: want one of {allowed}")
    return name


def holders(boruta: Any, infos: Sequence[WorkerInfo]) -> dict[int, ReqInfo]:
    """The requests that hold these workers."""
    ids = tuple(info.request for info in infos if info.request is not None)
    if not ids:
        return {}
    found, _ = boruta.list_requests(RequestFilter(ids=ids))
    return {info.id: info for info in found}


def print_workers(infos: Sequence[WorkerInfo], held: Mapping[int, ReqInfo], output: str) -> None:
    """A list of workers."""
    if output == "json":
        out.print_json([out.worker_json(info) for info in infos])
    elif output == "id":
        for info in infos:
            click.echo(info.worker_uuid)
    else:
        head = ("WORKER", "STATE", "ONLINE", "HOLDER", "SINCE", "UNTIL", "GROUPS", "CAPS", "NOTE")
        out.table(head, [_row(info, held) for info in infos])


def _row(info: WorkerInfo, held: Mapping[int, ReqInfo]) -> list[str]:
    holder = None if info.request is None else held.get(info.request)
    until = None if holder is None or holder.job is None else holder.job.timeout
    caps = {key: value for key, value in info.caps.items() if key != "UUID"}
    return [
        info.worker_uuid,
        info.state.value,
        "yes" if info.online else "no",
        "" if holder is None else f"{holder.owner.name} ({holder.id})",
        out.short(info.since),
        out.short(until),
        " ".join(info.groups),
        out.caps_words(caps),
        info.reason or ("" if holder is None else holder.note),
    ]


@click.group()
def worker() -> None:
    """One worker: look at it, or (as an admin) change it."""


@worker.command()
@connection
@click.argument("uuid")
@output
def show(uuid: str, output: str) -> None:
    """Show one worker."""
    with client() as boruta:
        info = boruta.get_worker_info(uuid)
        if output != "table":
            print_workers([info], {}, output) if output == "id" else out.print_json(
                out.worker_json(info)
            )
            return
        held = holders(boruta, [info])
    holder = None if info.request is None else held.get(info.request)
    until = None if holder is None or holder.job is None else holder.job.timeout
    out.fields(
        [
            ("worker", info.worker_uuid),
            ("state", info.state.value),
            ("reason", f"{info.reason}  [{info.reason_code}]" if info.reason_code else info.reason),
            ("online", "yes" if info.online else "no"),
            ("since", out.short(info.since)),
            ("last seen", out.short(info.last_seen)),
            ("holder", "" if holder is None else f"{holder.owner.name}, request {holder.id}"),
            ("until", "" if until is None else out.short(until)),
            ("note", "" if holder is None else holder.note),
            ("groups", " ".join(info.groups)),
            ("caps", out.caps_words(info.caps)),
        ]
    )


wait_option = click.option(
    "--no-wait", is_flag=True, help="Come back at once, not when the worker is there."
)


@worker.command()
@connection
@click.argument("uuid")
@wait_option
def enable(uuid: str, no_wait: bool) -> int:
    """Offer the worker: it is prepared and becomes IDLE. From FAILED it goes by MAINTENANCE."""
    with client() as boruta:
        if boruta.get_worker_info(uuid).state is WorkerState.FAIL:
            boruta.set_state(uuid, WorkerState.MAINTENANCE, reason="on its way to IDLE")
            if _settled(boruta, uuid, WorkerState.MAINTENANCE):
                return 1
        try:
            boruta.set_state(uuid, WorkerState.IDLE)
        except TransitionRefused as error:
            if boruta.get_worker_info(uuid).state not in (WorkerState.IDLE, WorkerState.RUN):
                raise
            tell(f"worker {uuid} is enabled already ({error.details.get('state')})")
            return 0
        if no_wait:
            return 0
        return _settled(boruta, uuid, WorkerState.IDLE, WorkerState.RUN)


@worker.command()
@connection
@click.argument("uuid")
@click.option("--reason", default="", metavar="TEXT", help="Shown to everybody.")
@click.option("--drain", is_flag=True, help="Let the present job end first.")
@wait_option
def maintenance(uuid: str, reason: str, drain: bool, no_wait: bool) -> int:
    """Take the worker out; its job, if any, ends now (or with --drain when it is over)."""
    with client() as boruta:
        boruta.set_state(uuid, WorkerState.MAINTENANCE, reason=reason, drain=drain)
        info = boruta.get_worker_info(uuid)
        if drain and info.state is WorkerState.RUN:
            tell(f"worker {uuid} goes into maintenance when request {info.request} ends")
            return 0
        if no_wait:
            return 0
        return _settled(boruta, uuid, WorkerState.MAINTENANCE)


def _settled(boruta: Any, uuid: str, *wanted: WorkerState) -> int:
    """Waits until the worker is in one of the states, or FAILED: then 1."""
    import threading

    changed = threading.Event()
    watch = boruta.subscribe(lambda _: changed.set(), workers=[uuid])
    try:
        with Progress() as progress:
            while True:
                changed.clear()
                info = boruta.get_worker_info(uuid)
                progress.say(f"worker {uuid} is {info.state.value} {info.reason}")
                if info.state in wanted or info.state is WorkerState.FAIL:
                    break
                if not info.online and info.state is WorkerState.PREPARE:
                    break
                changed.wait(1.0)
    finally:
        watch.close()
    if info.state is WorkerState.PREPARE:
        tell(f"worker {uuid} is offline; it is prepared as soon as its agent is back")
        return 0
    tell(f"worker {uuid} is {info.state.value}" + (f": {info.reason}" if info.reason else ""))
    return 0 if info.state in wanted else 1


@worker.command()
@connection
@click.argument("uuid")
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
def groups(uuid: str, groups: tuple[str, ...]) -> None:
    """Replace the worker's groups; none clears them."""
    with client() as boruta:
        boruta.set_groups(uuid, groups)
    tell(f"worker {uuid} is in " + (", ".join(groups) or "no group"))


@worker.command()
@connection
@click.argument("uuid")
@output
def check(uuid: str, output: str) -> int:
    """Have the agent check its board now; status 1 if something is wrong."""
    with client() as boruta:
        checks = boruta.check(uuid)
    if output == "json":
        out.print_json([out.check_json(one) for one in checks])
    elif output == "id":
        for one in checks:
            click.echo(one.name)
    else:
        rows = [[one.name, "ok" if one.ok else "WRONG", one.detail] for one in checks]
        out.table(("CHECK", "RESULT", "DETAIL"), rows)
    return 0 if all(one.ok for one in checks) else 1


@worker.command()
@connection
@click.argument("uuid")
def deregister(uuid: str) -> None:
    """Forget a worker that is in MAINTENANCE or FAILED."""
    with client() as boruta:
        boruta.deregister(uuid)
    tell(f"worker {uuid} is forgotten")
