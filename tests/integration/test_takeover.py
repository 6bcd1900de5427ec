"""Two servers on one PostgreSQL: one leads, the other takes over, and nobody's board is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.lab import Lab, free_port, lab, readyz
from tests.store.conftest import postgres as postgres
from tests.store.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
TAKES_OVER_S = 10.0


class Pair:
    """Two servers with a data directory each, one board, and a client that knows both."""

    def __init__(self, made: Lab, url: str) -> None:
        self.lab = made
        self.database = url
        self.ports = (free_port(), free_port())
        self.http = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.data = tuple(made.place / name for name in ("a", "b"))
        self.servers: list[subprocess.Popen[str] | None] = [None, None]
        self.first(0)
        self.key("alice", "admin")
        self.key("lab", "worker")
        self.share = made.place / "share.json"
        self.local(0, "key", "share", str(self.share))
        self.start(1, "--join", str(self.share))
        self._start_agent()

    def start(self, which: int, *words: str) -> None:
        """Starts a server; one of them leads, the other stands by."""
        self.servers[which] = self.lab.start(
            "boruta", "server", "--data", str(self.data[which]), "--database", self.database,
            "--bind", f"127.0.0.1:{self.ports[which]}", "--http", self.http[which], *words,
        )  # fmt: skip

    def first(self, which: int) -> None:
        """Starts one and waits until it leads."""
        self.start(which)
        self.leads(which)

    def leads(self, which: int, within_s: float = 20.0) -> float:
        """Waits until it leads; the seconds that it took."""
        said = self.servers[which]
        assert said is not None
        return self.lab.until(
            lambda: "server_started" in self.lab.said(said, "err").rpartition("standby")[2],
            "it leads", within_s,
        )  # fmt: skip

    def stands_by(self, which: int) -> None:
        """Waits until it waits, and until the leader must know."""
        said = self.servers[which]
        assert said is not None
        self.lab.until(lambda: "standby leader=" in self.lab.said(said, "err"), "it stands by")
        leader = self.servers[1 - which]
        assert leader is not None
        self.lab.until(lambda: "standbys count=1" in self.lab.said(leader, "err"), "it is known")

    def local(self, which: int, *words: str) -> str:
        """A command on the machine of one of the servers."""
        done = self.lab.run("--data", str(self.data[which]), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def key(self, name: str, role: str) -> None:
        """Admits a key on the first server's machine alone."""
        self.local(0, "key", "new", name, "--role", role, "--out", str(self.lab.place))

    def _start_agent(self) -> None:
        told = json.loads((self.data[0] / "server.json").read_text())
        self.server_key = told["server_key"]
        place = self.lab.place
        servers = ", ".join(f'"127.0.0.1:{port}"' for port in self.ports)
        config = place / "dryad.toml"
        (place / "board").mkdir(mode=0o700)
        config.write_text(
            f'server = [{servers}]\nserver_key = "{self.server_key}"\n'
            f'key = "{place}/lab.key_secret"\ndata = "{place}/board"\n'
            'ssh_address = "127.0.0.1:0"\ntrust_holders = true\n[caps]\narch = "armv7l"\n'
        )
        self.agent = self.lab.start("dryad", "run", "--config", str(config))
        self.lab.until(lambda: self.call("workers", "-o", "id"), "the board is registered")
        self.uuid = self.call("workers", "-o", "id")
        self.call("worker", "enable", self.uuid)

    def call(self, *words: str, know: Sequence[int] = (0, 1)) -> str:
        """What alice, who knows both addresses, is told."""
        servers = ",".join(f"127.0.0.1:{self.ports[which]}" for which in know)
        done = self.lab.run(
            "--server", servers, "--server-key", self.server_key,
            "--key", str(self.lab.place / "alice.key_secret"), *words,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def pair(tmp_path: Path, postgres: Postgres) -> Iterator[Pair]:
    with lab(tmp_path) as made:
        yield Pair(made, postgres.url(postgres.new_database()))


def test_the_other_server_takes_over_with_the_same_access_and_the_queue(pair: Pair) -> None:
    held = pair.call("request", "-c", "arch=armv7l")
    pair.call("wait", held)
    waits = pair.call("request", "-c", "arch=armv7l", "--priority", "2")
    before = json.loads(pair.call("acquire", held, "-o", "json"))
    pair.stands_by(1)
    assert [readyz(one)[0] for one in pair.http] == [200, 503]
    # Whoever knows the one that stands by alone is sent to the leader.
    assert held in pair.call("requests", "-o", "id", know=(1,)).split()
    killed = pair.servers[0]
    assert killed is not None
    killed.kill()
    killed.wait()
    assert pair.leads(1) < TAKES_OVER_S
    assert readyz(pair.http[1]) == (200, "ready\n")
    after = json.loads(pair.call("acquire", held, "-o", "json"))
    assert [after[k] for k in ("port", "key", "username")] == [
        before[k] for k in ("port", "key", "username")
    ]
    pair.lab.until(
        lambda: json.loads(pair.call("worker", "show", pair.uuid, "-o", "json"))["online"],
        "the agent has found the other server",
    )
    assert pair.call("exec", held, "--", "echo still mine") == "still mine"
    pair.call("close", held)
    pair.call("wait", waits)
    # The keys that were admitted on the first machine are files here too.
    assert "alice" in pair.local(1, "key", "list")
    pair.start(0)
    pair.stands_by(0)
    began = time.monotonic()
    pair.local(1, "server", "--hand-over")
    pair.leads(0)
    assert time.monotonic() - began < TAKES_OVER_S
    assert readyz(pair.http[1]) == (503, "standing by for another server\n")
    assert pair.call("exec", waits, "--", "echo handed over") == "handed over"


def test_a_leader_that_was_stopped_and_wakes_up_steps_down(pair: Pair) -> None:
    held = pair.call("request", "-c", "arch=armv7l")
    pair.call("wait", held)
    pair.stands_by(1)
    old = pair.servers[0]
    assert old is not None
    old.send_signal(signal.SIGSTOP)
    assert pair.leads(1) < TAKES_OVER_S
    pair.lab.until(
        lambda: json.loads(pair.call("worker", "show", pair.uuid, "-o", "json"))["online"],
        "the agent has found the other server",
    )
    old.send_signal(signal.SIGCONT)
    pair.lab.until(
        lambda: (
            "deposed reason=" in pair.lab.said(old, "err")
            and "standby leader=" in pair.lab.said(old, "err")
        ),
        "the old one steps down and waits",
    )
    assert not (pair.data[0] / "server.json").exists()
    assert pair.call("exec", held, "--", "echo mine") == "mine"
    # SIGTERM lets the other one lead at once.
    new = pair.servers[1]
    assert new is not None
    assert pair.lab.end(new) == 0
    assert pair.leads(0) < TAKES_OVER_S
    assert pair.call("exec", held, "--", "echo mine again") == "mine again"


def test_two_servers_whose_database_was_away_longer_than_a_lease_go_on_by_themselves(
    pair: Pair, postgres: Postgres
) -> None:
    held = pair.call("request", "-c", "arch=armv7l")
    pair.call("wait", held)
    pair.stands_by(1)
    leader = pair.servers[0]
    assert leader is not None
    postgres.stop(signal.SIGQUIT)
    try:
        pair.lab.until(
            lambda: "database_out_of_reach" in pair.lab.said(leader, "err"),
            "it steps down, for another one waits, and finds no database to stand by at",
        )
    finally:
        postgres.start()
    pair.lab.until(
        lambda: (
            sum("server_started" in pair.lab.said(one, "err").rpartition("out_of_reach")[2]
                for one in pair.servers if one is not None) == 1
        ),
        "one of them leads",
    )  # fmt: skip
    assert [one.poll() for one in pair.servers if one is not None] == [None, None]
    pair.lab.until(
        lambda: json.loads(pair.call("worker", "show", pair.uuid, "-o", "json"))["online"],
        "the agent has found it",
    )
    assert pair.call("exec", held, "--", "echo still mine") == "still mine"
