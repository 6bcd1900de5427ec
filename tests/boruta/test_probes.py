"""/healthz and /readyz: what they say while a loop serves, does not, is held; and to abuse."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from boruta import probes
from boruta.domain.errors import BadConfig
from boruta.probes import Probes


@dataclass
class Watched:
    """A loop in a thread, and what listens for it."""

    loop: asyncio.AbstractEventLoop
    probes: Probes
    why: str = ""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.probes.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(probes, "WITHIN_S", 0.3)
    monkeypatch.setattr(probes, "AT_ONCE", 3)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> Probes:
        return Probes("127.0.0.1:0", lambda: made.why)

    made = Watched(loop, asyncio.run_coroutine_threadsafe(make(), loop).result(10))
    yield made
    made.probes.close()
    if loop.is_running():
        loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_who_takes_requests_is_ready_and_who_does_not_says_why(watched: Watched) -> None:
    assert watched.ask("/readyz") == (200, "ready\n")
    watched.why = "standing by for another server"
    assert watched.ask("/readyz?verbose") == (503, "standing by for another server\n")
    assert watched.ask("/healthz") == (200, "ok\n")
    assert watched.ask("/healthz", "HEAD") == (200, "")
    watched.why = ""
    assert watched.ask("/readyz") == (200, "ready\n")


def test_a_loop_that_is_held_is_not_healthy(watched: Watched) -> None:
    held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        goes_on.wait(10)

    watched.loop.call_soon_threadsafe(hold)
    assert held.wait(10)
    try:
        for path in ("/healthz", "/readyz"):
            status, why = watched.ask(path)
            assert (status, "has not answered" in why) == (503, True)
    finally:
        goes_on.set()
    assert watched.ask("/healthz") == (200, "ok\n")


def test_other_questions_are_answered_with_what_there_is(watched: Watched) -> None:
    assert watched.ask("/") == (404, "there are /healthz and /readyz\n")
    status, said = watched.ask("/readyz", "DELETE")
    assert (status, "DELETE" in said, "<" in said) == (501, True, False)


@pytest.mark.parametrize(
    "said", [b"\x00" * 5000 + b"\r\n\r\n", b"GET\r\n\r\n", b"G" * 100_000, b""]
)
def test_garbage_hurts_nobody(watched: Watched, said: bytes) -> None:
    connection = socket.create_connection(watched.address, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.sendall(said)
    assert watched.ask("/healthz") == (200, "ok\n")


def test_those_who_say_nothing_take_no_more_than_their_places(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes._Handler, "timeout", 0.3)
    silent = [socket.create_connection(watched.address, timeout=10) for _ in range(3)]
    more = socket.create_connection(watched.address, timeout=10)
    try:
        assert more.recv(1) == b""  # cut at once
        for connection in silent:
            assert connection.recv(1) == b""  # after their time
        assert watched.ask("/healthz") == (200, "ok\n")
    finally:
        for connection in [*silent, more]:
            connection.close()


def test_an_address_that_is_taken_is_told(watched: Watched) -> None:
    async def again() -> None:
        with pytest.raises(BadConfig, match=r"cannot listen on 127\.0\.0\.1:"):
            Probes(f"127.0.0.1:{watched.address[1]}", str)

    asyncio.run(again())
