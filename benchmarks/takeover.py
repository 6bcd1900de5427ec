"""Seconds until a client is answered again, where another server stands by on one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.server import BORUTA
from benchmarks.stores import SQLITE, databases
from boruta.aio import Client, connect
from boruta.domain.errors import Unavailable
from boruta.server import HAND_OVER

_LOOK_S: Final = 0.02
_WITHIN_S: Final = 60.0


class Wire:
    """Between a server and its PostgreSQL; may be cut and mended.

    Args:
        place: a directory of its own.
        database: the URL, with the directory of a socket as its host.
    """

    def __init__(self, place: Path, database: str) -> None:
        place.mkdir()
        before, _, asked = database.partition("?")
        host = parse_qs(asked)["host"][0]
        self._near, self._far, self._port = place, Path(host), int(parse_qs(asked)["port"][0])
        self.url = f"{before}?host={place}&port={self._port}"
        self.mend()

    def mend(self) -> None:
        """Passes on what comes."""
        from tests.store.proxy import Proxy

        self._proxy = Proxy(self._near, self._far, self._port)

    def cut(self) -> None:
        """Ends what is connected, and takes nothing new."""
        self._proxy.close()
        (self._near / f".s.PGSQL.{self._port}").unlink()


class Node:
    """One of the two servers; what it has said since somebody looked tells where it stands."""

    def __init__(self, place: Path, name: str, database: str) -> None:
        self.data = place / name
        self.wire = Wire(place / f"{name}-wire", database)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._log = place / f"{name}.log"
        self._read = 0
        self.process: subprocess.Popen[bytes]

    def start(self, *words: str) -> None:
        """Starts it; it leads if no other one does."""
        with self._log.open("ab") as log:
            self._read = self._log.stat().st_size
            self.process = subprocess.Popen(
                [*BORUTA, "server", "--data", str(self.data), "--bind", self.address,
                 "--database", self.wire.url, *words],
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
        self.wire.cut()


async def _again_s(client: Client, strike: Callable[[], None]) -> float:
    """From the strike to the first answer of the other server."""
    leader = (await client.info())["pid"]
    began = time.perf_counter()
    strike()
    while True:
        with contextlib.suppress(Unavailable):  # it is stopping, and says so
            if (await client.info())["pid"] != leader:
                return time.perf_counter() - began
        await asyncio.sleep(_LOOK_S / 2)  # the old one answers on until its lease ends


def _signal(number: signal.Signals) -> Callable[[Node], None]:
    return lambda leader: leader.process.send_signal(number)


def _restart(leader: Node) -> None:
    leader.process.wait()
    leader.start()


# What befalls the leader, and how; what makes it the one that stands by; what is aimed at.
Way: TypeAlias = tuple[str, Callable[[Node], None], Callable[[Node], None], float]
WAYS: Final[tuple[Way, ...]] = (
    ("SIGKILL", _signal(signal.SIGKILL), _restart, 10.0),
    ("SIGSTOP", _signal(signal.SIGSTOP), _signal(signal.SIGCONT), 10.0),
    ("a cut", lambda leader: leader.wire.cut(), lambda leader: leader.wire.mend(), 10.0),
    ("a hand-over", _signal(HAND_OVER), lambda _leader: None, 1.0),
    ("SIGTERM", _signal(signal.SIGTERM), _restart, 1.0),
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
        for name, strike, then, _ in ways:
            for _ in range(rounds):
                leader, other = pair
                # Neither of them is to be caught unprepared: this is about one fault at a time.
                other.until("standby leader=")
                leader.until("standbys count=1")
                took.setdefault(name, []).append(await _again_s(client, partial(strike, leader)))
                then(leader)
                pair.reverse()
    return took


def run(scale: Scale) -> list[dict[str, Any]]:
    """Seconds, the median and the worst; there is none without PostgreSQL."""
    rounds = scale.pick(10, 2, 1)
    ways = scale.pick(WAYS, WAYS, WAYS[-2:])  # the others last as long as a lease
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
