"""Ports of tunnels, and the addresses they lead to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

import pytest

from boruta.domain.errors import BadAddress, Busy
from tests.transport.tunnel_rig import (
    HERE,
    Run,
    board,
    dial,
    echo,
    is_refused,
    run_fixture,  # noqa: F401 - the fixture
    shut,
    tunnels,
)
from transport.tunnels.tcp import Tunnels


def test_a_reserved_port_is_kept_but_refuses_until_it_is_open(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            assert endpoint.host == HERE
            with pytest.raises(OSError) as taken:
                socket.create_server((HERE, endpoint.port))
            assert taken.value.errno == errno.EADDRINUSE
            assert await is_refused(endpoint)
            assert made.stats()["refused"] == 1
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await shut(writer)

    run(story)


def free_ports(count: int) -> range:
    """Ports in a row that are free, and below those that the system gives to connections."""
    for start in range(20_000 + os.getpid() % 10_000, 32_000, count):
        ports = range(start, start + count)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in ports:
                held.enter_context(socket.create_server((HERE, port)))
            return ports
    raise AssertionError("no port is free")


def test_ports_come_from_the_range_in_turn_until_none_is_free(run: Run) -> None:
    async def story() -> None:
        ports = free_ports(3)
        async with tunnels(ports=ports) as made:
            taken = [made.reserve() for _ in ports]
            assert sorted(one.port for one in taken) == list(ports)
            with pytest.raises(Busy, match="no tunnel port is free"):
                made.reserve()
            made.close(taken[1])
            assert made.reserve() == taken[1]

    run(story)


def test_a_port_just_given_back_is_not_the_next_ones_at_once(run: Run) -> None:
    async def story() -> None:
        async with tunnels(ports=free_ports(8)) as made:
            one = made.reserve()
            made.close(one)
            assert made.reserve() != one

    run(story)


def test_an_endpoint_of_an_earlier_life_is_taken_again(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target:
            async with tunnels() as before:
                endpoint = before.reserve()
            async with tunnels() as made:
                made.open(endpoint, target, label="1")
                reader, writer = await dial(endpoint)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                await shut(writer)
            with socket.create_server((HERE, endpoint.port)):
                async with tunnels() as late:
                    with pytest.raises(Busy):
                        late.open(endpoint, target, label="1")

    run(story)


@pytest.mark.parametrize(
    "target",
    ["", "127.0.0.1", "127.0.0.1:", ":22", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
     "board.lab:22", "[::1:22", "127.0.0.1:٢٢", "a b:22", "1.2.3.4:22:22", "\x00:22",
     "127.1:22", "0x7f000001:22", "2130706433:22", "[127.0.0.1]:22", "::1:22"],
)  # fmt: skip
def test_a_target_that_is_no_address_and_port_is_refused_and_nothing_opens(target: str) -> None:
    async def story() -> None:
        async with tunnels() as made:
            endpoint = made.reserve()
            with pytest.raises(BadAddress):
                made.open(endpoint, target, label="1")
            assert made.stats()["tunnels_open"] == 0

    asyncio.run(story())


def test_a_board_is_reached_over_ipv6(run: Run) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")

    async def story() -> None:
        server = await asyncio.start_server(_echo_once, "::1", 0)
        async with tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, f"[::1]:{server.sockets[0].getsockname()[1]}", label="1")
            reader, writer = await dial(endpoint)
            writer.write(b"x")
            assert await reader.read() == b"x"
            await shut(writer)
        server.close()
        await server.wait_closed()

    run(story)


async def _echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(1))
    await shut(writer)


def test_close_all_is_for_good_and_may_be_called_twice(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            for label in "123":
                made.open(made.reserve(), target, label=label)
            made.close_all()
            made.close_all()
            assert made.stats()["tunnels"] == 0

    run(story)


def test_closing_after_the_loop_was_closed_leaks_nothing() -> None:
    loop = asyncio.new_event_loop()
    made = Tunnels(loop, HERE)
    endpoint = made.reserve()
    loop.close()
    made.close_all()
    with socket.create_server((endpoint.host, endpoint.port)):
        pass
