"""Bytes through a tunnel, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from boruta.domain.ports import Access
from tests.transport.tunnel_rig import (
    HERE,
    Run,
    board,
    dial,
    echo,
    hold,
    run_fixture,  # noqa: F401 - the fixture
    shut,
    tunnels,
    until,
)
from transport.tunnels import bridge as bridge_module
from transport.tunnels import pump as pump_module
from transport.tunnels.tcp import Tunnels


def test_tunnels_are_a_way_of_access() -> None:
    async def story() -> None:
        made: Access = Tunnels(asyncio.get_running_loop(), HERE)
        made.close(made.reserve())

    asyncio.run(story())


def test_bytes_go_both_ways(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)
            for word in (b"hello", b"board"):
                writer.write(word)
                assert await reader.readexactly(5) == word
            assert made.stats()["bytes_to_board"] == made.stats()["bytes_from_board"] == 10
            await shut(writer)

    run(story)


def test_what_the_holder_says_before_the_board_answers_is_not_lost(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            with socket.create_connection((endpoint.host, endpoint.port)) as early:
                early.sendall(b"SSH-2.0-early\r\n")
                early.shutdown(socket.SHUT_WR)
                early.setblocking(False)
                loop = asyncio.get_running_loop()
                got = b""
                while data := await loop.sock_recv(early, 100):
                    got += data
            assert got == b"SSH-2.0-early\r\n"

    run(story)


def test_the_holders_end_of_stream_reaches_the_board_and_the_answer_still_comes(run: Run) -> None:
    async def story() -> None:
        async def answer_after_all(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(b"%d bytes" % len(await reader.read()))
            await writer.drain()

        async with board(answer_after_all) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)
            writer.write(bytes(300_000))
            writer.write_eof()
            assert await reader.read() == b"300000 bytes"
            await shut(writer)
            await until(lambda: made.stats()["connections"] == 0)
            assert made.stats()["broken"] == 0

    run(story)


def test_the_boards_end_of_stream_reaches_the_holder_and_he_may_go_on_sending(run: Run) -> None:
    async def story() -> None:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"bye")
            writer.write_eof()
            heard.set_result(await reader.read())

        async with board(greet) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)
            assert await reader.read() == b"bye"
            writer.write(b"still here")
            writer.write_eof()
            assert await heard == b"still here"
            await shut(writer)

    run(story)


@pytest.mark.parametrize("lane", ["splice", "copy"])
def test_much_comes_through_whole_and_in_order(
    run: Run, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lane == "copy":  # as without file descriptors for pipes
        monkeypatch.setattr(pump_module.Pipes, "take", lambda self: None)
    block = bytes(range(256)) * 1024
    blocks = 48

    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            reader, writer = await dial(endpoint)

            async def send() -> None:
                for _ in range(blocks):
                    writer.write(block)
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            for _ in range(blocks):
                assert await reader.readexactly(len(block)) == block
            assert await reader.read() == b""
            await sending
            await shut(writer)

    run(story)


def test_a_kernel_without_splice_is_served_by_copying(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_splice(*args: object, **more: object) -> int:
        raise OSError(errno.EINVAL, "no splice")

    monkeypatch.setattr(os, "splice", no_splice)
    test_bytes_go_both_ways(run)


def test_a_reader_that_does_not_read_stops_the_writer(run: Run) -> None:
    async def story() -> None:
        async with board(hold) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            with socket.socket() as holder:
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
                holder.setblocking(False)
                await asyncio.get_running_loop().sock_connect(
                    holder, (endpoint.host, endpoint.port)
                )
                sent = still = 0
                while still < 50:  # 50 turns of 2 ms in which nothing could be written
                    try:
                        sent += holder.send(bytes(1 << 20))
                        still = 0
                    except BlockingIOError:
                        still += 1
                        await asyncio.sleep(0.002)
            assert 0 < sent < 64 << 20  # what the kernel's buffers and one pipe hold

    run(story)


@pytest.mark.parametrize("who", ["holder", "board"])
def test_a_reset_of_one_side_resets_the_other_and_hurts_nobody_else(run: Run, who: str) -> None:
    async def story() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            word = await reader.read(1)
            if word == b"r":
                bridge_module.reset(_plain(writer))
                return
            while word:
                writer.write(word)
                word = await reader.read(1)

        async with board(serve) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            bystander, bystander_writer = await dial(endpoint)
            bystander_writer.write(b"a")
            assert await bystander.readexactly(1) == b"a"
            reader, writer = await dial(endpoint)
            if who == "board":
                writer.write(b"r")
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                await shut(writer)
            else:
                writer.write(b"b")
                assert await reader.readexactly(1) == b"b"
                bridge_module.reset(_plain(writer))
                writer.close()
            await until(lambda: made.stats()["broken"] == 1)
            assert made.stats()["connections"] == 1
            bystander_writer.write(b"c")
            assert await bystander.readexactly(1) == b"c"
            await shut(bystander_writer)

    run(story)


def _plain(writer: asyncio.StreamWriter) -> socket.socket:
    """A socket on the same connection, so that it can be reset behind the loop's back."""
    sock = writer.get_extra_info("socket")
    copy = socket.socket(fileno=os.dup(sock.fileno()))
    writer.transport.abort()
    return copy


def test_bytes_of_a_cut_connection_never_show_up_in_another(run: Run) -> None:
    async def story() -> None:
        async with board(hold) as stuck, board(echo) as target, tunnels() as made:
            full, clean = made.reserve(), made.reserve()
            made.open(full, stuck, label="1")
            made.open(clean, target, label="2")
            _, secret_writer = await dial(full)
            secret_writer.write(b"secret" * (4 << 20))
            await until(lambda: made.stats()["bytes_to_board"] > 0)
            made.close(full)
            await shut(secret_writer)
            for _ in range(20):
                reader, writer = await dial(clean)
                writer.write(b"y")
                writer.write_eof()
                assert await reader.read() == b"y"
                await shut(writer)

    run(story)
