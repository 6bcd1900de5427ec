"""`boruta demo`: a whole farm at work on this machine, in under twenty seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from boruta.cli.output import print_requests
from boruta.cli.workers import holders, print_workers
from boruta.domain.errors import InternalLogicError
from boruta.domain.types import ReqInfo, ReqState, WorkerInfo, WorkerState

if TYPE_CHECKING:
    from boruta.client import Client

BOARDS: Final = 3
STEP_WITHIN_S: Final = 15.0
# Priority and note of each request; 1 is the most important. Three boards, so three get one at
# once; the others wait, and the more important one is served first.
WANTED: Final = ((8, "nightly build"), (8, "kernel bisect"), (8, "smoke test"))
LATER: Final = ((12, "can wait"), (2, "release blocker"))


@click.command(epilog="Example: boruta demo")
def demo() -> None:
    """Show a farm at work: one server, three simulated boards, real ZeroMQ and SSH on loopback.

    It needs no set-up and leaves nothing behind.
    """
    from boruta.client import connect
    from boruta.farm import Farm

    started = time.monotonic()
    _say("a server starts, in a directory of its own that goes when this ends")
    with Farm() as farm:
        _step(f"boruta server    {farm.url}")
        _say(f"{BOARDS} simulated boards register and are prepared: real agents, real keys")
        boards = farm.simulate(BOARDS, caps={"arch": "armv7l", "device_type": "demo"})
        with connect(data=farm.data) as client:
            _show_workers(client)
            _story(client, boards)
    _say(f"server, agents and files are gone again; {time.monotonic() - started:.1f} s in all")


def _story(client: Client, boards: list[str]) -> None:
    _say("three requests get a board each, the fourth and fifth wait")
    first = [client.new_request({"arch": "armv7l"}, prio, note=note) for prio, note in WANTED]
    for req_id in first:
        _until(client, req_id, lambda info: info.state is ReqState.INPROGRESS)
    late = [client.new_request({"arch": "armv7l"}, prio, note=note) for prio, note in LATER]
    _show_requests(client)

    _say("a command runs on a board, over SSH with a key made for this job alone")
    with client.attach(first[0]) as board:
        done = board.run("echo $USER@$(uname -n), home $HOME; exit 7")
        said = done.stdout.strip()
        _step(f"boruta exec {first[0]} -- ...    {said}    exit status {done.returncode}")
        _expect(done.returncode == 7, "the command's own exit status")
        new = board.prolong()
        _step(
            f"boruta prolong {first[0]}    ends {new.timeout:%H:%M:%S}Z, "
            f"{new.prolongs_left} prolongs left"
        )
    _say("the job ends: its board is cleaned and goes to the more important request")
    client.close_request(first[0])
    _until(client, late[1], lambda info: info.state is ReqState.INPROGRESS)
    _expect(client.get_request_info(late[0]).state is ReqState.WAIT, "priority 12 still waits")
    _show_requests(client)

    _say("a board is taken out for maintenance; whoever held it is told, and it comes back")
    taken = client.get_request_info(first[1]).job
    assert taken is not None
    client.set_state(taken.worker_uuid, WorkerState.MAINTENANCE, reason="new SD card")
    _until(client, first[1], lambda info: info.state is ReqState.FAILED)
    _until_worker(client, taken.worker_uuid, WorkerState.MAINTENANCE)
    _show_workers(client)
    client.set_state(taken.worker_uuid, WorkerState.IDLE)
    _until(client, late[0], lambda info: info.state is ReqState.INPROGRESS)

    _say("everything is given back")
    for req_id in (first[2], *late):
        client.close_request(req_id)
    for uuid in boards:
        _until_worker(client, uuid, WorkerState.IDLE)
    _show_requests(client)
    _show_workers(client)


def _until(client: Client, req_id: int, enough: Callable[[ReqInfo], bool]) -> None:
    changed = threading.Event()
    watch = client.subscribe(lambda _: changed.set(), requests=[req_id])
    try:
        _wait(changed, lambda: enough(client.get_request_info(req_id)), f"request {req_id}")
    finally:
        watch.close()


def _until_worker(client: Client, uuid: str, state: WorkerState) -> None:
    changed = threading.Event()
    watch = client.subscribe(lambda _: changed.set(), workers=[uuid])
    try:
        _wait(changed, lambda: client.get_worker_info(uuid).state is state, f"worker {uuid}")
    finally:
        watch.close()


def _wait(changed: threading.Event, enough: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + STEP_WITHIN_S
    while True:
        changed.clear()
        if enough():
            return
        if not changed.wait(end - time.monotonic()):
            raise InternalLogicError(f"demo: {what} did not get there in {STEP_WITHIN_S:g} s")


def _expect(true: bool, what: str) -> None:
    if not true:
        raise InternalLogicError(f"demo: expected {what}")


def _say(text: str) -> None:
    click.echo()
    click.echo(click.style(f"== {text}", bold=True))


def _step(text: str) -> None:
    click.echo(f"   {text}")


def _show_requests(client: Client) -> None:
    infos, _ = client.list_requests()
    print_requests(infos, "table")


def _show_workers(client: Client) -> None:
    infos: list[WorkerInfo]
    infos, _ = client.list_workers()
    print_workers(infos, holders(client, infos), "table")
