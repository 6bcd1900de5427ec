"""A farm in this process: embedded, beside others, beside a running loop, and never closed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest

from actors.messages import Describe
from boruta import Farm, NotFoundError, ShuttingDown, connect
from boruta.config import RequestsSection, ServerConfig
from boruta.domain.changes import Change, RequestChanged
from boruta.domain.errors import BadRequest, BoardLost, NotPermitted
from boruta.domain.types import ReqState, WorkerState


@pytest.fixture
def farm() -> Iterator[Farm]:
    with Farm() as found:
        yield found


def _script(text: str, *, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "TMPDIR": str(cwd), **env},
    )


def test_its_temporary_data_goes_with_it() -> None:
    with Farm() as farm:
        data = farm.data
        assert (data / "server.json").exists()
        assert data.stat().st_mode & 0o077 == 0
    assert not data.exists()
    farm.close()


def test_data_of_the_hosts_own_stays_and_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with Farm(data=tmp_path / "d") as farm:
            assert farm.data == tmp_path / "d"
    assert (tmp_path / "d/keys/server.key").exists()
    assert not (tmp_path / "d/server.json").exists()


def test_a_farm_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    (tmp_path / "d").mkdir(mode=0o755)
    with pytest.raises(NotPermitted, match="chmod 700"):
        Farm(data=tmp_path / "d")
    assert set(threading.enumerate()) <= before


def test_its_config_counts(tmp_path: Path) -> None:
    config = ServerConfig(requests=RequestsSection(job_timeout=120.0))
    with Farm(config=config) as farm:
        made = farm.new_request({"a": "b"})
        assert farm.get_request_info(made).job_timeout_s == 120


def test_two_farms_live_side_by_side(farm: Farm) -> None:
    with Farm() as other:
        assert other.url != farm.url
        made = other.new_request({"a": "b"})
        assert [info.id for info in other.list_requests()[0]] == [made]
        assert farm.list_requests()[0] == []
    assert farm.requests.list_requests()[1].total == 0


def test_it_works_where_a_loop_runs_already() -> None:
    async def cell() -> ReqState:
        with Farm() as farm:
            return farm.get_request_info(farm.new_request({"a": "b"})).state

    assert asyncio.run(cell()) is ReqState.WAIT


def test_its_actors_take_messages_from_any_thread(farm: Farm) -> None:
    made = farm.new_request({"a": "b"})
    ref = farm.actors.request(made)
    assert isinstance(ref, pykka.ActorRef)
    told: Any = ref.ask(Describe(), timeout=5)
    assert told.id == made
    assert farm.actors.matcher.is_alive()
    farm.close_request(made)
    with pytest.raises(NotFoundError):
        farm.actors.request(made)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(Describe(), timeout=5)
    with pytest.raises(NotFoundError):
        farm.actors.worker("nobody")


def test_a_hosts_actor_and_a_callable_are_told_of_changes(farm: Farm) -> None:
    ended = {"actor": threading.Event(), "call": threading.Event()}
    threads = set()

    class Watcher(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            if isinstance(message, RequestChanged) and message.kind == "ended":
                ended["actor"].set()

    def look(change: Change) -> None:
        assert isinstance(change, RequestChanged)
        threads.add(threading.current_thread().name)
        ended["call"].set()

    watcher = Watcher.start()
    try:
        farm.subscribe(watcher)
        subscribed = farm.subscribe(look, kinds=["ended"])
        farm.close_request(farm.new_request({"a": "b"}))
        assert ended["actor"].wait(10)
        assert ended["call"].wait(10)
        assert threads == {"boruta-delivery"}
        subscribed.close()
        subscribed.close()
        ended["call"].clear()
        ended["actor"].clear()
        farm.close_request(farm.new_request({"a": "b"}))
        assert ended["actor"].wait(10)
        assert not ended["call"].is_set()
    finally:
        watcher.stop()


def test_a_subscriber_may_ask_the_farm(farm: Farm) -> None:
    states, done = [], threading.Event()

    def look(change: Change) -> None:
        if isinstance(change, RequestChanged):
            states.append(farm.get_request_info(change.request.id).state)
            done.set()

    farm.subscribe(look, kinds=["ended"])
    farm.close_request(farm.new_request({"a": "b"}))
    assert done.wait(10)
    assert states == [ReqState.CANCEL]


def test_a_closed_farm_says_so(farm: Farm) -> None:
    matcher = farm.actors.matcher
    farm.close()
    for use in (
        lambda: farm.url,
        lambda: farm.requests,
        lambda: farm.workers,
        lambda: farm.actors,
        lambda: farm.new_request({"a": "b"}),
        lambda: farm.list_workers(),
        lambda: farm.subscribe(print),
        lambda: farm.simulate(1),
    ):
        with pytest.raises(ShuttingDown, match="the farm is closed"):
            use()
    assert not matcher.is_alive()


def test_closing_wakes_whoever_waits(farm: Farm) -> None:
    made = farm.new_request({"a": "b"})
    outcome: list[BaseException] = []
    waits = threading.Event()

    def acquire() -> None:
        waits.set()
        try:
            farm.acquire_worker(made)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=acquire)
    thread.start()
    assert waits.wait(10)
    farm.close()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(outcome[0], ShuttingDown | NotFoundError)


def test_a_host_that_stops_all_actors_is_told_what_happened(farm: Farm) -> None:
    farm.new_request({"a": "b"})
    pykka.ActorRegistry.stop_all()
    with pytest.raises(ShuttingDown, match="stopped from outside"):
        farm.new_request({"a": "b"})
    farm.close()


def test_a_client_over_the_wire_reaches_it_by_its_data(farm: Farm) -> None:
    with connect(data=farm.data) as client:
        made = client.new_request({"a": "b"}, 8)
        assert farm.get_request_info(made).owner.name == "local"


def test_less_than_one_board_is_refused(farm: Farm) -> None:
    with pytest.raises(BadRequest, match="1 or more"):
        farm.simulate(0)


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "raise ValueError"])
def test_a_farm_never_closed_ends_with_the_interpreter(tmp_path: Path, ending: str) -> None:
    done = _script(
        f"from boruta import Farm\nfarm = Farm()\nfarm.new_request({{'a': 'b'}})\n{ending}\n",
        cwd=tmp_path,
    )
    assert done.returncode == {"": 0, "raise ValueError": 1}.get(ending, 3), done.stderr
    assert ("Error" in done.stderr) is (ending == "raise ValueError"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_leaves_the_parents_farm_alone(tmp_path: Path) -> None:
    done = _script(
        """
