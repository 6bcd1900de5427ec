"""Commands and shells of a holder, by stock ssh and by asyncssh."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from pathlib import Path

import asyncssh
import pytest

from tests.dryad.sessions_kit import Boards, alive, embedded, until

pytestmark = pytest.mark.integration
MIB = 1 << 20


def test_a_command_gives_its_status_and_keeps_output_and_errors_apart(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("echo out; echo err >&2; exit 7")
            assert (ended.status, ended.out, ended.err) == (7, b"out\n", b"err\n")
            assert (await held.ssh("true")).status == 0
            assert (await held.ssh("no-such-command")).status == 127

    asyncio.run(story())


def test_a_command_that_a_signal_ends_says_which(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            async with await held.connect() as connection:
                killed = await connection.run("kill -9 $$")
                assert killed.exit_signal is not None
                assert killed.exit_signal[0] == "KILL"
                assert killed.returncode == -9
                odd = await connection.run("kill -XCPU $$")
                assert odd.exit_signal is not None
                # OpenSSH's own server names those only that the RFC names.
                assert odd.exit_signal[0] in ("XCPU@openssh.com", "SIG@openssh.com")
            assert (await held.ssh("kill -TERM $$")).status == 255  # as with OpenSSH's own server

    asyncio.run(story())


def test_input_reaches_the_command_and_its_end_too(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            data = os.urandom(5 * MIB)
            ended = await held.ssh("sha256sum", stdin=data)
            assert ended.out.split()[0].decode() == hashlib.sha256(data).hexdigest()
            assert (await held.ssh("exec 0<&-; exit 3", stdin=data)).status == 3

    asyncio.run(story())


def test_fifty_megabytes_of_output_arrive_whole_by_both_ways(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            size = 50 * MIB
            command = f"head -c {size} /dev/zero; head -c {MIB} /dev/zero >&2; printf the-end"
            ended = await held.ssh(command)
            assert len(ended.out) == size + 7
            assert ended.out.endswith(b"the-end")
            assert len(ended.err) == MIB
            async with await held.connect() as connection:
                got = await connection.run(command, encoding=None)
                assert isinstance(got.stdout, bytes)
                assert len(got.stdout) == size + 7

    asyncio.run(story())


def test_what_a_child_writes_after_the_command_has_ended_arrives_too(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("(sleep 0.3; echo late; echo late >&2) & echo early; exit 3")
            assert (ended.status, ended.out, ended.err) == (3, b"early\nlate\n", b"late\n")

    asyncio.run(story())


def test_a_client_that_does_not_read_stops_the_command_not_the_agent(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            process = await connection.create_process("yes", encoding=None)
            read = await process.stdout.readexactly(10)
            assert read == b"y\n" * 5
            # The window is full now; another command on the same connection is served.
            assert (await connection.run("echo free")).stdout == "free\n"
            process.close()
            await process.wait_closed()

    asyncio.run(story())


def test_the_environment_is_the_holders_own_and_holds_nothing_of_the_agents(
    board: Boards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BORUTA_TOKEN", "secret-of-the-agent")

    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("env; echo at=$(pwd); stat -c mode=%a . ; umask")
            text = ended.out.decode()
            lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            assert "secret-of-the-agent" not in text
            assert lines["USER"] == lines["LOGNAME"] == held.name
            assert lines["HOME"] == lines["at"]
            assert [Path(lines["HOME"])] == held.homes()
            assert lines["SHELL"] in ("/bin/bash", "/bin/sh")
            assert lines["BOARD_SOCKET"] == "/run/board"
            assert text.count("mode=700") == 1
            assert "0022" in text

    asyncio.run(story())


def test_a_client_may_set_variables_but_not_the_mark_by_which_he_is_found() -> None:
    async def story() -> None:
        async with embedded() as held:
            options = ["-o", "SetEnv=BUILD=17 BORUTA_SESSION=forged"]
            ended = await held.ssh("echo $BUILD $BORUTA_SESSION", options=options)
            build, mark = ended.out.decode().split()
            assert build == "17"
            assert mark != "forged"

    asyncio.run(story())


def test_a_program_inherits_no_descriptor_but_its_own_three(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            other = await connection.create_process("cat")  # its pipes must not leak
            ended = await connection.run("exec ls -l /proc/self/fd")
            assert isinstance(ended.stdout, str)
            names = [line.split()[8] for line in ended.stdout.splitlines() if "->" in line]
            assert names == ["0", "1", "2", "3"]  # 3 is what ls reads the directory by
            other.stdin.write_eof()
            await other.wait()

    asyncio.run(story())


def test_a_terminal_is_one_and_follows_the_clients_size(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            process = await connection.create_process(
                "trap 'stty size; exit 5' WINCH; stty size; echo $TERM; test -t 0 && echo tty;"
                "while :; do read -t 0.05 x; done",
                term_type="xterm",
                term_size=(80, 24),
            )
            lines = [(await process.stdout.readline()).strip() for _ in range(3)]
            assert lines == ["24 80", "xterm", "tty"]
            process.change_terminal_size(132, 50)
            assert (await process.stdout.readline()).strip() == "50 132"
            assert (await process.wait()).exit_status == 5

    asyncio.run(story())


def test_an_interactive_shell_takes_commands_and_ctrl_c(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            shell = await connection.create_process(term_type="dumb")
            shell.stdin.write("echo up=$((40+2))\n")
            await shell.stdout.readuntil("up=42")
            # Said by the child itself: the terminal is its own by then, and Ctrl-C meets it.
            shell.stdin.write("sh -c \"echo go''ing; exec sleep 100\"\n")
            await shell.stdout.readuntil("going")
            shell.stdin.write("\x03")
            shell.stdin.write("echo back=$((50+1))\n")
            await shell.stdout.readuntil("back=51")
            shell.stdin.write("exit 9\n")
            assert (await shell.wait()).exit_status == 9

    asyncio.run(story())


def test_stock_ssh_with_a_forced_terminal_ends_when_its_input_does(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("tty; echo hello; exit 4", options=["-tt"])
            assert ended.status == 4
            assert ended.out.splitlines()[0].startswith(b"/dev/pts/")
            assert ended.out.splitlines()[1] == b"hello"
            shell = await held.ssh(options=["-tt"], stdin=b"echo sum=$((1+1))\nexit 6\n")
            assert b"sum=2" in shell.out
            assert shell.status == 6

    asyncio.run(story())


def test_a_command_on_a_terminal_sees_the_end_of_its_input() -> None:
    async def story() -> None:
        async with embedded() as held:  # OpenSSH's server leaves it waiting
            assert (await held.ssh("cat", options=["-tt"])).status == 0

    asyncio.run(story())


def test_a_terminal_closes_though_something_in_the_background_holds_it(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("trap '' HUP; sleep 100 & echo last", options=["-tt"])
            assert ended.status == 0
            assert ended.out == b"last\r\n"

    asyncio.run(story())


def test_a_signal_from_the_client_reaches_the_command_and_its_children(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            process = await connection.create_process("sleep 100 & echo $!; wait")
            child = int(await process.stdout.readline())
            process.send_signal("TERM")
            ended = await process.wait()
            assert ended.exit_signal is not None
            assert ended.exit_signal[0] == "TERM"
            await until(lambda: not alive(child))

    asyncio.run(story())


def test_a_client_that_vanishes_takes_its_command_along_but_not_a_daemon() -> None:
    async def story() -> None:
        async with embedded() as held:
            connection = await held.connect()
            process = await connection.create_process(
                "echo $$; nohup setsid sh -c 'echo $$; exec sleep 100 >/dev/null' & sleep 100; true"
            )
            command = int(await process.stdout.readline())
            # It tells its pid once it is in a session of its own: before, it goes with the rest.
            daemon = int(await process.stdout.readline())
            connection.abort()
            await until(lambda: not alive(command))
            assert alive(daemon)
            assert held.sessions.active
            await held.sessions.end()
            assert not alive(daemon)

    asyncio.run(story())


def test_many_commands_run_at_once_on_one_connection_and_on_many(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            results = await asyncio.gather(
                *(connection.run(f"read x; echo {i}-$x", input=f"{i}\n") for i in range(40))
            )
            assert [result.stdout for result in results] == [f"{i}-{i}\n" for i in range(40)]
            others = await asyncio.gather(*(held.ssh(f"echo {i}") for i in range(8)))
            assert [other.out for other in others] == [b"%d\n" % i for i in range(8)]

    asyncio.run(story())


def test_a_command_too_long_for_the_kernel_says_so_and_hurts_nobody(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            ended = await connection.run(": " + "x" * 200_000)
            assert ended.exit_status in (1, 126)  # OpenSSH's server, the agent's own
            assert isinstance(ended.stderr, str)
            assert "too long" in ended.stderr
            nearly = await connection.run("echo " + "y" * 120_000)
            assert isinstance(nearly.stdout, str)
            assert len(nearly.stdout) == 120_001

    asyncio.run(story())


def test_a_local_port_is_forwarded_and_a_remote_one_is_not(board: Boards) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo:" + await reader.read())  # needs the half-close to arrive
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, board() as held:
            forwarded = await held.ssh(options=["-W", f"127.0.0.1:{port}"], stdin=b"hello")
            assert forwarded.out == b"echo:hello"
            async with await held.connect() as connection:
                listener = await connection.forward_local_port("", 0, "127.0.0.1", port)
                local = listener.get_port()
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(b"again")
                writer.write_eof()
                assert await reader.read() == b"echo:again"
                writer.close()
                await writer.wait_closed()
                listener.close()
                with pytest.raises(asyncssh.ChannelListenError):
                    await connection.forward_remote_port("", 0, "127.0.0.1", port)
            refused = await held.ssh(
                "true",
                options=["-R", f"0:127.0.0.1:{port}", "-o", "ExitOnForwardFailure=yes"],
            )
            assert refused.status == 255

    asyncio.run(story())


def test_the_agents_socket_and_x11_are_not_forwarded(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            ended = await held.ssh("echo [$SSH_AUTH_SOCK][$DISPLAY]", options=["-A", "-X"])
            assert ended.out == b"[][]\n"

    asyncio.run(story())


def test_sigkill_and_friends_have_their_place_in_the_table() -> None:
    from dryad.sessions.program import _RFC_SIGNALS, _signal_number

    assert {_signal_number(name) for name in _RFC_SIGNALS} >= {signal.SIGKILL, signal.SIGTERM}
    assert _signal_number("XCPU@openssh.com") == signal.SIGXCPU
    assert _signal_number("NOSUCH") is None
