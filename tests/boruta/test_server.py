"""The `boruta server` process: how it starts, is refused, reloads and stops."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boruta import connect
from boruta.domain.errors import BorutaError, NotPermitted
from boruta.domain.types import ReqState

pytestmark = pytest.mark.integration
BORUTA = [sys.executable, "-c", "from boruta.cli.main import main; main()"]


def boruta(
    *args: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    words = [*BORUTA, *map(str, args)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=30, check=False, env=_env(env)
    )


def _env(more: dict[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BORUTA_")}
    return {**kept, **(more or {})}


class Server:
    """A server process, whose log lines can be waited for."""

    def __init__(self, *args: str | Path, home: Path) -> None:
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [*BORUTA, "server", *map(str, args)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=_env({"XDG_CONFIG_HOME": str(home)}),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def said(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Waits for a line with this in it."""
        until = time.monotonic() + 20
        with self._more:
            while True:
                for line in self.lines[after:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    raise AssertionError(f"no {pattern!r} in {self.lines}")
                self._more.wait(left)

    def started(self) -> Server:
        """Waits until it serves."""
        self.said("server_started")
        return self

    def ends(self) -> int:
        """Its exit status, once all of its words are read."""
        status = self.process.wait(20)
        self._reader.join(20)
        return status

    def close(self) -> None:
        """Whatever became of it, it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._reader.join(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def start(*args: str | Path, data: Path | None = None) -> Server:
            at: list[str | Path] = ["--data", data or tmp_path / "data"]
            bind: list[str | Path] = [] if "--bind" in args else ["--bind", "127.0.0.1:0"]
            server = Server(*args, *at, *bind, home=tmp_path / "home")
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_it_says_where_it_is_with_which_key_and_stops_cleanly(launch: Any, data: Path) -> None:
    server = launch().started()
    told = json.loads((data / "server.json").read_text())
    line = server.said("server_started").string
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO server_started url=", line)
    assert f"url={told['url']} server_key={told['server_key']} " in line
    assert told["pid"] == server.process.pid
    server.said(f"store={data}/boruta.db requests=0 workers=0")
    server.process.send_signal(signal.SIGTERM)
    assert server.ends() == 0
    server.said("server_stopping reason=SIGTERM")
    assert not (data / "server.json").exists()


def test_a_second_server_on_the_same_data_says_who_is_there(launch: Any, data: Path) -> None:
    first = launch().started()
    second = launch()
    assert second.ends() == 5
    second.said(rf"^boruta: {data}: another server \(process {first.process.pid}\) .*--data")
    assert first.process.poll() is None
    assert (data / "server.json").exists()


def test_after_a_kill_the_next_server_starts_on_the_same_data(launch: Any, data: Path) -> None:
    first = launch().started()
    key = first.said(r"server_key=(\S+)")[1]
    first.process.kill()
    first.ends()
    second = launch().started()
    assert second.said(r"server_key=(\S+)")[1] == key
    assert json.loads((data / "server.json").read_text())["pid"] == second.process.pid


def test_a_port_in_use_is_named_with_what_to_do(launch: Any, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = launch("--bind", f"127.0.0.1:{port}")
        assert server.ends() == 9
    server.said(rf"^boruta: .*tcp://127\.0\.0\.1:{port} .*in use.*--bind")
    assert not (data / "server.json").exists()
    launch().started()  # the lock is free again


@pytest.mark.parametrize(
    ("make", "status", "says"),
    [
        (lambda p: p.mkdir(mode=0o755), 4, r"mode 0755.*chmod 700 "),
        (lambda p: p.write_text(""), 2, r"data is a file"),
        (lambda p: p.symlink_to("/nowhere/at/all"), 2, r"cannot be made"),
    ],
)
def test_a_data_directory_that_cannot_be_used_is_refused(
    launch: Any, data: Path, make: Any, status: int, says: str
) -> None:
    make(data)
    server = launch()
    assert server.ends() == status
    assert len(server.lines) == 1
    server.said(f"^boruta: {data}.*{says}")


def test_a_bad_config_names_file_line_and_key(launch: Any, tmp_path: Path, data: Path) -> None:
    config = tmp_path / "boruta.toml"
    config.write_text("[server]\n\nbnd = 1\n")
    server = launch("--config", config)
    assert server.ends() == 2
    server.said(rf"^boruta: {config}: line 3: \[server\] bnd: unknown key; did you mean 'bind'")
    assert not data.exists()


def test_what_this_version_lacks_is_refused_not_ignored(launch: Any) -> None:
    server = launch("--ssh=127.0.0.1:0")
    assert server.ends() == 2
    server.said("^boruta: --ssh: .*not available in this version")


def test_it_tells_over_http_whether_it_is_ready(launch: Any) -> None:
    server = launch("--http=127.0.0.1:0").started()
    url = server.said(r"http_started url=(\S+)")[1]
    with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b"ready\n")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/api/v2/requests", timeout=10)


def test_an_http_address_that_is_taken_is_named(launch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = launch(f"--http=127.0.0.1:{taken.getsockname()[1]}")
        assert server.ends() == 2
        server.said("^boruta: http: cannot listen on 127.0.0.1:.*Address already in use")


def test_a_second_signal_ends_it_at_once(launch: Any, data: Path) -> None:
    server = launch().started()
    # Both are there when it goes on, so that the first cannot have ended it before.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        server.process.send_signal(number)
    assert server.ends() in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    server.said("server_stopped_at_once")
    assert not (data / "server.json").exists()


def test_a_hangup_reads_the_config_again(launch: Any, tmp_path: Path, data: Path) -> None:
    config = tmp_path / "boruta.toml"
    config.write_text('[requests]\njob_timeout = "10m"\n')
    server = launch("--config", config).started()
    with connect(data=data) as client:
        assert client.get_request_info(client.new_request({"a": "b"}, 8)).job_timeout_s == 600
        config.write_text(
            '[requests]\njob_timeout = "20m"\n[server]\naccess_host = "x"\n[log]\nlevel = "debug"\n'
        )
        server.process.send_signal(signal.SIGHUP)
        server.said("needs_restart keys=server.access_host")
        server.said("INFO reloaded")
        assert client.get_request_info(client.new_request({"a": "b"}, 8)).job_timeout_s == 1200
        config.write_text("[requests]\njob_timeout = 0\n")
        server.process.send_signal(signal.SIGHUP)
        server.said("config_refused .*line 2.*the old one goes on")
        assert client.get_request_info(client.new_request({"a": "b"}, 8)).job_timeout_s == 1200


def test_json_logs_are_one_object_a_line(launch: Any) -> None:
    server = launch("--log-format", "json")
    server.said("server_started")
    server.process.send_signal(signal.SIGINT)
    assert server.ends() == 0
    events = [json.loads(line) for line in server.lines]
    started = next(one for one in events if one.get("event") == "server_started")
    assert started["level"] == "info"
    assert started["url"].startswith("tcp://127.0.0.1:")
    assert started["pid"] == str(server.process.pid)


def test_insecure_is_said_loudly_at_each_start(launch: Any, data: Path) -> None:
    for _ in range(2):
        server = launch("--insecure").started()
        server.said("WARNING insecure .*EVERY PEER IS AN ADMIN")
        with connect(data=data) as client:
            assert client.info()["role"] == "admin"
        server.process.send_signal(signal.SIGTERM)
        assert server.ends() == 0


# --- keys
def test_a_key_lives_and_dies_on_a_running_server(launch: Any, tmp_path: Path, data: Path) -> None:
    server = launch().started()
    url = json.loads((data / "server.json").read_text())["url"]
    made = boruta("key", "new", "alice", "--role", "user", "--out", tmp_path, "--data", data)
    assert (made.returncode, made.stdout) == (0, f"{tmp_path / 'alice.key_secret'}\n")
    server.said("key_added name=alice")
    mine: dict[str, Any] = {
        "server_key": data / "keys/server.key",
        "key": tmp_path / "alice.key_secret",
    }
    with connect(url, **mine) as alice, connect(data=data) as admin:
        assert alice.info()["name"] == "alice"
        held = alice.new_request({"a": "b"}, 8, bound=True)
        queued = alice.new_request({"a": "b"}, 8)
        mark = len(server.lines)
        assert boruta("key", "remove", "alice", "--data", data).returncode == 0
        server.said(r"key_revoked key=\S+ connections=1", after=mark)
        server.said("key_removed name=alice", after=mark)
        with pytest.raises(BorutaError):
            connect(url, timeout=5, **mine)
        assert admin.get_request_info(held).state is ReqState.CANCEL
        assert admin.get_request_info(queued).state is ReqState.CANCEL


def test_keys_are_handled_on_a_stopped_server_too(launch: Any, tmp_path: Path, data: Path) -> None:
    at = ("--data", data)
    assert boruta("key", "list", *at).returncode == 3
    assert boruta("key", "new", "bob", "--role=worker", "--out", tmp_path, *at).returncode == 0
    (tmp_path / "copy.key").write_text((tmp_path / "bob.key").read_text())
    again = boruta("key", "add", "eve", "--role=admin", tmp_path / "copy.key", *at)
    assert (again.returncode, "admitted as bob" in again.stderr) == (5, True)
    listed = boruta("key", "list", "-o", "json", *at)
    assert [(p["name"], p["role"]) for p in json.loads(listed.stdout)] == [("bob", "worker")]
    assert "bob" in boruta("--data", str(data), "key", "list").stdout
    (data / "keys/peers/odd.key").write_text("nonsense")
    assert len(boruta("key", "list", *at).stderr.splitlines()) == 1
    (data / "keys/peers/odd.key").unlink()
    assert boruta("key", "new", "../x", "--role=user", *at).returncode == 2
    assert boruta("key", "new", "x", "--role=boss", *at).returncode == 2
    server = launch().started()
    url = json.loads((data / "server.json").read_text())["url"]
    with pytest.raises(NotPermitted):
        # A worker's key is no user's.
        connect(
            url, server_key=data / "keys/server.key", key=tmp_path / "bob.key_secret", timeout=5
        )
    assert boruta("key", "remove", "bob", *at).returncode == 0
    assert boruta("key", "remove", "bob", *at).returncode == 3
    server.said("key_removed name=bob")
