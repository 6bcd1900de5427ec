"""The blocking client: threads, Ctrl-C, Jupyter, forks, and every way in which it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors.directory import Rules
from boruta import aio
from boruta.client import Client, connect
from boruta.domain.changes import Change
from boruta.domain.errors import NotFoundError, NotPermitted, ShuttingDown, Unreachable
from boruta.domain.interfaces import Requests, Workers
from boruta.domain.types import AccessInfo
from boruta.loops import LoopThread
from boruta.pairs import new_pair
from tests.boruta.board import LendingRequests, NoWorkers
from tests.conformance.lab import InProcess, Lab, OverZeroMQ

ACCESS = AccessInfo("127.0.0.1", 1, "boruta-user", "PRIVATE KEY")


@pytest.fixture
def requests() -> LendingRequests:
    """Requests that lend nothing until told to."""
    return LendingRequests()


@pytest.fixture
def client(requests: LendingRequests) -> Iterator[Client]:
    """A client of these, with a loop of its own."""
    core = aio.Client(requests, NoWorkers(), feed=requests)
    with Client(core, LoopThread()) as made:
        yield made


def on_loop(client: Client, function: Callable[[], object]) -> None:
    client._loop.tell(function)


def test_it_is_the_seeds_interfaces_and_blocks(client: Client) -> None:
    requests: Requests = client.requests
    workers: Workers = client.workers
    req_id = requests.new_request({"arch": "arm"}, 8)
    assert client.get_request_info(req_id).caps == {"arch": "arm"}
    assert requests.list_requests()[1].total == 1
    assert workers.list_workers()[1].total == 0
    with pytest.raises(NotFoundError):
        client.get_request_info(99)


def test_many_threads_may_use_it_at_once(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: client.new_request({"n": str(n)}, 8), range(200)))
    assert sorted(ids) == list(range(1, 201))


def test_it_works_where_a_loop_runs_already(client: Client) -> None:
    async def cell() -> int:
        return client.new_request({}, 8)

    assert asyncio.run(cell()) == 1


def test_a_call_on_its_own_loop_is_an_error_and_no_hang(client: Client) -> None:
    async def wrong() -> None:
        client.list_requests()

    with pytest.raises(RuntimeError, match=r"boruta\.aio"):
        client._loop.call(wrong)


def test_ctrl_c_ends_the_wait_and_gives_the_request_up(
    client: Client, requests: LendingRequests
) -> None:
    def press() -> None:
        asyncio.run_coroutine_threadsafe(requests.waiting.wait(), client._loop.loop).result(10)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        client.reserve({})
    assert requests.closed == [1]
    assert client.list_requests()[1].total == 1  # it is as usable as before


@pytest.mark.parametrize("scheduled", [False, True])
def test_ctrl_c_while_the_call_is_being_made_leaves_nothing_behind(
    client: Client, requests: LendingRequests, monkeypatch: pytest.MonkeyPatch, scheduled: bool
) -> None:
    loop = client._loop.loop
    call_soon = loop.call_soon_threadsafe
    pressed = []

    def press(function: Callable[[], object]) -> object:
        if pressed:
            return call_soon(function)
        pressed.append(True)
        if scheduled:
            call_soon(function)
            asyncio.run_coroutine_threadsafe(requests.waiting.wait(), loop).result(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", press)
    with pytest.raises(KeyboardInterrupt):
        client.reserve({})
    assert requests.closed == ([1] if scheduled else [])
    assert client.list_requests()[1].total == (1 if scheduled else 0)


def test_ctrl_c_after_the_board_came_gives_it_back(
    client: Client, requests: LendingRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop(client, lambda: requests.lend(ACCESS))
    wait = threading.Event.wait
    pressed = []

    def late(event: threading.Event, timeout: float | None = None) -> bool:
        found = wait(event, timeout)
        if found and timeout == 1.0 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(threading.Event, "wait", late)
    with pytest.raises(KeyboardInterrupt):
        client.reserve({})
    assert requests.closed == [1]


def test_a_closed_client_says_so(client: Client) -> None:
    client.close()
    client.close()
    for call in (client.list_requests, client.info, lambda: client.reserve({})):
        with pytest.raises(ShuttingDown, match="closed"):
            call()


def test_closing_ends_those_who_wait_and_the_thread(
    client: Client, requests: LendingRequests
) -> None:
    thread = client._loop._thread
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.acquire_worker, client.new_request({}, 8))
        asyncio.run_coroutine_threadsafe(requests.waiting.wait(), client._loop.loop).result(10)
        client.close()
        with pytest.raises(ShuttingDown):
            waiting.result(10)
    assert thread is not None
    assert not thread.is_alive()


def test_leaving_the_block_gives_the_board_back(client: Client, requests: LendingRequests) -> None:
    on_loop(client, lambda: requests.lend(ACCESS))
    board = client.reserve({"arch": "arm"})
    assert repr(board) == "<Reservation of request 1: board board-1, held>"
    with pytest.raises(ZeroDivisionError), board:
        1 / 0  # noqa: B018
    assert requests.closed == [1]
    board.close()
    with pytest.raises(ShuttingDown):
        board.run("true")


def test_a_board_outlives_neither_its_client_nor_a_second_close(
    client: Client, requests: LendingRequests
) -> None:
    on_loop(client, lambda: requests.lend(ACCESS))
    board = client.reserve({})
    client.close()
    assert requests.closed == [1]
    board.close()
    with pytest.raises(ShuttingDown):
        board.prolong()


def test_a_subscriber_may_call_the_client(client: Client, requests: LendingRequests) -> None:
    heard: list[Any] = []
    arrived = threading.Event()

    def deliver(change: Change) -> None:
        heard.append(client.list_requests()[1].total)
        arrived.set()

    on_loop(client, lambda: requests.lend(ACCESS))
    board = client.reserve({})
    subscription = client.subscribe(deliver)
    on_loop(client, requests.gap)
    assert arrived.wait(10)
    assert heard == [1]
    subscription.close()
    board.close()
    client.info()
    assert requests.delivers == []


def test_a_client_of_an_engine_here_leaves_the_engines_loop_running(tmp_path: Path) -> None:
    lab = Lab(InProcess, tmp_path, Rules())
    try:
        with lab.way.client(lab.front_caller("alice")) as client:
            assert client.info()["software"] == "conformance"
            client.new_request({}, 8)
        with pytest.raises(ShuttingDown):
            client.list_requests()
        assert lab.admin.requests.list_requests()[1].total == 1
    finally:
        lab.close()


def test_a_loop_that_ends_under_a_call_does_not_leave_it_hanging() -> None:
    thread = LoopThread(name="the engine's")
    requests = LendingRequests()
    client = Client.in_process(requests, NoWorkers(), thread.loop)
    req_id = client.new_request({}, 8)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.acquire_worker, req_id)
        asyncio.run_coroutine_threadsafe(requests.waiting.wait(), thread.loop).result(10)
        thread.stop()
        with pytest.raises(ShuttingDown):
            waiting.result(10)
    client.close()


def test_after_a_fork_the_child_is_told_to_connect_anew(client: Client) -> None:
    client.new_request({}, 8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.list_requests()
        except ShuttingDown as error:
            os.write(writing, str(error).encode())
        client.close()
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        assert "connect() after a fork" in pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert client.list_requests()[1].total == 1


# --- over a real socket
@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An engine behind a socket."""
    made = Lab(OverZeroMQ, tmp_path, Rules())
    yield made
    made.close()


