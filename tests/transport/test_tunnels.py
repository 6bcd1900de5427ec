"""TCP tunnels over real loopback sockets, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from boruta.domain.defaults import TUNNEL_CONNECTIONS
from boruta.domain.errors import BadAddress, Busy
from boruta.domain.interfaces import Access, Endpoint
from transport.tunnels import bridge as bridge_module
from transport.tunnels import pump as pump_module
from transport.tunnels.tcp import Tunnels

Run = Callable[[Callable[[], Awaitable[None]]], None]
HERE = "127.0.0.1"


def _factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if kind == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as first:
            first.run(asyncio.sleep(0))  # libuv keeps a pipe of its own from the first loop on
        return uvloop.new_event_loop  # type: ignore[no-any-return]
    return asyncio.new_event_loop


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine within 20 s; afterwards no file descriptor is left of it."""
    factory = _factory(request.param)
    failures: list[dict[str, Any]] = []

    def start(story: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, c: failures.append(c))
            async with asyncio.timeout(20):
                await story()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    before = _fds()
    yield start
    gc.collect()
    assert failures == []
    assert _fds() == before


def _fds() -> set[str]:
    return {
        f"{fd}:{name}"
        for fd in os.listdir("/proc/self/fd")
        for name in [_link(f"/proc/self/fd/{fd}")]
        if name.startswith(("socket:", "pipe:"))
    }


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


@contextlib.asynccontextmanager
async def tunnels(**more: Any) -> AsyncIterator[Tunnels]:
    made = Tunnels(asyncio.get_running_loop(), HERE, **more)
    try:
        yield made
    finally:
        made.close_all()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def board(serve: Serve) -> AsyncIterator[str]:
    """A board's SSH port, as far as a tunnel cares."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            await shut(writer)

    server = await asyncio.start_server(one, HERE, 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def dial(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(endpoint.host, endpoint.port)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def is_refused(endpoint: Endpoint) -> bool:
    """Whether a connection ends at once: while it is being made, or right after."""
    try:
        reader, writer = await dial(endpoint)
    except ConnectionError:
        return True
    try:
        return await is_cut(reader)
    finally:
        await shut(writer)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a state that the other end of a socket brings about."""
    while not condition():
        await asyncio.sleep(0.002)


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


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """An address that answers no dial: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((HERE, 0))
        server.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield "{}:{}".format(*server.getsockname())


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


@contextlib.contextmanager
def few_fds(spare: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        while True:
            fillers.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for fd in fillers[:spare]:
            os.close(fd)
        del fillers[:spare]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)


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


def test_ports_come_from_the_range_in_turn_until_none_is_free(run: Run) -> None:
    async def story() -> None:
        with socket.socket() as first:
            first.bind((HERE, 0))
            start = first.getsockname()[1]
        ports = range(start, start + 3) if start < 65000 else range(start - 3, start)
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
        with socket.socket() as first:
            first.bind((HERE, 0))
            start = min(first.getsockname()[1], 65000)
        async with tunnels(ports=range(start, start + 8)) as made:
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


def test_an_idle_connection_keeps_no_pipe(run: Run) -> None:
    async def story() -> None:
        async with board(echo) as target, tunnels() as made:
            endpoint = made.reserve()
            made.open(endpoint, target, label="1")
            before = sum("pipe:" in name for name in _fds())
            held = [await dial(endpoint) for _ in range(20)]
            for reader, writer in held:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            after = sum("pipe:" in name for name in _fds())
            assert after - before <= 4  # two pipes wait for the next who needs one
            for _, writer in held:
                await shut(writer)

    run(story)


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
