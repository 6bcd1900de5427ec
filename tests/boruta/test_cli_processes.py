"""The command as a process: pipes, signals, restarts of the server under what waits."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, _command, lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as made:
        made.start_server()
        made.start_boards(1, "-c", "arch=armv7l")
        yield made


def boruta(farm: Lab, *words: str) -> subprocess.Popen[str]:
    return farm.start("boruta", "--data", str(farm.data), *words)


def piped(farm: Lab, *words: str, input: bytes) -> subprocess.CompletedProcess[bytes]:
    command = _command(("boruta", "--data", str(farm.data), *words))
    return subprocess.run(command, input=input, capture_output=True, timeout=60, cwd=farm.place)


def test_binary_input_and_large_output_pass_intact(farm: Lab) -> None:
    data = os.urandom(3_000_000)
    done = piped(farm, "run", "-c", "arch=armv7l", "--", "cat", input=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_an_output_that_is_closed_ends_it_and_frees_the_board(farm: Lab) -> None:
    result = farm.place / "closed.json"
    command = _command((
        "boruta", "--data", str(farm.data), "run", "-c", "arch=armv7l", "--result", str(result),
        "--", "yes",
    ))  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == "y\n"
    child.stdout.close()
    assert child.wait(30) == 141
    assert child.stderr.read() == ""
    child.stderr.close()
    assert json.loads(result.read_text())["outcome"] == "interrupted"
    assert farm.json("requests") == []


def test_a_shell_without_a_terminal_reads_its_commands_from_the_input(farm: Lab) -> None:
    words = ("shell", "-c", "arch=armv7l", "-e", "WHAT=a b")
    done = piped(farm, *words, input=b'read line\n"this"\necho "$line,$WHAT"; exit 7\n')
    assert (done.returncode, done.stdout) == (7, b'"this",a b\n')
    assert piped(farm, *words, input=b"").returncode == 0


def test_a_shell_whose_output_nobody_takes_ends_and_frees_the_board(farm: Lab) -> None:
    command = _command(("boruta", "--data", str(farm.data), "shell", "-c", "arch=armv7l"))
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"yes\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"y\n"
    child.stdout.close()
    assert child.wait(30) == 141
    child.stdin.close()
    with open("/dev/full", "wb") as full:
        lost = subprocess.run(command, input=b"echo a\n", stdout=full, timeout=60)
    assert lost.returncode == 125  # what it said is lost
    assert farm.json("requests") == []


def test_on_a_terminal_it_shows_why_it_waits_and_ctrl_c_gives_up(farm: Lab) -> None:
    holder = farm.boruta("request", "-c", "arch=armv7l")
    farm.boruta("wait", holder)
    ours, theirs = pty.openpty()
    command = _command(
        ("boruta", "--data", str(farm.data), "run", "-c", "arch=armv7l", "--", "true")
    )
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said = _until(ours, f"{holder} by local")
    assert "#1 in the queue" in said
    child.send_signal(signal.SIGINT)
    assert "interrupted" in _until(ours, "interrupted")
    assert child.wait(20) == 130
    os.close(ours)
    assert [one["id"] for one in farm.json("requests")] == [int(holder)]
    farm.boruta("close", holder)


def _until(terminal: int, text: str, within_s: float = 20.0) -> str:
    said, end = "", time.monotonic() + within_s
    while text not in said and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            said += os.read(terminal, 65536).decode(errors="replace")
    assert text in said
    return said


def test_a_bound_request_ends_with_sigterm(farm: Lab) -> None:
    child = boruta(farm, "request", "-c", "arch=armv7l", "--bound")
    farm.until(lambda: "IN PROGRESS" in farm.said(child, "err"), "it is served")
    req_id = farm.said(child).strip()
    assert farm.end(child) == 128 + 15
    assert farm.request(req_id)["state"] == "DONE"


def test_watch_shows_changes_as_lines_of_json(farm: Lab) -> None:
    child = boruta(farm, "watch", "-o", "json", "--kind", "ended")
    farm.until(lambda: _watched(farm, child), "a change is told")
    first = json.loads(farm.said(child).splitlines()[0])
    assert (first["kind"], first["request"]["state"]) == ("ended", "DONE")
    assert farm.end(child, signal.SIGINT) == 0


def _watched(farm: Lab, child: subprocess.Popen[str]) -> bool:
    farm.boruta("run", "-c", "arch=armv7l", "--", "true")
    return farm.said(child) != ""


def _touched(farm: Lab, req_id: str, child: subprocess.Popen[str]) -> bool:
    farm.boruta("update", req_id, "--priority", "5")
    return "updated" in farm.said(child)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        made.start_server()
        yield made


def test_what_waits_and_watches_outlives_a_kill_of_the_server(own: Lab) -> None:
    url = own.url
    req_id = own.boruta("request", "-c", "arch=armv7l")
    waits = boruta(own, "wait", req_id)
    runs = boruta(own, "run", "-c", "arch=armv7l", "--wait-anyway", "--", "echo", "it", "ran")
    watches = boruta(own, "watch")
    own.until(lambda: len(own.json("requests")) == 2, "run has asked")
    own.until(lambda: _touched(own, req_id, watches), "watch watches")
    own.kill_server()
    own.start_server("--bind", url)
    for child in (waits, runs, watches):
        own.until(lambda child=child: "the server is back" in own.said(child, "err"), "it knows")
    assert own.boruta("request", "-c", "arch=x86_64") == "3"
    assert [one["id"] for one in own.json("requests")] == [1, 2, 3]
    own.start("dryad", "simulate", "-n", "1", "--data", str(own.data), "-c", "arch=armv7l")
    assert waits.wait(30) == 0
    own.boruta("close", req_id)
    assert runs.wait(30) == 0
    assert own.said(runs) == "it ran\n"
    assert own.end(watches, signal.SIGINT) == 0


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        made.start_server("--bind", "tcp://127.0.0.1:0", "--database", "memory:")
        yield made


def test_without_a_database_what_waits_says_what_a_restart_lost(forgetful: Lab) -> None:
    own, url = forgetful, forgetful.url
    req_id = own.boruta("request", "-c", "arch=armv7l")
    waits = boruta(own, "wait", req_id)
    runs = boruta(own, "run", "-c", "arch=armv7l", "--wait-anyway", "--", "true")
    watches = boruta(own, "watch")
    lists = boruta(own, "workers", "--watch")
    timed = boruta(own, "wait", req_id, "--timeout", "1s")
    own.until(lambda: len(own.json("requests")) == 2, "run has asked")
    own.until(lambda: _touched(own, req_id, watches), "watch watches")
    own.until(lambda: "WORKER" in own.said(lists), "workers lists")
    assert timed.wait(20) == 6
    own.kill_server()
    own.start_server("--bind", url, "--database", "memory:")
    # The restarted server counts anew: this one has the number that is waited for.
    assert own.boruta("request", "-c", "arch=armv7l") == req_id
    assert waits.wait(30) == 3
    assert runs.wait(30) == 122
    for child in (waits, runs):
        said = own.said(child, "err")
        assert "trying again" in said
        assert "does not know request" in said
        assert "Traceback" not in said
    own.until(lambda: "the server is back" in own.said(watches, "err"), "watch says so")
    own.boruta("close", req_id)
    own.start_boards(1, "-c", "arch=armv7l")
    own.until(lambda: "registered" in own.said(watches), "watch goes on")
    own.until(lambda: "IDLE" in own.said(lists), "workers too")
    assert own.end(watches, signal.SIGINT) == 0
    assert own.end(lists, signal.SIGINT) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_nowhere(farm: Lab, closed: str) -> None:
    words = _command(("boruta", "--data", str(farm.data), "run", "-c", "arch=armv7l", "--", "true"))
    script = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_disk_that_is_full_is_named_and_is_no_traceback(farm: Lab) -> None:
    words = _command(("boruta", "--data", str(farm.data), "workers"))
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "boruta: what it writes to is full: No space left on device   [internal]\n"
    )


def test_a_request_whose_id_nobody_could_read_is_closed(farm: Lab) -> None:
    words = ("boruta", "--data", str(farm.data), "request", "-c", "arch=unheard-of")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            _command(words), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    waiting = [one for one in farm.json("requests") if one["caps"] == {"arch": "unheard-of"}]
    assert waiting == []


def test_what_the_encoding_of_a_terminal_lacks_is_escaped(farm: Lab) -> None:
    req_id = farm.boruta("request", "-c", "arch=none", "--note", "\u2713 done")
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = farm.run("show", req_id, env=environ)
    assert done.returncode == 0, done.stderr
    assert "\\u2713 done" in done.stdout
    farm.boruta("close", req_id)
