"""Closing, limits and failures of tunnels, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from boruta.domain.defaults import TUNNEL_CONNECTIONS
from tests.transport.tunnel_rig import (
    HERE,
    Run,
    board,
    deaf,
    dial,
    echo,
    fds,
    few_fds,
    is_cut,
    is_refused,
    run_fixture,  # noqa: F401 - the fixture
    shut,
    tunnels,
    until,
)
from transport.tunnels import bridge as bridge_module


def test_closing_cuts_every_connection_and_gives_the_port_back(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            holders = [await dial(endpoint) for _ in range(5)]
            for reader, writer in holders:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            made.close(endpoint)
            made.close(endpoint)
            for reader, writer in holders:
                assert await is_cut(reader)
                await shut(writer)
            with pytest.raises(ConnectionRefusedError):
                await dial(endpoint)
            again = socket.create_server((endpoint.host, endpoint.port))
            again.close()

    run(story)


def test_closing_cuts_a_connection_that_is_stuck_in_both_directions(run: Run) -> None:
    async def story() -> None:
        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(32 << 20))
            await asyncio.Event().wait()

        async with board(flood) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)
            writer.write(bytes(32 << 20))
            await until(lambda: made.stats()["bytes_to_board"] > 0)
            await until(lambda: made.stats()["bytes_from_board"] > 0)
            made.close(endpoint)
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read()) < 32 << 20
            await shut(writer)

    run(story)


def test_a_job_has_32_connections_and_the_next_is_closed_at_once(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            first, second = made.reserve(), made.reserve()
            for endpoint in (first, second):
                made.open(endpoint, target, label="1")
            held = [await dial(first) for _ in range(TUNNEL_CONNECTIONS)]
            await until(lambda: made.stats()["connections"] == TUNNEL_CONNECTIONS)
            assert await is_refused(first)
            other, other_writer = await dial(second)  # another job has its own 32
            other_writer.write(b"x")
            assert await other.readexactly(1) == b"x"
            await shut(other_writer)
            await shut(held.pop()[1])
            await until(lambda: made.stats()["connections"] == TUNNEL_CONNECTIONS - 1)
            reader, writer = await dial(first)
            writer.write(b"y")
            assert await reader.readexactly(1) == b"y"
            for _, one in [*held, (reader, writer)]:
                await shut(one)

    run(story)


def test_a_board_that_refuses_costs_the_holder_one_connection_and_no_more(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with socket.socket() as nobody:
            nobody.bind((HERE, 0))
            async with tunnels() as made:
                endpoint = made.reserve()
                made.open(endpoint, f"{HERE}:{nobody.getsockname()[1]}", label="7")
                for _ in range(3):
                    assert await is_refused(endpoint)
                assert made.stats()["not_dialled"] == 3
                assert made.stats()["connections"] == 0

    run(story)
    assert [r.getMessage().split()[:2] for r in caplog.records if r.name == "boruta.tunnel"] == [
        ["board_not_reached", "request=7"]  # once, however often he tries
    ]


def test_a_slow_dial_is_given_up_and_blocks_nobody(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_module, "DIAL_WITHIN_S", 0.4)

    async def story() -> None:
        with deaf() as slow_board:
            async with board(echo) as target, tunnels() as made:
                slow, quick = made.reserve(), made.reserve()
                made.open(slow, slow_board, label="1")
                made.open(quick, target, label="2")
                waiting, waiting_writer = await dial(slow)
                await until(lambda: made.stats()["connections"] == 1)
                reader, writer = await dial(quick)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                assert made.stats()["not_dialled"] == 0  # still at it
                assert await is_cut(waiting)
                assert made.stats()["not_dialled"] == 1
                await shut(waiting_writer)
                await shut(writer)

    run(story)


def test_closing_ends_a_dial_that_is_under_way(run: Run) -> None:
    async def story() -> None:
        with deaf() as slow_board:
            async with tunnels() as made:
                endpoint = made.reserve()
                made.open(endpoint, slow_board, label="1")
                reader, writer = await dial(endpoint)
                await until(lambda: made.stats()["connections"] == 1)
                made.close(endpoint)
                assert await is_cut(reader)
                await shut(writer)

    run(story)


@pytest.mark.parametrize("spare", [1, 2, 3, 4, 5])
def test_without_file_descriptors_the_listener_lives_on(
    run: Run, spare: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            loop = asyncio.get_running_loop()
            # The holder needs one, the tunnel two, the board one, its pipe two.
            with few_fds(spare), socket.socket() as holder:
                holder.setblocking(False)
                await loop.sock_connect(holder, (endpoint.host, endpoint.port))
                if spare == 1:
                    await until(lambda: "tunnel_rests" in caplog.text)  # he is in the backlog
                elif spare == 2:
                    with contextlib.suppress(ConnectionError):
                        assert await loop.sock_recv(holder, 1) == b""
            reader, writer = await dial(endpoint)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await shut(writer)

    run(story)
    assert caplog.text.count("tunnel_rests") <= 2  # it rests, it does not spin


def test_an_idle_connection_keeps_no_pipe(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            before = sum("pipe:" in name for name in fds())
            held = [await dial(endpoint) for _ in range(20)]
            for reader, writer in held:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            after = sum("pipe:" in name for name in fds())
            assert after - before <= 4  # two pipes wait for the next who needs one
            for _, writer in held:
                await shut(writer)

    run(story)
