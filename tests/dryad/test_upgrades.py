"""An agent of this version and a server that already speaks protocol 2."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from boruta.domain.types import Capabilities
from dryad.connection import Connection
from tests.dryad.fakes import HOST_KEY, KEY, Board
from tests.transport.fake import eventually
from tests.transport.raw import WELCOME, Stub
from transport.client import Address

pytestmark = pytest.mark.integration
WORKER = {"worker_uuid": "b1", "state": "IDLE", "shelf": 7}
REGISTERED = {"body": {"worker": WORKER, "epoch": [1, 0], "quota": None}}
NEWER = {
    "body": {**WELCOME["body"], "server": "boruta 2.0", "role": "worker", "colours": ["red"]},
    "trace": "0af7651916cd43dd",
}


async def answer(stub: Stub, number: int) -> dict[str, Any]:
    """What the agent replied to the stub's call of this number."""

    def found() -> list[dict[str, Any]]:
        return [one for one in stub.heard if one.get("re") == number]

    await eventually(found)
    return found()[0]


def connected(stub: Stub, board: Board, **more: Any) -> Connection:
    connection = Connection(
        board.agent,
        caps=Capabilities(UUID="b1"),
        ssh_address="127.0.0.1:7022",
        servers=[Address(stub.url)],
        keys=None,
        insecure=True,
        **more,
    )
    connection.open()
    return connection


def test_what_a_newer_server_says_more_is_ignored_and_what_it_wants_is_refused() -> None:
    async def story() -> None:
        stub = Stub(hello=NEWER, superviser_register=REGISTERED)
        board = Board()
        connection = connected(stub, board)
        await eventually(lambda: connection.registered)
        hello = next(one for one in stub.heard if one["type"] == "hello")
        assert hello["body"]["protocols"] == [1]

        stub.say({"v": 1, "type": "dryad.weather", "body": {"rain": True}})  # a new notice
        prepare = {"epoch": [1, 1], "key": KEY, "default_lease_s": 60.0, "image": "debian-13"}
        stub.say({"v": 1, "id": 1, "type": "dryad.prepare", "body": prepare, "trace": "x"})
        said = await answer(stub, 1)
        assert said["body"] == {"username": "boruta-user", "host_keys": [HOST_KEY]}
        stub.say({"v": 1, "id": 2, "type": "dryad.dance", "body": {}})
        assert (await answer(stub, 2))["error"]["code"] == "unknown_type"
        stub.say({"v": 2, "id": 3, "type": "dryad.healthcheck", "body": {}})
        stub.say({"v": 1, "id": 4, "type": "dryad.healthcheck", "body": {}})
        assert "checks" in (await answer(stub, 4))["body"]
        assert connection.registered
        await connection.close()
        await board.agent.close()
        await stub.close()

    asyncio.run(story())


def test_a_server_without_a_common_protocol_is_tried_again_until_it_has_one() -> None:
    async def story() -> None:
        refusal = {
            "code": "unsupported_protocol",
            "message": "this server speaks protocols 2",
            "details": {"protocols": [2]},
        }
        stub = Stub(hello={"error": refusal}, superviser_register=REGISTERED)
        board = Board()
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:  # somebody has put the older version back
                stub.answers["hello"] = NEWER

        connection = connected(stub, board, sleep=sleep)
        await eventually(lambda: connection.registered)
        assert len(waits) == 3
        assert waits == sorted(waits)  # it does not hammer
        await connection.close()
        await board.agent.close()
        await stub.close()

    asyncio.run(story())
