from __future__ import annotations

import logging
import socket

import pytest
import zmq

from boruta.domain import defaults
from boruta.domain.types import Role
from tests.transport.fake import Clock, Place, eventually, place, run
from tests.transport.raw import Raw
from transport import router as router_module
from transport import sockets
from transport.events import QUEUE


def let_pass(there: Place, clock: Clock, seconds: float) -> None:
    """Time passes, and the server looks round as it does twice a second."""
    for _ in range(round(seconds / 0.5)):
        clock.ahead += 0.5
        there.server.look()


def test_a_peer_that_is_silent_for_13_s_is_cut_and_one_that_beats_is_not() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with there.raw() as silent, there.raw() as beating:
                await silent.hello()
                await beating.hello()
                for _ in range(4):
                    let_pass(there, clock, 3.0)
                    beating.say({"v": 1, "type": "heartbeat", "body": {}})
                    await beating.recv()
                assert not await silent.cut(0.05)
                let_pass(there, clock, 1.5)
                assert await silent.cut()
                assert "body" in await beating.call("ping")
                await there.front.until(lambda: there.front.of("session_lost"))
                assert there.server.stats()["silent"] == 1

    run(story)


def test_each_heartbeat_is_sent_back_however_it_is_written() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw(role=Role.WORKER) as agent, there.raw() as gone:
                await agent.hello(role="worker")
                await gone.hello()
                plain = {"v": 1, "type": "heartbeat", "body": {}}
                gone.say(plain)
                for beat in (plain, plain, {**plain, "body": {"job": {"id": 1, "epoch": 1}}}):
                    agent.say(beat)
                gone.close()
                for _ in range(3):
                    assert (await agent.recv())["type"] == "heartbeat"
                assert "body" in await agent.call("ping"), "nothing more came before"

    run(story)


def test_silence_while_the_server_was_stopped_does_not_count() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with there.raw() as user, there.raw(role=Role.WORKER) as agent, there.raw() as new:
                await user.hello()
                await agent.hello("worker")
                await new.call("ping")  # known, without hello yet
                clock.ahead += 3600.0  # SIGSTOP, or a snapshot of the machine
                there.server.look()
                let_pass(there, clock, 4.0)
                for peer in (user, agent):
                    assert "body" in await peer.call("ping")
                assert "body" in await new.hello()
                assert there.server.stats()["cut"] == 0
                let_pass(there, clock, 14.0)
                assert await user.cut(), "silence after it counts"

    run(story)


def test_what_lies_unread_counts_before_a_peer_is_judged() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with there.raw() as peer:
                await peer.hello()
                let_pass(there, clock, 12.5)
                peer.say({"v": 1, "type": "heartbeat", "body": {}})
                # Until ZeroMQ has it, with the loop kept from reading it.
                assert readable(there.server._router._socket)
                let_pass(there, clock, 1.0)
                assert (await peer.recv())["type"] == "heartbeat"
                assert there.server.stats()["cut"] == 0

    run(story)


def test_a_slow_subscriber_gets_one_gap_and_everybody_else_goes_on() -> None:
    async def story() -> None:
        async with place() as there:
            with slow_peer(there) as slow:
                await slow.hello()
                await slow.call("events.subscribe")
                link = await there.user("quick")
                note = 0
                # More than kernel and ZeroMQ hold, and QUEUE on top of it.
                while there.server.stats()["blocked_sends"] == 0:
                    there.front.change(1)
                    note += 1
                    if note % 500 == 0:
                        await link.call("ping", {}, 5.0)
                for _ in range(QUEUE + 100):
                    there.front.change(1)
                await link.call("ping", {}, 5.0)
                last = there.front.seq
                kinds: list[str] = []
                while True:
                    said = await slow.recv()
                    kinds.append(said["type"])
                    if said["type"] == "event_gap":
                        break
                assert said["body"]["seq"] == f"x-{last}"
                assert kinds.count("event_gap") == 1
                there.front.change(2)
                assert (await slow.recv())["body"]["request"]["id"] == 2

    run(story, 50.0)


def slow_peer(there: Place) -> Raw:
    """A peer whose side holds little: what it does not read stays with the server soon."""
    # A buffer of far less, and TCP itself stalls on loopback.
    options = {zmq.RCVHWM: 1, zmq.RCVBUF: 64 << 10}
    return Raw(there.server.url, there.keys.public, there.admit("slow"), options=options)


