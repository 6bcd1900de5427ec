"""ZMQ_FD is edge-triggered: a send may swallow the edge of a frame that has just come."""

from __future__ import annotations

import asyncio
import select
from datetime import UTC, datetime
from typing import Any

import zmq

from boruta.domain.types import ReqInfo
from tests.transport.fake import eventually, place, run
from tests.transport.raw import WELCOME, Stub
from transport.client import Address, Link
from transport.session import HEARTBEAT

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def edge(socket: zmq.Socket[bytes]) -> bool:
    """Waits, with the loop held, for news on ZMQ_FD, and until a send looks at them."""
    found = bool(select.select([socket.getsockopt(zmq.FD)], [], [], 5.0)[0])
    select.select([], [], [], 0.01)  # ZeroMQ looks at its commands once a millisecond
    return found


def test_a_send_outside_of_the_drain_does_not_stall_the_server() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as one, there.raw() as other:
                await one.hello()
                await other.hello()
                server, router = there.server, there.server._router
                server._timer.cancel()  # it looks twice a second anyway
                _, to = sorted(router.peers, key=lambda peer: peer.serial)
                for _ in range(5):
                    one.last += 1
                    one.say({"v": 1, "id": one.last, "type": "ping", "body": {}})
                    assert edge(router._socket)
                    router.send(to, HEARTBEAT)
                    await one.reply(one.last, 3.0)

    run(story)


def test_a_send_outside_of_the_drain_does_not_stall_the_link() -> None:
    async def story() -> None:
        notices: list[Any] = []
        stub = Stub(hello=WELCOME)
        link = Link(
            [Address(stub.url)],
            None,
            role="user",
            software="t",
            insecure=True,
            on_notice=lambda kind, body: notices.append(kind),
        )
        await link.open(5.0)
        line = link._line
        assert line is not None
        line._timer.cancel()  # it looks twice a second anyway
        for number in range(1, 6):
            stub.say({"v": 1, "type": "event_gap", "body": {"seq": "s", "at": WHEN}})
            assert edge(line._connection._socket)
            link.notice("heartbeat", {})
            await eventually(lambda wanted=number: len(notices) == wanted, 3.0)
        await link.close()
        await stub.close()

    run(story)


def test_many_calls_of_many_peers_all_come_back() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.infos[1] = ReqInfo(1, 8)
            links = [await there.user(f"user{n}") for n in range(4)]

            async def ask(link: Link) -> None:
                for _ in range(50):
                    await link.call("requests.get", {"id": 1}, 10.0)

            await asyncio.gather(*(ask(link) for link in links for _ in range(5)))

    run(story)
