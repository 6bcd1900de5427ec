from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator

import pytest
import zmq

from boruta.domain.types import Role
from tests.transport.fake import Clock, Place, eventually, pair, place, run
from tests.transport.raw import Raw
from transport.flood import memory

MIB = 1 << 20


@contextlib.asynccontextmanager
async def others_unhurt(there: Place) -> AsyncIterator[None]:
    """A second client whose calls are answered before, after, and over the same connection."""
    link = there.link(None if there.insecure else there.admit("bystander"))
    await link.open(5.0)
    name = link.hello["name"]
    await link.call("ping", {}, 5.0)
    opened = len(there.front.of("opened"))
    yield
    await link.call("ping", {}, 5.0)
    again = [news for news in there.front.of("opened")[opened:] if news[1] == name]
    assert not again, "the bystander had to reconnect"


def test_before_hello_every_call_is_answered_hello_required_and_has_no_effect() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                answer = await peer.call("requests.new", caps={}, priority=8)
                assert answer["error"]["code"] == "hello_required"
                peer.say({"v": 1, "type": "heartbeat", "body": {}})
                assert "body" in await peer.hello()
                assert not there.front.of("new")
                assert not peer.notices, "a heartbeat before hello was answered"

    run(story)


def test_a_random_frame_of_1_mb_is_answered_bad_frame_and_the_tenth_cuts() -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            noise = random.Random(1)
            with there.raw() as peer:
                await peer.hello()
                for _ in range(9):
                    peer.frame(b"\xc1" + noise.randbytes(10**6))
                    answer = await peer.recv()
                    assert answer["re"] == 0
                    assert answer["error"]["code"] == "bad_frame"
                assert "body" in await peer.call("ping"), "nine bad frames are borne"
                peer.frame(noise.randbytes(10**6))
                assert await peer.cut()

    run(story)


def test_a_frame_of_2_mb_cuts_its_sender_and_nobody_else() -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            with there.raw() as peer:
                await peer.hello()
                peer.frame(bytes(2 * MIB))
                assert await peer.cut()

    run(story)


def test_a_frame_a_little_over_1_mib_cuts_too() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                peer.frame(bytes(MIB + 1))
                assert await peer.cut()

    run(story)


def test_ten_thousand_nested_maps_are_a_bad_frame() -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            with there.raw() as peer:
                await peer.hello()
                peer.frame(b"\x81\xa1a" * 10_000 + b"\xc0")
                answer = await peer.recv()
                assert answer["error"]["code"] == "bad_frame"
                assert "body" in await peer.call("ping")

    run(story)


def test_ten_mb_in_a_caps_value_never_get_in() -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            with there.raw() as peer:
                await peer.hello()
                answer = await peer.call("requests.new", caps={"a": "x" * 2000}, priority=8)
                assert answer["error"]["code"] == "too_large"
                peer.last += 1
                peer.say(
                    {
                        "v": 1,
                        "id": peer.last,
                        "type": "requests.new",
                        "body": {"caps": {"a": "x" * 10**7}, "priority": 8},
                    }
                )
                assert await peer.cut()
                assert not there.front.of("new")

    run(story)


def test_a_message_of_several_parts_cuts_its_sender() -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            with there.raw() as peer:
                await peer.hello()
                peer.frame(b"\x80", b"\x80")
                assert await peer.cut()
            with there.raw() as peer:
                peer.frame(*[b""] * 100_000)  # also as the first thing it says
                assert await peer.cut()

    run(story)


