"""A database that cannot be written, under a real server: what goes on, what heals."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from boruta.aio import connect
from boruta.domain.errors import StoreUnavailable
from tests.integration.lab import Lab, free_port, hold, readyz

HTTP = f"127.0.0.1:{free_port()}"
QUIET = ("--bind", "tcp://127.0.0.1:0", "--log-level", "warning", "--http", HTTP)
Heal = Callable[[], None]


class Session:
    """An ssh session that stays open: it says back what it is told."""

    def __init__(self, farm: Lab, req_id: str) -> None:
        self._farm = farm
        self._child = farm.start(
            "boruta", "--data", str(farm.data), "exec", req_id, "--",
            'while read -r word; do echo "heard $word"; done; echo over',
            stdin=subprocess.PIPE,
        )  # fmt: skip
        self.answers("hello")

    def answers(self, word: str, within_s: float = 10.0) -> None:
        """It must."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()
        self._farm.until(
            lambda: f"heard {word}" in self._farm.said(self._child), f"{word!r} is heard", within_s
        )

    def ends(self, within_s: float = 10.0) -> None:
        """It was cut off."""
        self._farm.until(lambda: self._child.poll() is not None, "the session is cut", within_s)
        assert "over" not in self._farm.said(self._child)

    def close(self) -> None:
        """The holder leaves."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        assert self._child.wait(10) == 0


def refused(farm: Lab) -> bool:
    """Whether a new request is refused for the store, as it must be then."""
    done = farm.run("request", "-c", "arch=armv7l", "--note", "while it is unwell")
    if done.returncode == 0:
        return False  # it was written just before
    assert done.returncode == 9, done.stderr
    assert "[store_unavailable]" in done.stderr
    return True


def facts(farm: Lab) -> dict[str, Any]:
    """What the server tells of itself."""

    async def asked() -> dict[str, Any]:
        async with connect(data=farm.data) as client:
            return dict(await client.info())

    return asyncio.run(asked())


def _hint(farm: Lab) -> object:
    """What a refused caller is told of when to try again."""

    async def asked() -> object:
        async with connect(data=farm.data) as client:
            with pytest.raises(StoreUnavailable) as caught:
                await client.new_request({"arch": "armv7l"}, 8)
            return caught.value.details["retry_after_s"]

    return asyncio.run(asked())


def goes_through_it(
    farm: Lab, strike: Callable[[], Heal], words: Sequence[str] = (), *, timed: str = ""
) -> None:
    """The story of each fault; the server runs, by `words` too, and has a board for each holder.

    Args:
        farm: where.
        strike: makes the database unwell; what it returns makes it well.
        words: more of the server's command line.
        timed: how long the job of a third holder is, which ends meanwhile.
    """
    running = [hold(farm) for _ in range(2)]
    waits = farm.boruta("request", "-c", "arch=none")
    session = Session(farm, running[0])
    ends = hold(farm, "--for", timed) if timed else ""
    heal = strike()
    farm.until(lambda: refused(farm), "new requests are refused", 20)
    server = farm.server
    assert server is not None
    assert "store_unwell" in farm.said(server, "err")
    assert facts(farm)["store_unwell"]
    status, why = readyz(HTTP)
    assert status == 503
    assert why.startswith("store_unavailable: ")
    assert _hint(farm) == 1.0
    # Who runs goes on, and is seen to; who comes to his board by a new session, too.
    session.answers("still there")
    assert farm.boruta("exec", running[0], "--", "echo still mine") == "still mine"
    for req_id in filter(None, (running[0], ends)):
        assert farm.request(req_id)["state"] == "IN PROGRESS"
    assert running[1] in farm.boruta("requests", "-o", "id").split()
    # It ends at once, though that is not on the disk yet, which he who ends it is told.
    closed = farm.run("close", running[1])
    assert (closed.returncode, "[store_unavailable]" in closed.stderr) in ((0, False), (9, True))
    assert farm.request(running[1])["state"] == "DONE"
    if ends:
        farm.until(lambda: farm.request(ends)["state"] == "DONE", "its time is up")
        assert refused(farm), "it is well again too early"
    heal()
    farm.until(lambda: not refused(farm), "new requests are taken again", 30)
    assert "store_well" in farm.said(server, "err")
    assert facts(farm)["store_unwell"] is None
    assert readyz(HTTP) == (200, "ready\n")
    assert server.poll() is None
    session.answers("after it")
    session.close()
    # What went on meanwhile is written now.
    farm.kill_server()
    farm.start_server(*QUIET, *words)
    assert farm.request(running[1])["state"] == "DONE"
    assert farm.request(running[0])["state"] == "IN PROGRESS"
    assert farm.request(waits)["state"] == "WAITING"
    farm.until(
        lambda: farm.run("exec", running[0], "--", "true").returncode == 0, "its board is back"
    )
    for req_id, code in ((running[1], "closed"), (ends, "time_up")):
        if req_id:
            assert farm.request(req_id)["reason_code"] == code
            told = [one for one in farm.json("history", req_id) if one["new_state"] == "DONE"]
            assert len(told) == 1
