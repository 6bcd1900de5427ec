"""A server that does not lead tells who calls where to go, and a client goes there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from boruta.domain import defaults
from boruta.domain.errors import Busy, NotLeader
from tests.transport.fake import Place, eventually, place, refused, run
from tests.transport.raw import Raw
from transport import dealer, lifeline, refusing, router
from transport.client import Address
from transport.door import Door
from transport.refusing import Refuser
from transport.retrying import delay_s, leader_told


@dataclass
class Other:
    """One that stands by, and what it told each who called."""

    refuser: Refuser
    told: list[NotLeader]

    @property
    def url(self) -> str:
        return self.refuser.url


@contextlib.asynccontextmanager
async def stands_by(there: Place, *servers: str) -> AsyncIterator[Other]:
    """One that has the keys of `there` and sends whoever calls to these."""
    door = Door("tcp://127.0.0.1:0", there.keys.public, there.keys.secret, there.admitted.get)
    why = NotLeader("stands by", servers=list(servers), retry_after_s=1.0)
    told: list[NotLeader] = []

    def tell() -> NotLeader:
        told.append(why)
        return why

    refuser = Refuser(door, asyncio.get_running_loop(), tell)
    refuser.start()
    try:
        yield Other(refuser, told)
    finally:
        refuser.close()


def test_a_client_that_knows_one_that_stands_by_alone_finds_the_leader() -> None:
    async def story() -> None:
        async with place() as there, stands_by(there, there.server.url) as other:
            keys = there.admit("ann")
            link = there.link(keys, servers=[Address(other.url, there.keys.public)])
            assert (await link.open(10.0))["name"] == "ann"

    run(story)


def test_where_no_leader_is_known_the_client_is_told_and_tries_on() -> None:
    async def story() -> None:
        async with place() as there, stands_by(there) as other:
            keys = there.admit("ann")
            link = there.link(keys, servers=[Address(other.url, there.keys.public), there.address])
            await link.open(10.0)
            only = there.link(keys, servers=[Address(other.url, there.keys.public)])
            error = await refused(only.open(1.0))
            assert error.code == "unreachable"
            assert "stands by" in error.message

    run(story)


def test_a_leader_that_is_gone_is_not_all_that_is_tried() -> None:
    async def story() -> None:
        async with place() as there, stands_by(there, "tcp://127.0.0.1:1") as other:
            keys = there.admit("ann")
            known = [Address(other.url, there.keys.public), there.address]
            await there.link(keys, servers=known).open(10.0)

    run(story)


def test_a_leader_that_says_nothing_is_not_waited_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifeline, "_HELLO_WITHIN_S", 0.3)

    async def story() -> None:
        tries: list[asyncio.StreamWriter] = []
        mute = await asyncio.start_server(lambda _, writer: tries.append(writer), "127.0.0.1", 0)
        url = f"tcp://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        async with place() as there, stands_by(there, url) as other:
            keys = there.admit("ann")
            known = [Address(one, there.keys.public) for one in (url, other.url)]
            link = there.link(keys, servers=known)
            opening = asyncio.ensure_future(link.open(10.0))
            await eventually(lambda: len(other.told) >= 3)
            assert len(tries) == 1
            url = other.url
            other.refuser.close()
            await there.server.stop(0.0)
            there.start_again(url)
            assert (await opening)["name"] == "ann"
        for writer in tries:
            writer.close()
        mute.close()
        await mute.wait_closed()

    run(story)


def test_a_machine_that_does_not_even_refuse_is_left_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dealer, "_CONNECT_MS", 300)

    async def story() -> None:
        with contextlib.ExitStack() as all:
            full = all.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(2):  # with these it is full: the kernel drops what else comes
                one = all.enter_context(socket.socket())
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    one.connect(full.getsockname())
            async with place() as there:
                gone = Address(f"tcp://127.0.0.1:{full.getsockname()[1]}", there.keys.public)
                link = there.link(there.admit("ann"), servers=[gone, there.address])
                errors = []
                link._failed = lambda address, error: errors.append(error)  # type: ignore[method-assign]
                assert (await link.open(4.0))["name"] == "ann"
                assert [type(error) for error in errors] == [dealer.Mute]

    run(story)


def test_only_another_address_of_a_server_that_does_not_lead_is_gone_to() -> None:
    here = Address("tcp://127.0.0.1:7175", "k" * 40)
    for servers in (7, ["nonsense"], [], [here.url]):
        assert leader_told(NotLeader("no", servers=servers), here) is None
    assert leader_told(Busy("no", servers=["tcp://h:1"]), here) is None
    assert leader_told(NotLeader("no", servers=["x", "tcp://h:1"]), here) == Address(
        "tcp://h:1", here.server_key
    )


def test_a_user_who_knows_of_another_server_is_quick_and_else_does_as_he_is_told() -> None:
    for failures in (1, 5, 50):
        assert 0.2 <= delay_s(failures, None, True) <= 0.6
        assert 0.2 <= delay_s(failures, None, False) <= min(3.0, 0.2 * 2.0**failures)
    assert 0.7 <= delay_s(1, 1.0, False) <= 1.0
    assert delay_s(1, 60.0, True) <= 0.6


def test_any_call_is_refused_and_who_makes_it_is_cut() -> None:
    async def story() -> None:
        async with place() as there, stands_by(there, "tcp://192.0.2.1:7175") as other:
            peer = Raw(other.url, there.keys.public, there.admit("ann"))
            try:
                reply = await peer.call("ping")
                assert reply["error"]["code"] == "not_leader"
                assert reply["error"]["details"]["servers"] == ["tcp://192.0.2.1:7175"]
                assert reply["error"]["details"]["retry_after_s"] == 1.0
                await eventually(lambda: not list(other.refuser._router.peers))
            finally:
                peer.close()

    run(story)


def test_who_comes_in_and_asks_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusing, "_TICK_S", 0.05)
    monkeypatch.setattr(router, "_SAID_NOTHING_S", 0.1)
    monkeypatch.setattr(defaults, "HELLO_WITHIN_S", 0.1)

    async def story() -> None:
        async with place() as there, stands_by(there) as other:
            keys = there.admit("ann")
            with (
                Raw(other.url, there.keys.public, keys) as mute,
                Raw(other.url, there.keys.public, keys) as beats,
            ):
                beats.say({"v": 1, "type": "heartbeat", "body": {}})
                assert await beats.cut()
                assert await mute.cut()

    run(story)


def test_a_port_is_free_again_as_soon_as_it_is_closed() -> None:
    async def story() -> None:
        async with place() as there:
            async with stands_by(there) as other:
                url = other.url
            await there.server.stop(0.0)
            there.start_again(url)

    run(story)