import os, sys
from boruta import Farm
from boruta.domain.errors import ShuttingDown
with Farm() as farm:
    child = os.fork()
    if child == 0:
        try:
            farm.new_request({"a": "b"})
        except ShuttingDown:
            sys.exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, farm.new_request({"a": "b"}), farm.data.exists())
""",
        cwd=tmp_path,
    )
    assert done.stdout == "7 1 True\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_importing_boruta_alone_loads_nothing_heavy(tmp_path: Path) -> None:
    done = _script(
        "import boruta, sys\n"
        "print([m for m in ('zmq', 'asyncssh', 'pykka', 'sqlalchemy') if m in sys.modules])\n",
        cwd=tmp_path,
    )
    assert done.stdout == "[]\n", done.stderr


# --- with boards
@pytest.mark.integration
def test_simulated_boards_are_idle_when_it_returns_and_run_commands(farm: Farm) -> None:
    uuids = farm.simulate(2, caps={"arch": "x86_64", "uart": "9600, 115200"}, groups=["lab"])
    infos = [farm.get_worker_info(uuid) for uuid in uuids]
    assert [info.state for info in infos] == [WorkerState.IDLE] * 2
    assert infos[0].groups == ("lab",)
    with farm.reserve({"uart": "9600"}, timeout=30) as board:
        assert board.run("echo $((6 * 7))").stdout == "42\n"
        held = farm.actors.worker(board.worker_uuid)
        told: Any = held.ask(Describe(), timeout=5)
        assert told.state is WorkerState.RUN
        pid = farm._agents[0].pid
    (more,) = farm.simulate(1, caps={"arch": "arm"})
    assert more not in uuids
    farm.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.integration
def test_agents_that_cannot_start_say_why(farm: Farm) -> None:
    with pytest.raises(BoardLost, match=r"status 2; it said: .*want key=value"):
        farm.simulate(1, caps={"": "x"})


@pytest.mark.integration
def test_agents_end_with_a_host_that_is_killed(tmp_path: Path) -> None:
    text = (
        "import os, signal\nfrom boruta import Farm\nfarm = Farm()\nfarm.simulate(1)\n"
        "print(farm._agents[0].pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = _script(text, cwd=tmp_path)
    pid = int(done.stdout)
    # It is no child of ours, so it can only be looked at; a pidfd becomes readable at its end.
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        assert select.select([fd], [], [], 20)[0]
    finally:
        os.close(fd)
