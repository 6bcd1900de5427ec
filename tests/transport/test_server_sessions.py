from __future__ import annotations

import os

import pytest
import zmq

from boruta.domain import defaults
from boruta.domain.errors import ShuttingDown
from boruta.domain.types import Role
from tests.transport.fake import eventually, place, refused, run


def test_a_second_connection_with_the_same_session_cuts_the_first_and_loses_nothing() -> None:
    async def story() -> None:
        async with place() as there:
            keys, session = there.admit("ann"), os.urandom(16)
            with there.raw(keys) as first, there.raw(keys) as second:
                assert (await first.hello(session=session))["body"]["session_kept"] is False
                reply = (await second.hello(session=session))["body"]
                assert reply["session_kept"] is True
                assert await first.cut()
                assert "body" in await second.call("ping")
                assert not there.front.of("session_lost")
                assert there.server.stats()["users"] == 1

    run(story)


def test_a_session_belongs_to_its_key() -> None:
    async def story() -> None:
        async with place() as there:
            session = os.urandom(16)
            with there.raw() as first, there.raw() as second:
                await first.hello(session=session)
                assert (await second.hello(session=session))["body"]["session_kept"] is False
                assert "body" in await first.call("ping")

    run(story)


def test_the_engine_is_told_at_once_when_a_session_loses_its_connection() -> None:
    async def story() -> None:
        async with place() as there:
            session = os.urandom(16)
            with there.raw(there.admit("ann")) as peer:
                await peer.hello(session=session)
            await there.front.until(lambda: there.front.of("session_lost"), 5.0)
            assert there.front.of("session_lost") == [("session_lost", "ann", session)]
            await eventually(lambda: there.server.stats()["peers"] == 0)

    run(story)


def test_the_reply_to_hello_says_who_the_peer_is_and_how_often_it_beats() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw(there.admit("root", Role.ADMIN)) as peer:
                body = (await peer.hello())["body"]
                assert (body["name"], body["role"], body["protocol"]) == ("root", "admin", 1)
                assert body["heartbeat_s"] == defaults.USER_HEARTBEAT_S
                assert body["server"] == "fake server 1"
            with there.raw(role=Role.WORKER) as agent:
                body = (await agent.hello("worker"))["body"]
                assert body["heartbeat_s"] == defaults.HEARTBEAT_S

    run(story)


def test_a_heartbeat_is_sent_back() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                peer.say({"v": 1, "type": "heartbeat", "body": {}})
                assert (await peer.recv())["type"] == "heartbeat"

    run(story)


def test_the_engine_learns_by_which_host_the_asker_came() -> None:
    async def story() -> None:
        async with place(bind="tcp://*:0") as there:
            url = there.server.url.replace("0.0.0.0", "127.0.0.2")
            there.server._router.url = url
            with there.raw() as peer:
                await peer.hello()
                assert there.front.reached_at == ["127.0.0.2"]

    run(story)


def test_without_keys_every_peer_is_an_admin() -> None:
    async def story() -> None:
        async with place(insecure=True) as there:
            with there.raw() as user, there.raw() as agent:
                assert (await user.hello())["body"]["role"] == "admin"
                assert (await agent.hello("worker"))["body"]["role"] == "admin"

    run(story)


def test_a_removed_key_is_cut_at_once_and_does_not_come_back() -> None:
    async def story() -> None:
        async with place() as there:
            keys = there.admit("ann")
            link = there.link(keys)
            await link.open(5.0)
            other = await there.user("bob")
            del there.admitted[keys.public]
            assert there.server.revoke(keys.public) == 1
            await there.front.until(lambda: there.front.of("session_lost"), 2.0)
            await eventually(lambda: link.last_error is not None)
            error = await refused(link.open(5.0))
            assert error.code == "not_permitted"
            assert "does not admit this key" in str(error)
            await other.call("ping", {}, 5.0)
            assert there.server.revoke(keys.public) == 0

    run(story)


def test_subscriptions_belong_to_the_session_and_a_reconnect_is_a_gap() -> None:
    async def story() -> None:
        async with place() as there:
            keys, session = there.admit("ann"), os.urandom(16)
            with there.raw(keys) as first:
                await first.hello(session=session)
                await first.call("events.subscribe", kinds=["updated"])
                there.front.change(1, "updated")
                there.front.change(1, "ended")
                there.front.change(2, "updated")
                seen = [await first.recv(), await first.recv()]
                assert [one["body"]["request"]["id"] for one in seen] == [1, 2]
            await there.front.until(lambda: there.front.of("unsubscribed"))
            there.front.change(3, "updated")
            with there.raw(keys) as second:
                await second.hello(session=session)
                assert (await second.recv())["type"] == "event_gap"
                there.front.change(4, "ended")
                there.front.change(5, "updated")
                assert (await second.recv())["body"]["request"]["id"] == 5

    run(story)


def test_a_connection_that_replaces_a_live_one_takes_its_subscription_over() -> None:
    async def story() -> None:
        async with place() as there:
            keys, session = there.admit("ann"), os.urandom(16)
            with there.raw(keys) as first, there.raw(keys) as second:
                await first.hello(session=session)
                await first.call("events.subscribe")
                await second.hello(session=session)
                assert (await second.recv())["type"] == "event_gap"
                there.front.change(5)
                assert (await second.recv())["body"]["request"]["id"] == 5
                assert len(there.front.watchers) == 1

    run(story)


def test_news_after_a_seq_come_after_the_reply() -> None:
    async def story() -> None:
        async with place() as there:
            for number in range(3):
                there.front.change(number + 1)
            with there.raw() as peer:
                await peer.hello()
                reply = await peer.call("events.subscribe", after_seq="x-1")
                assert not peer.notices
                assert reply["body"]["seq"] == "x-3"
                seen = [(await peer.recv())["body"]["seq"] for _ in range(2)]
                assert seen == ["x-2", "x-3"]
                await peer.call("events.unsubscribe")
                there.front.change(9)
                assert "body" in await peer.call("ping")
                assert not peer.notices

    run(story)


def test_who_waits_to_acquire_is_not_answered_by_a_server_that_stops() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                await peer.call("requests.new", caps={}, priority=8)
                peer.say({"v": 1, "id": 90, "type": "requests.acquire", "body": {"id": 1}})
                await there.front.until(lambda: there.front.of("acquiring"))
                there.server.announce_stop("an update")
                there.front.boards[1].set_exception(ShuttingDown("as the engine does"))
                there.front.boards[1].exception()
                assert (await peer.recv())["type"] == "goodbye"
                await there.server.stop(0.2)
                assert await peer.cut()
                with pytest.raises(zmq.Again):
                    peer.socket.recv(zmq.NOBLOCK)

    run(story)


def test_the_server_says_goodbye_before_it_stops() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                there.server.announce_stop("for lunch")
                said = await peer.recv()
                assert said["type"] == "goodbye"
                assert said["body"]["reason"] == "for lunch"
                assert said["body"]["retry_after_s"] > 0
                await there.server.stop(0.2)
                assert await peer.cut()

    run(story)
