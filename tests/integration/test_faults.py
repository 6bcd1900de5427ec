"""Kills, stops and cuts, with real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.doc_blocks import ROOT
from tests.integration.lab import Lab, alive, hold

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def test_an_agent_killed_while_its_board_is_held(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    req_id = hold(farm)
    pid = int(farm.boruta("exec", req_id, "--", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"))
    assert alive(pid)
    boards.kill()
    farm.until(lambda: not alive(pid), "the holder's daemon dies with the agent", 5)
    assert farm.request(req_id)["state"] == "IN PROGRESS"
    farm.until(lambda: "out of reach" in farm.request(req_id)["reason"], "the reason is shown", 15)
    again = farm.start_boards(1, "-c", "arch=armv7l")
    assert farm.uuids(again) == farm.uuids(boards)
    found = farm.request(req_id)
    assert (found["state"], found["reason_code"]) == ("FAILED", "board_lost")
    assert farm.boruta("run", "-c", "arch=armv7l", "--", "echo served again") == "served again"


def test_an_agent_stopped_while_its_board_is_held_goes_on_with_the_job(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    (uuid,) = farm.uuids(boards)
    req_id = hold(farm)
    boards.send_signal(signal.SIGSTOP)
    took = farm.until(lambda: not farm.worker(uuid)["online"], "it is seen to be gone", 16)
    assert took < 15
    assert farm.request(req_id)["state"] == "IN PROGRESS"
    boards.send_signal(signal.SIGCONT)
    farm.until(lambda: farm.worker(uuid)["online"], "it comes back", 15)
    assert farm.boruta("exec", req_id, "--", "echo still here") == "still here"
    farm.boruta("close", req_id)


def test_a_client_that_vanishes_frees_its_board_within_its_lease(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    (uuid,) = farm.uuids(boards)
    client = farm.start(
        "boruta", "--data", str(farm.data), "run", "-c", "arch=armv7l", "--", "echo up; sleep 1000"
    )
    farm.until(lambda: "up" in farm.said(client), "it runs")
    client.kill()
    took = farm.until(lambda: farm.worker(uuid)["state"] == "IDLE", "the board is free", 20)
    assert took < 17
    (ended,) = farm.json("requests", "--all")
    assert ended["reason_code"] == "client_lost"


def test_ctrl_c_ends_the_command_and_gives_the_board_back(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    (uuid,) = farm.uuids(boards)
    client = farm.start(
        "boruta", "--data", str(farm.data), "run", "-c", "arch=armv7l",
        "--result", "result.json", "--", "echo $$; exec sleep 1000",
    )  # fmt: skip
    farm.until(lambda: farm.said(client).strip(), "it runs")
    pid = int(farm.said(client))
    assert farm.end(client, signal.SIGINT) == 130
    farm.until(lambda: not alive(pid), "the command is gone", 5)
    farm.until(lambda: farm.worker(uuid)["state"] == "IDLE", "the board is free", 5)
    assert '"interrupted"' in (farm.place / "result.json").read_text()


def test_run_keeps_apart_what_ci_must_tell_apart(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    (uuid,) = farm.uuids(boards)
    caps = ("-c", "arch=armv7l")
    assert farm.run("run", *caps, "--", "exit 7").returncode == 7
    assert farm.run("run", *caps, "--", "kill -TERM $$").returncode == 128 + 15
    assert farm.run("run", "-c", "arch=none", "--", "true").returncode == 122
    done = farm.run("run", *caps, "--for", "2", "--", "sleep 60")
    assert done.returncode == 124, done.stderr
    holder = hold(farm)
    assert farm.run("run", *caps, "--wait", "1", "--", "true").returncode == 122
    farm.boruta("close", holder)
    client = farm.start(
        "boruta", "--data", str(farm.data), "run", *caps, "--", "echo up; sleep 1000"
    )
    farm.until(lambda: "up" in farm.said(client), "it runs")
    farm.boruta("worker", "maintenance", uuid, "--reason", "taken away")
    assert client.wait(20) == 125
    assert "taken away" in farm.said(client, "err")


def test_a_server_that_is_stopped_tells_its_peers_and_they_find_the_next_one(farm: Lab) -> None:
    boards = farm.start_boards(2, "-c", "arch=armv7l")
    url = farm.url
    assert farm.server is not None
    assert farm.end(farm.server) == 0
    assert not (farm.data / "server.json").exists()
    done = farm.run("workers")
    assert done.returncode == 9
    assert "unreachable" in done.stderr
    farm.start_server("--bind", url)
    for uuid in farm.uuids(boards):
        farm.until(
            lambda uuid=uuid: (
                farm.run("worker", "show", uuid).returncode == 0
                and farm.worker(uuid)["state"] == "IDLE"
            ),
            "the boards come back by themselves",
        )
    assert farm.boruta("run", "-c", "arch=armv7l", "--", "echo back") == "back"


def test_a_server_that_stood_still_loses_nobody(farm: Lab) -> None:
    boards = farm.start_boards(1, "-c", "arch=armv7l")
    req_id = hold(farm)
    server = farm.server
    assert server is not None
    server.send_signal(signal.SIGSTOP)
    boards.send_signal(signal.SIGSTOP)  # so that only the server's own clocks could blame anybody
    with pytest.raises(AssertionError, match="not within"):
        farm.until(lambda: False, "a while", 17)
    boards.send_signal(signal.SIGCONT)
    server.send_signal(signal.SIGCONT)
    assert farm.request(req_id)["state"] == "IN PROGRESS"
    farm.until(lambda: farm.run("exec", req_id, "--", "true").returncode == 0, "it is usable", 15)


def test_two_servers_cannot_share_a_data_directory(farm: Lab) -> None:
    second = farm.run("server", "--bind", "tcp://127.0.0.1:0")
    assert second.returncode != 0
    assert farm.server is not None
    assert str(farm.server.pid) in second.stderr


def test_a_port_in_use_is_named(farm: Lab, tmp_path: Path) -> None:
    done = farm.run("--data", str(tmp_path / "other"), "server", "--bind", farm.url, timeout=20)
    assert done.returncode != 0
    assert farm.url.removeprefix("tcp://") in done.stderr


HOUR_OFF = """
import datetime, sys, time
off = float(sys.argv.pop(1))
date, clock = time.time, time.clock_gettime
time.time = lambda: date() + off
time.clock_gettime = lambda which: clock(which) + off * (which == time.CLOCK_REALTIME)
import dryad.clock
now = dryad.clock.utc_now
dryad.clock.utc_now = lambda: now() + datetime.timedelta(seconds=off)
from dryad.entry import main
sys.exit(main())
"""


@pytest.mark.parametrize("off", [-3600, 3600])
def test_an_agent_whose_date_is_an_hour_off_keeps_a_job_for_its_time(farm: Lab, off: int) -> None:
    farm.boruta("key", "new", "board-17", "--role", "worker", "--out", str(farm.place))
    server_key = json.loads((farm.data / "server.json").read_text())["server_key"]
    (farm.place / "dryad.toml").write_text(
        f"server = '{farm.url}'\nserver_key = '{server_key}'\nkey = 'board-17.key_secret'\n"
        "data = 'board'\nssh_address = '127.0.0.1:0'\nsessions = 'embedded'\n"
        "trust_holders = true\n[caps]\narch = 'armv7l'\n"
    )
    words = (str(off), "run", "--config", "dryad.toml")
    agent = farm.start(
        sys.executable, "-c", HOUR_OFF, *words, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    farm.until(lambda: " registered " in farm.said(agent, "err"), "the agent")
    line = farm.said(agent, "err").splitlines()[-1]
    said = datetime.fromisoformat(line.split()[0])
    assert abs((said - datetime.now(UTC)).total_seconds() - off) < 60  # it believes it
    (uuid,) = farm.boruta("workers", "-o", "id").split()
    farm.boruta("worker", "enable", uuid)
    req_id = hold(farm, "--for", "4s")
    assert farm.boruta("exec", req_id, "--", "echo mine") == "mine"
    took = farm.until(lambda: farm.request(req_id)["state"] == "DONE", "its time is up", 10)
    assert took > 1
    assert farm.boruta("run", "-c", "arch=armv7l", "--", "echo next") == "next"
