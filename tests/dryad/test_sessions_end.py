"""The end of a session: the key, the connections, the processes and the home, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest

from boruta.domain.errors import SessionAlive
from dryad.sessions import home as homes
from dryad.sessions import stay as stays
from dryad.sessions.embedded import EmbeddedSessions
from tests.dryad.sessions_kit import (
    NAME,
    Board,
    Boards,
    alive,
    embedded,
    make_key,
    needs_library,
    tool,
    until,
)

pytestmark = pytest.mark.integration

DAEMON = "setsid sh -c 'setsid sleep 300 & echo $!' </dev/null 2>/dev/null"


async def daemon(held: Board) -> int:
    """A process that has left its login behind; its pid."""
    ended = await held.ssh(f"{DAEMON} > pid; cat pid")
    return int(ended.out)


def test_after_the_end_the_key_opens_nothing_and_nothing_is_left(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            left_behind = await daemon(held)
            connection = await held.connect()
            process = await connection.create_process("echo $$; sleep 300")
            running = int(await process.stdout.readline())
            (home,) = held.homes()

            begun = asyncio.get_running_loop().time()
            await held.sessions.end()
            took = asyncio.get_running_loop().time() - begun

            assert not alive(left_behind)
            assert not alive(running)
            assert not home.exists()
            assert held.homes() == []
            assert not held.sessions.active
            await asyncio.wait_for(connection.wait_closed(), 5)
            with pytest.raises((asyncssh.Error, OSError)):
                await held.connect()
            assert took < 2

    asyncio.run(story())


def test_the_key_is_shut_at_once_while_the_rest_is_still_ending(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            connection = await held.connect()
            await daemon(held)
            ending = asyncio.ensure_future(held.sessions.end())
            await asyncio.sleep(0)
            assert not ending.done()
            with pytest.raises((asyncssh.Error, OSError)):
                await held.connect()
            await ending
            await connection.wait_closed()

    asyncio.run(story())


def test_the_next_holder_finds_nothing_of_the_former_one(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            await held.ssh("echo secret > note; mkdir .ssh; touch .mine ${TMPDIR:-/tmp}/t-$USER")
            sleeper = await daemon(held)
            other = make_key(held.directory, "other")
            await held.let_in(2, other)
            assert not alive(sleeper)
            ended = await held.ssh("ls -A; ls ${TMPDIR:-/tmp}/t-$USER", key=other)
            assert b"note" not in ended.out
            assert b".mine" not in ended.out
            assert ended.status == 2  # of ls: there is no such file
            with pytest.raises((asyncssh.Error, OSError)):
                await held.connect()  # the former key
            assert held.logins == [1, 2]

    asyncio.run(story())


def test_ending_twice_at_once_and_again_is_one_end(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            await held.ssh("true")
            await asyncio.gather(*(held.sessions.end() for _ in range(5)))
            await held.sessions.end()
            await held.let_in(2)
            assert (await held.ssh("echo again")).out == b"again\n"

    asyncio.run(story())


def test_an_end_whose_caller_gave_up_goes_on(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            sleeper = await daemon(held)
            ending = asyncio.ensure_future(held.sessions.end())
            await asyncio.sleep(0)
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
            await held.sessions.end()
            assert not alive(sleeper)

    asyncio.run(story())


def test_a_session_that_nobody_used_ends_too(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            assert not held.sessions.active
            await held.sessions.end()
            assert held.homes() == []

    asyncio.run(story())


def test_an_end_in_the_middle_of_a_login_leaves_nothing_running(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            for epoch in range(2, 8):
                command = held.ssh("sleep 300", options=["-o", "ConnectTimeout=5"])
                going = asyncio.ensure_future(command)
                # A little later each time, so that the end meets each step of a login.
                await asyncio.sleep(0.03 * epoch)
                await held.sessions.end()
                assert (await going).status == 255
                assert held.homes() == []
                await held.let_in(epoch)

    asyncio.run(story())


def test_copies_in_flight_are_cut_by_the_end(board: Boards, tmp_path: Path) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            async with connection.start_sftp_client() as sftp:
                writing = await sftp.open("big", "wb")

                async def copy() -> None:
                    while True:
                        await writing.write(bytes(1 << 16))

                going = asyncio.ensure_future(copy())
                await until(lambda: any((home / "big").exists() for home in held.homes()))
                await held.sessions.end()
                with pytest.raises((asyncssh.Error, OSError)):
                    await going
            assert held.homes() == []

    asyncio.run(story())


def test_a_forwarded_connection_is_cut_by_the_end(board: Boards) -> None:
    async def story() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, board() as held:
            connection = await held.connect()
            reader, writer = await connection.open_connection("127.0.0.1", port)
            assert await reader.readexactly(5) == b"hello"
            await held.sessions.end()
            await asyncio.wait_for(gone.wait(), 5)
            writer.close()
            await connection.wait_closed()

    asyncio.run(story())


def test_a_holder_who_kills_the_keeper_loses_his_processes_and_may_come_back() -> None:
    async def story() -> None:
        async with embedded() as held:
            sleeper = await daemon(held)
            await held.ssh("kill -9 $PPID")
            await until(lambda: not alive(sleeper))
            assert (await held.ssh("echo back")).out == b"back\n"
            second = await daemon(held)
            await held.sessions.end()
            assert not alive(second)

    asyncio.run(story())


def test_what_cannot_be_ended_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real = homes.remove
    fails = [True]

    def remove(home: homes.Home) -> None:
        if fails:
            fails.pop()
            raise PermissionError("immutable")
        real(home)

    monkeypatch.setattr(stays.homes, "remove", remove)

    async def story() -> None:
        async with embedded() as held:
            await held.ssh("true")
            with pytest.raises(SessionAlive, match="immutable"):
                await held.sessions.end()
            await held.is_shut_until_the_next()

    asyncio.run(story())


AGENT = """
import asyncio, pathlib, sys
from dryad.sessions.embedded import EmbeddedSessions
async def main():
    sessions = EmbeddedSessions(address="127.0.0.1:0", data=pathlib.Path(sys.argv[1]),
                                username="holder")
    address = await sessions.start()
    await sessions.let_in(1, sys.argv[2], lambda: None)
    print(address, sessions.host_keys[0], sep="|", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@needs_library
def test_a_session_ends_with_its_agent_though_that_was_killed(tmp_path: Path) -> None:
    tool("ssh")
    key = make_key(tmp_path)
    line = key.with_suffix(".pub").read_text()
    data = tmp_path / "data"
    data.mkdir()
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(data), line], stdout=subprocess.PIPE, text=True
    )

    async def story(first: str) -> None:
        host, _, port = first.partition("|")[0].rpartition(":")
        sessions = EmbeddedSessions(address="127.0.0.1:0", data=data, username=NAME)
        sessions._host_key = first.strip().partition("|")[2]
        held = Board(sessions, host, int(port), key, tmp_path)
        sleeper = await daemon(held)
        busy = asyncio.ensure_future(held.ssh("echo $$ > busy; exec sleep 300"))
        await until(lambda: any(_places(data, "busy")))
        pids = [int(path.read_text()) for path in _places(data, "busy")]
        agent.kill()
        begun = asyncio.get_running_loop().time()
        await until(lambda: not any(map(alive, [sleeper, *pids])))
        assert asyncio.get_running_loop().time() - begun < 2
        assert (await busy).status == 255
        # The next life of the agent clears up what is left of the home.
        again = EmbeddedSessions(address="127.0.0.1:0", data=data, username=NAME)
        await again.start()
        await again.stop()
        assert list((data / "homes").iterdir()) == []
        assert not any(_places(data, "busy"))

    try:
        assert agent.stdout is not None
        asyncio.run(story(agent.stdout.readline()))
    finally:
        agent.kill()
        agent.wait()
        assert agent.stdout is not None
        agent.stdout.close()


def _places(data: Path, name: str) -> list[Path]:
    return [
        path
        for entry in (data / "homes").iterdir()
        if (path := Path(os.path.realpath(entry)) / "home" / name).exists()
        and path.read_text().strip()
    ]


def test_a_process_of_a_former_life_is_ended_before_the_board_listens_again() -> None:
    async def story() -> None:
        async with embedded(let_in=False) as held:
            made = homes.make(held.directory / "homes", "oldlife")
            env = {"BORUTA_SESSION": "oldlife"}
            process = await asyncio.create_subprocess_exec("sleep", "300", env=env)
            again = EmbeddedSessions(address="127.0.0.1:0", data=held.directory, username=NAME)
            await again.start()
            await again.stop()
            assert await asyncio.wait_for(process.wait(), 5) == -signal.SIGKILL
            assert not made.place.exists()

    asyncio.run(story())