def test_nobody_there_is_unreachable_and_leaves_no_thread(lab: Lab, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    client = lab.way.client(lab.front_caller("alice"))  # makes a key file, too
    client.close()
    (key, *_) = tmp_path.glob("*.key_secret")
    with pytest.raises(Unreachable, match=r"tcp://127\.0\.0\.1:1.*is `boruta server` running"):
        connect("tcp://127.0.0.1:1", server_key=new_pair()[0], key=key, timeout=0.5)
    assert set(threading.enumerate()) <= before


def test_a_key_that_is_not_admitted_is_said_so(lab: Lab, tmp_path: Path) -> None:
    assert isinstance(lab.way, OverZeroMQ)
    lab.way.client(lab.front_caller("mallory")).close()
    lab.way.admitted.clear()
    (key, *_) = tmp_path.glob("*.key_secret")
    with pytest.raises(NotPermitted):
        connect(lab.way.server.url, server_key=lab.way.public, key=key, timeout=5)


def test_bound_boards_of_a_client_over_the_wire_are_given_back_at_its_end(lab: Lab) -> None:
    lab.board("board-1")
    client = lab.way.client(lab.front_caller("alice"))
    board = client.reserve({}, timeout=5)
    assert client.info()["name"] == "alice"
    client.close()
    assert lab.admin.requests.get_request_info(board.id).state == "DONE"


def test_a_board_lost_is_heard_of_over_the_wire(lab: Lab) -> None:
    lab.board("board-1")
    with lab.way.client(lab.front_caller("alice")) as client:
        board = client.reserve({}, timeout=5)
        lab.report_failure("board-1", "the card is broken")
        lab.wait(lambda: board.lost is not None, "the holder was told")
        assert "the card is broken" in str(board.lost)


_NEVER_CLOSED = """
import sys
from boruta import connect
client = connect(data=sys.argv[1])
board = client.reserve({}, timeout=20)
print(board.run("echo hello").stdout, end="")
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


@pytest.mark.integration
def test_a_client_never_closed_ends_with_the_program_and_gives_its_board_back() -> None:
    from boruta import Farm

    with Farm() as farm:
        farm.simulate(1)
        for how, status in (("end", 0), ("raise", 3)):
            command = [sys.executable, "-W", "error", "-c", _NEVER_CLOSED]
            done = subprocess.run(
                [*command, str(farm.data), how], capture_output=True, text=True, timeout=40
            )
            assert (done.returncode, done.stdout, done.stderr) == (status, "hello\n", "")
        found, _ = farm.list_requests()
        assert [(one.state, one.reason_code) for one in found] == [("DONE", "closed")] * 2


@pytest.mark.integration
def test_ctrl_c_in_a_program_ends_it_and_gives_the_board_back() -> None:
    from boruta import Farm

    script = (
        "import sys; from boruta import connect\n"
        "with connect(data=sys.argv[1]) as c, c.reserve({}, timeout=20) as b:\n"
        "    print('held', flush=True); b.run('sleep 100')\n"
    )
    with Farm() as farm:
        farm.simulate(1)
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(farm.data)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert child.returncode == -signal.SIGINT
        (request,), _ = farm.list_requests()
        assert (request.state, request.reason_code) == ("DONE", "closed")
