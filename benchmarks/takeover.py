"""Seconds until a client is answered again, where another server stands by on one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.stores import SQLITE, databases
from boruta.aio import Client, connect
from boruta.domain.errors import Unavailable
from boruta.server import HAND_OVER

BORUTA: Final = (sys.executable, "-c", "from boruta.cli.main import main; main()")
_LOOK_S: Final = 0.02
_WITHIN_S: Final = 60.0


class Node:
    """One of the two servers; what it has said since somebody looked tells where it stands."""

    def __init__(self, place: Path, name: str, database: str) -> None:
        self.data = place / name
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._database = database
        self._log = place / f"{name}.log"
        self._read = 0
        self.process: subprocess.Popen[bytes]

    def start(self, *words: str) -> None:
        """Starts it; it leads if no other one does."""
        with self._log.open("ab") as log:
            self._read = self._log.stat().st_size
            self.process = subprocess.Popen(
                [*BORUTA, "server", "--data", str(self.data), "--bind", self.address,
                 "--database", self._database, *words],
                stderr=log,
            )  # fmt: skip

    def until(self, said: str) -> None:
        """Waits until it has said this."""
        end = time.monotonic() + _WITHIN_S
        while said.encode() not in self._log.read_bytes()[self._read :]:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{self._log.read_text()}\nit has not said {said!r}")
            time.sleep(_LOOK_S)
        self._read = self._log.stat().st_size

    def command(self, *words: str) -> None:
        """A command on its machine."""
        command = [*BORUTA, "--data", str(self.data), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def end(self) -> None:
        """Ends it, whatever it does."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


async def _again_s(client: Client, strike: Callable[[], None]) -> float:
    """From the strike to the first answer of the other server."""
    leader = (await client.info())["pid"]
    began = time.perf_counter()
    strike()
    while True:
        with contextlib.suppress(Unavailable):  # it is stopping, and says so
            if (await client.info())["pid"] != leader:
                return time.perf_counter() - began


def _resume(leader: Node) -> None:
    leader.process.send_signal(signal.SIGCONT)


def _restart(leader: Node) -> None:
    leader.process.wait()
    leader.start()


# What befalls the leader; how it becomes the one that stands by; what is aimed at.
Way: TypeAlias = tuple[str, signal.Signals, Callable[[Node], None], float]
WAYS: Final[tuple[Way, ...]] = (
    ("SIGKILL", signal.SIGKILL, _restart, 10.0),
    ("SIGSTOP", signal.SIGSTOP, _resume, 10.0),
    ("a hand-over", HAND_OVER, lambda _leader: None, 1.0),
    ("SIGTERM", signal.SIGTERM, _restart, 1.0),
)


async def _measure(
    place: Path, pair: list[Node], ways: Sequence[Way], rounds: int
) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    async with connect(
        [node.address for node in pair],
        server_key=pair[0].data / "keys" / "server.key",
        key=place / "bench.key_secret",
    ) as client:
        for name, number, then, _ in ways:
            for _ in range(rounds):
                leader, other = pair
                # Neither of them is to be caught unprepared: this is about one fault at a time.
                other.until("standby leader=")
                leader.until("standbys count=1")
                strike = partial(leader.process.send_signal, number)
                took.setdefault(name, []).append(await _again_s(client, strike))
                then(leader)
                pair.reverse()
    return took


def run(scale: Scale) -> list[dict[str, Any]]:
    """Seconds, the median and the worst; there is none without PostgreSQL."""
    rounds, ways = scale.pick((10, WAYS), (2, WAYS), (1, WAYS[-1:]))
    with databases() as there, tempfile.TemporaryDirectory(prefix="boruta-bench-") as text:
        url = next((url for url in there.values() if url != SQLITE), None)
        if url is None:
            return []
        place = Path(text)
        pair = [Node(place, name, url) for name in ("a", "b")]
        pair[0].start()
        try:
            pair[0].until("server_started")
            pair[0].command("key", "new", "bench", "--role", "admin", "--out", text)
            pair[0].command("key", "share", str(place / "share.json"))
            pair[1].start("--join", str(place / "share.json"))
            took = asyncio.run(_measure(place, list(pair), ways, rounds))
        finally:
            for node in pair:
                if hasattr(node, "process"):
                    node.end()
    found = []
    for name, _, _, aim in ways:
        for what, value in (("median", percentile(took[name], 50)), ("worst", max(took[name]))):
            title = f"answered again after {name}, {what} of {rounds}"
            found.append(result(title, value, "s", "lower", aim, "what is aimed at"))
    return found