def test_who_asks_and_never_reads_is_cut_and_everybody_else_goes_on() -> None:
    async def story() -> None:
        # The clock stands: nobody is cut for his silence.
        async with place(clock=lambda: 1.0) as there:
            await there.user("maker")
            with slow_peer(there) as slow:
                await slow.hello()
                await slow.call("requests.new", caps={}, priority=8, note="n" * 1024)
                link = await there.user("quick")
                number = 10
                while there.server.stats()["cut"] == 0:
                    for _ in range(100):
                        number += 1
                        slow.say({"v": 1, "id": number, "type": "requests.get", "body": {"id": 1}})
                    await link.call("ping", {}, 5.0)
                # It does not even read that: the engine and the table are what tells.
                assert ("session_lost", "slow") in [n[:2] for n in there.front.news]
                assert there.server.stats()["blocked_sends"] > 0
                assert there.server.stats()["peers"] == 2

    run(story, 50.0)


def test_an_fd_that_belongs_to_another_connection_by_now_is_not_shut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
            assert not sockets.shut(near.fileno(), ("127.0.0.1", 1))
            near.sendall(b"still open")
            assert far.recv(100) == b"still open"
            assert sockets.shut(near.fileno(), listener.getsockname()[:2])
            assert far.recv(100) == b""
        gone = near.fileno()
        assert gone == -1
        assert sockets.remote_of(9999) is None


def test_late_news_of_an_older_connection_does_no_harm_to_the_one_that_has_its_fd() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with there.raw() as peer:
                await peer.hello()
                router = there.server._router
                (fd,) = [one.fd for one in router.peers]
                router._on_event(zmq.EVENT_DISCONNECTED, fd)
                router._on_event(zmq.EVENT_ACCEPTED, fd)
                let_pass(there, clock, 7.0)
                assert "body" in await peer.call("ping")
                assert not there.front.of("session_lost")

    run(story)


def test_what_a_peer_said_before_it_left_counts() -> None:
    async def story() -> None:
        async with place() as there:
            router = there.server._router
            with there.raw() as peer:
                await peer.hello()
                # The loop is kept from reading until all is there: the call, and the end.
                peer.say(
                    {"v": 1, "id": 9, "type": "requests.new", "body": {"caps": {}, "priority": 8}}
                )
                assert readable(router._socket)
            assert readable(router._monitor._socket)
            router._monitor.drain()
            assert there.front.of("session_lost")
            await there.front.until(lambda: there.front.of("new"))

    run(story)


def readable(waited_for: zmq.Socket[bytes]) -> bool:
    """Waits without the loop, and takes nothing."""
    poller = zmq.Poller()
    poller.register(waited_for, zmq.POLLIN)
    return any(poller.poll(20) for _ in range(250))


def test_many_connections_that_come_and_go_on_the_same_fds_are_told_apart() -> None:
    async def story() -> None:
        async with place() as there:
            keys = there.admit("ann")
            for _ in range(30):
                with there.raw(keys) as peer:
                    await peer.hello()
            with there.raw(keys) as last:
                await last.hello()
                await there.front.until(lambda: len(there.front.of("session_lost")) == 30)
                assert "body" in await last.call("ping")
                await eventually(lambda: there.server.stats()["peers"] == 1)
                assert there.server.stats()["users"] == 1

    run(story)


def test_peers_are_turned_away_before_the_last_file_descriptor_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as inside:
                await inside.hello()
                monkeypatch.setattr(there.server._router, "_files", 30)
                with there.raw() as outside, caplog.at_level(logging.ERROR):
                    assert await outside.cut()
                assert "no_files_left" in caplog.text
                assert "body" in await inside.call("ping")

    run(story)


def test_a_low_limit_of_files_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with place():
            pass

    monkeypatch.setattr(router_module.sockets, "files_allowed", lambda: 256)
    with caplog.at_level(logging.WARNING):
        run(story)
    assert "few_files" in caplog.text


def test_stopping_twice_and_before_starting_does_no_harm() -> None:
    async def story() -> None:
        async with place() as there:
            await there.server.stop(0.1)
            await there.server.stop(0.1)

    run(story)
    assert defaults.PEER_GONE_S < 15.0


def test_a_connection_whose_end_is_told_before_its_descriptor_is_closed_is_over_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                known = next(iter(there.server._router.peers))
                really, asked = sockets.remote_of, []

                def still_open(fd: int) -> tuple[str, int] | None:
                    if fd == known.fd and len(asked) < 2:
                        asked.append(fd)
                        return known.remote
                    return really(fd)

                monkeypatch.setattr(sockets, "remote_of", still_open)
            await there.front.until(lambda: there.front.of("session_lost"))
            assert asked

    run(story)
