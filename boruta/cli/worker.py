"""Verbs for one worker: look, enable, put in maintenance, group, check, forget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import click

from boruta.cli import output as out
from boruta.cli.history import form_option, limit_option
from boruta.cli.history import show as show_history
from boruta.cli.options import client, connection, output
from boruta.cli.talk import clean, tell
from boruta.cli.waiting import Progress, told
from boruta.cli.workers import holders, print_workers
from boruta.domain.errors import TransitionRefused
from boruta.domain.types import WorkerState

if TYPE_CHECKING:
    from boruta.client import Client

LOOK_S: Final = 1.0  # so often a worker is looked at, also if no change was told


@click.group(epilog="Example: boruta worker maintenance UUID --reason 'new SD card' --drain")
def worker() -> None:
    """One worker: look at it, or (as an admin) change it.

    `boruta workers` has the UUIDs.
    """


@worker.command(epilog="Example: boruta worker show UUID -o json")
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
            ("since", out.stamp(info.since)),
            ("last seen", out.stamp(info.last_seen)),
            ("holder", "" if holder is None else f"{holder.owner.name}, request {holder.id}"),
            ("until", "" if until is None else out.stamp(until)),
            ("note", "" if holder is None else holder.note),
            ("groups", " ".join(info.groups)),
            ("caps", out.caps_words(info.caps)),
        ]
    )


wait_option = click.option(
    "--no-wait", is_flag=True, help="Come back at once, not when the worker is there."
)


@worker.command(epilog="Example: boruta worker enable UUID")
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
            tell(f"worker {uuid} is being prepared")
            return 0
        return _settled(boruta, uuid, WorkerState.IDLE, WorkerState.RUN)


@worker.command(epilog="Example: boruta worker maintenance UUID --reason 'new SD card' --drain")
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
            tell(f"worker {uuid} is on its way to MAINTENANCE")
            return 0
        return _settled(boruta, uuid, WorkerState.MAINTENANCE)


def _settled(boruta: Client, uuid: str, *wanted: WorkerState) -> int:
    """Waits until the worker is in one of the states, or FAILED: then 1."""
    changed = threading.Event()
    with told(boruta, lambda _: changed.set(), workers=[uuid]), Progress() as progress:
        while True:
            changed.clear()
            info = boruta.get_worker_info(uuid)
            progress.say(clean(f"worker {uuid} is {info.state.value} {info.reason}"))
            if info.state in wanted or info.state is WorkerState.FAIL:
                break
            if not info.online and info.state is WorkerState.PREPARE:
                break
            changed.wait(LOOK_S)
    if info.state is WorkerState.PREPARE:
        tell(f"worker {uuid} is offline; it is prepared as soon as its agent is back")
        return 0
    reason = f": {info.reason}" if info.reason else ""
    tell(f"worker {uuid} is {info.state.value}{reason}")
    return 0 if info.state in wanted else 1


@worker.command(epilog="Example: boruta worker groups UUID nightly release")
@connection
@click.argument("uuid")
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
def groups(uuid: str, groups: tuple[str, ...]) -> None:
    """Replace the worker's groups; none clears them."""
    with client() as boruta:
        boruta.set_groups(uuid, groups)
    tell(f"worker {uuid} is in " + (", ".join(groups) or "no group"))


@worker.command(epilog="Example: boruta worker check UUID")
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
            click.echo(clean(one.name))
    else:
        rows = [[one.name, "ok" if one.ok else "WRONG", one.detail] for one in checks]
        out.table(("CHECK", "RESULT", "DETAIL"), rows)
    return 0 if all(one.ok for one in checks) else 1


@worker.command(epilog="Example: boruta worker deregister UUID")
@connection
@click.argument("uuid")
def deregister(uuid: str) -> None:
    """Forget a worker that is in MAINTENANCE or FAILED."""
    with client() as boruta:
        boruta.deregister(uuid)
    tell(f"worker {uuid} is forgotten")


@worker.command(epilog="Example: boruta worker history UUID --limit 20")
@connection
@click.argument("uuid")
@limit_option
@form_option
def history(uuid: str, limit: int, output: str) -> None:
    """Show what happened to the worker, the newest last."""
    with client() as boruta:
        show_history(boruta, limit, output, worker=uuid)
