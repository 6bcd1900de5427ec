"""A farm of processes that are killed: one server, boards, clients, and what they leave behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from boruta.keys import KeyRing
from boruta.store.check import check
from tests.crash import judge
from tests.crash.kept import read_kept
from tests.crash.log import read, settled
from tests.integration.lab import Lab

BOARDS: Final = (5, 5, 4)  # of each process
PEOPLE: Final = 20
WITHIN_S: Final = 40.0
CONFIG: Final = '[workers]\ninitial = "idle"\n'
ROOT: Final = Path(__file__).parents[2]


class CrashFarm(Lab):
    """Starts all of it; `kill_server` and `kill_boards` may come at any time.

    Args:
        place: a directory of its own.
        database: `sqlite:` or a URL.
        seed: of what the clients do, and of when the kills come.
        lives: how many seconds the server serves before it is killed, at least and at most.
        entry: what to run in place of `boruta server`: a module of the tests, and its words.
    """

    def __init__(
        self,
        place: Path,
        database: str,
        seed: int,
        lives: tuple[float, float] = (0.1, 4.5),
        entry: Sequence[str] = (),
    ) -> None:
        super().__init__(place)
        self._database, self._seed = database, seed
        self._lives, self._entry = lives, tuple(entry)
        self.random = random.Random(seed)
        self._bind = "tcp://127.0.0.1:0"
        self._crowd: subprocess.Popen[str]
        (place / "boruta.toml").write_text(CONFIG)
        self.kills = self.boards_killed = 0

    # --- processes
    def open(self) -> None:
        """Starts a server, the boards and the clients."""
        self.data.mkdir(mode=0o700)
        ring = KeyRing.open(self.data)
        for number in range(PEOPLE):
            ring.new(f"user{number:02}", "user", (), self.place)
        ring.new("boards", "worker", (), self.place)
        self.spawn_server()
        self.ready()
        self._bind = self.url
        facts = json.loads((self.data / "server.json").read_text())
        words = (str(self.place), facts["url"], facts["server_key"], str(PEOPLE), str(self._seed))
        words = (*words, *map(str, BOARDS))
        self._crowd = self.start(sys.executable, "-m", "tests.crash.crowd", *words, env=_env())
        self._until_said("there")

    def spawn_server(self) -> None:
        """Starts the server; does not wait for it."""
        words = ("--data", str(self.data), "--bind", self._bind, "--database", self._database)
        words = ("server", "--config", str(self.place / "boruta.toml"), *words)
        if self._entry:
            command = (sys.executable, "-m", *self._entry, *words)
            self.server = self.start(*command, env=_env())
        else:
            self.server = self.start("boruta", *words)

    def ready(self) -> float:
        """Waits until the server serves; the seconds that it took."""
        assert self.server is not None
        pid = self.server.pid

        def serves() -> bool:
            try:
                return bool(json.loads((self.data / "server.json").read_text())["pid"] == pid)
            except (OSError, ValueError):
                return False

        return self.until(serves, "the server", WITHIN_S)

    def kill_boards(self) -> None:
        """SIGKILL to one process of boards, which is started again at once."""
        self.boards_killed += 1
        os.kill(self._pid(f"boards {self.random.randrange(len(BOARDS))}"), signal.SIGKILL)

    def _pid(self, name: str) -> int:
        """The newest of that name."""
        lines = [line for line in self.said(self._crowd).splitlines() if line.startswith(name)]
        return int(lines[-1].split()[-1])

    # --- kills
    def kill_and_start(self) -> None:
        """A life of the server that ends at a random instant, some before it serves."""
        if self.random.random() < 0.8:
            self.ready()
            time.sleep(self.random.uniform(*self._lives))
        else:
            time.sleep(self.random.uniform(0.0, 1.2))
        assert self.server is not None
        assert self.server.poll() is None, self.said(self.server, "err")
        if self.random.random() < 0.4:
            self.kill_boards()
        self.kill_server()
        self.kills += 1
        self.spawn_server()

    def let_run(self, seconds: float) -> None:
        """Nothing happens to it for so long."""
        time.sleep(seconds)

    def leave(self) -> None:
        """The clients finish; then the server dies once more."""
        self.ready()
        os.kill(self._pid("people"), signal.SIGTERM)
        self._until_said("done")
        self.kill_server()
        self.kills += 1

    def _until_said(self, word: str) -> None:
        def says() -> bool:
            assert self._crowd.poll() is None, self.said(self._crowd, "err")
            return word in self.said(self._crowd)

        self.until(says, f"the clients are {word}", WITHIN_S)

    # --- what is left
    def findings(self) -> list[str]:
        """What does not agree; each with all that is known of it."""
        kept = read_kept(self._database, self.data)
        ledger = settled(read(self.place / "ledger"))
        boards = list(read(self.place / "boards.log"))
        found = [
            *judge.ledger_findings(ledger, kept),
            *judge.history_findings(kept),
            *judge.board_findings(boards, ledger, kept),
        ]
        texts = [judge.told(finding, ledger, boards, kept) for finding in found]
        if self._database == "sqlite:":
            wrong = [one for one in check(self.data / "boruta.db") if one.bad]
            texts += [f"check-store: {one.code} {one.text}" for one in wrong]
        return texts

    def done(self) -> dict[str, int]:
        """How much was asked for and answered, by kind of call."""
        counts: dict[str, int] = {}
        for line in read(self.place / "ledger"):
            if "answer" in line:
                counts[line["what"]] = counts.get(line["what"], 0) + 1
            elif "error" in line:
                name = f"{line['what']}:{line['error']}"
                counts[name] = counts.get(name, 0) + 1
        return counts


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
