"""Keys that ask for more at once than anybody needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest
import zmq

from boruta.domain import defaults
from boruta.domain.types import Role
from tests.transport.fake import place, run
from tests.transport.raw import Raw
from transport.client import KeyPair


def ask(peer: Raw, times: int) -> None:
    """Calls so often, and reads nothing."""
    for _ in range(times):
        peer.last += 1
        body = {"caps": {}, "priority": 8}
        peer.say({"v": 1, "id": peer.last, "type": "requests.new", "body": body})


async def answers(peer: Raw, count: int) -> Counter[str]:
    """What so many calls were answered."""
    found: Counter[str] = Counter()
    while found.total() < count:
        said: dict[str, Any] = await peer.recv()
        if "re" in said:
            found[said.get("error", {}).get("code", "ok")] += 1
    return found


def test_a_key_has_so_many_unanswered_calls_over_all_its_connections() -> None:
    async def story() -> None:
        async with place() as there, contextlib.AsyncExitStack() as stack:
            there.front.hold_new = asyncio.Event()
            keys, each = there.admit("mallory"), defaults.CALLS_AT_ONCE
            peers = [stack.enter_context(there.raw(keys)) for _ in range(3)]
            for peer in peers:
                await peer.hello()
            ask(peers[0], each + 5)
            assert await answers(peers[0], 5) == {"busy": 5}
            ask(peers[1], each)
            await there.front.until(lambda: len(there.front.of("new")) == 2 * each)
            ask(peers[2], 7)
            assert await answers(peers[2], 7) == {"busy": 7}
            other = stack.enter_context(there.raw(there.admit("alice")))
            await other.hello()
            ask(other, 1)
            await there.front.until(lambda: len(there.front.of("new")) == 2 * each + 1)
            there.front.hold_new.set()
            assert await answers(other, 1) == {"ok": 1}
            for peer in peers[:2]:
                assert await answers(peer, each) == {"ok": each}
            # What was answered counts no more.
            ask(peers[2], 7)
            assert await answers(peers[2], 7) == {"ok": 7}

    run(story)


def test_a_user_s_key_has_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "CONNECTIONS_A_KEY", 3)

    async def story() -> None:
        async with place() as there, contextlib.AsyncExitStack() as stack:

            async def come(keys: KeyPair, session: bytes) -> tuple[Raw, str]:
                peer = stack.enter_context(there.raw(keys))
                said = await peer.hello(session=session)
                return peer, said.get("error", {}).get("code", "ok")

            keys = there.admit("mallory")
            mine = [await come(keys, bytes([n] * 16)) for n in range(4)]
            assert [code for _, code in mine] == ["ok", "ok", "ok", "busy"]
            assert await mine[3][0].event(zmq.EVENT_DISCONNECTED)
            # A session that comes back by another connection is none more.
            again, code = await come(keys, bytes([0] * 16))
            assert code == "ok"
            assert (await come(there.admit("alice"), b"a" * 16))[1] == "ok"
            admin = there.admit("boss", Role.ADMIN)
            assert [(await come(admin, bytes([n] * 16)))[1] for n in range(5)] == ["ok"] * 5
            again.close()
            await there.front.until(lambda: there.front.of("session_lost"))
            assert (await come(keys, b"n" * 16))[1] == "ok"

    run(story)