async def plain_zmtp(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of ZMTP 3.0 without keys, by hand: pyzmq shows no message before its end."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    await reader.readexactly(64)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    writer.write(b"\x04" + bytes([len(ready)]) + ready)
    await reader.readexactly(2)
    return reader, writer


@pytest.mark.parametrize("speaks_before", [True, False])
def test_a_message_that_never_ends_is_cut_before_it_fills_the_memory(speaks_before: bool) -> None:
    async def story() -> None:
        # The clock stands: nobody is cut for his silence.
        async with place(insecure=True, clock=lambda: 1.0) as there, others_unhurt(there):
            before = memory()
            _, writer = await plain_zmtp(there.server.url)
            if speaks_before:
                writer.write(b"\x00\x02hi")
                await eventually(lambda: there.server.stats()["bad_frames"])
            over = False
            while not over:
                try:
                    writer.write(b"\x01\x00" * 500_000)
                    await asyncio.wait_for(writer.drain(), 5.0)
                except (ConnectionError, TimeoutError):
                    over = True
                else:
                    over = writer.transport.is_closing()
                there.server.look()
                assert memory() - before < 2 << 30, "2 GiB are gone"
            writer.transport.abort()
            assert there.server.stats()["cut"] == 1

    run(story)


@pytest.mark.parametrize("number", [0, -1, "7", None, 1.5, True, 1 << 63])
def test_a_call_without_a_usable_id_is_answered_with_re_0(number: object) -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                peer.say({"v": 1, "id": number, "type": "ping", "body": {}})
                answer = await peer.recv()
                assert answer["re"] == 0
                assert answer["error"]["code"] == "bad_frame"

    run(story)


def test_a_wrong_version_is_refused_and_no_common_protocol_ends_the_connection() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                peer.say({"v": 2, "id": 5, "type": "hello", "body": {}})
                answer = await peer.recv()
                assert (answer["re"], answer["error"]["code"]) == (5, "bad_frame")
                answer = await peer.hello(protocols=[2, 3])
                assert answer["error"]["code"] == "unsupported_protocol"
                assert answer["error"]["details"]["protocols"] == [1]
                assert await peer.cut()

    run(story)


def test_a_newer_peer_that_also_speaks_protocol_1_is_welcome() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                assert (await peer.hello(protocols=[2, 1]))["body"]["protocol"] == 1

    run(story)


def test_unknown_calls_are_answered_and_unknown_notices_counted() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                peer.say({"v": 1, "type": "something.new", "body": {}})
                answer = await peer.call("requests.dance")
                assert answer["error"]["code"] == "unknown_type"
                assert there.server.stats()["unknown_notices"] == 1
                answer = await peer.call("superviser.set_fail", worker_uuid="u", reason="")
                assert answer["error"]["code"] == "unknown_type", "a user has no worker's calls"

    run(story)


def test_a_second_hello_is_refused() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                assert "error" in await peer.hello()
                assert "body" in await peer.call("ping")

    run(story)


@pytest.mark.parametrize("which", ["strange", "none", "wrong server key"])
def test_who_is_not_admitted_learns_nothing(which: str) -> None:
    async def story() -> None:
        async with place() as there, others_unhurt(there):
            server_key: str | None = there.keys.public
            keys = pair()
            if which == "none":
                server_key = None
            elif which == "wrong server key":
                server_key, keys = pair().public, there.admit("bob")
            with Raw(there.server.url, server_key, keys) as peer:
                peer.say({"v": 1, "id": 1, "type": "hello", "body": {}})
                assert await peer.cut()
                with pytest.raises(zmq.Again):
                    peer.socket.recv(zmq.NOBLOCK)
            assert there.server.stats()["peers"] == 1

    run(story)


def test_a_claimed_routing_id_gives_nobody_the_frames_of_another() -> None:
    async def story() -> None:
        async with place() as there:
            with contextlib.ExitStack() as stack:
                first = stack.enter_context(there.raw(routing_id=b"me"))
                await first.hello()
                second = stack.enter_context(there.raw(routing_id=b"me"))
                second.say({"v": 1, "id": 1, "type": "hello", "body": {}})
                assert "body" in await first.call("ping")
                with pytest.raises(TimeoutError):
                    await second.recv(0.2)
                assert "body" in await first.call("ping")

    run(story)


def test_a_peer_without_hello_is_cut_after_5_s_whether_it_speaks_or_not() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with there.raw() as silent, there.raw() as chatty, there.raw() as polite:
                await polite.hello()
                await chatty.call("ping")
                assert await silent.event(zmq.EVENT_HANDSHAKE_SUCCEEDED)
                began = clock()
                while clock() - began < 4.0:  # in steps: a leap would be a standstill
                    clock.ahead += 0.5
                    there.server.look()
                assert not await silent.cut(0.05)
                assert not await chatty.cut(0.05)
                clock.ahead += 1.2
                there.server.look()
                assert await silent.cut(5.0)
                assert await chatty.cut(5.0)
                assert "body" in await polite.call("ping")

    run(story)


def test_who_may_not_have_a_role_is_told_so() -> None:
    async def story() -> None:
        async with place() as there:
            for key, role, code in [
                (Role.USER, "worker", "not_permitted"),
                (Role.WORKER, "user", "not_permitted"),
                (Role.USER, "admin", "bad_request"),
                (Role.ADMIN, "user", None),
                (Role.ADMIN, "worker", None),
                (Role.WORKER, "worker", None),
            ]:
                with there.raw(role=key) as peer:
                    answer = await peer.hello(role)
                    assert answer.get("error", {}).get("code") == code
                    if code is None:
                        assert answer["body"]["role"] == key.value

    run(story)


def test_a_hello_whose_session_is_not_16_bytes_is_refused() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                answer = await peer.hello(session=os.urandom(8))
                assert answer["error"]["code"] == "bad_request"
                assert not there.front.of("opened")

    run(story)
