"""Who comes in, and what happens to the rest."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from boruta.domain.errors import BadAddress, BadConfig, BadRequest
from dryad.sessions import door, keys, sshd, system
from dryad.sessions.embedded import EmbeddedSessions
from tests.dryad.sessions_kit import Board, Boards, embedded, make_key, needs_library

pytestmark = pytest.mark.integration


async def is_refused(held: Board, key: Path | None = None, name: str | None = None) -> bool:
    try:
        connection = await held.connect(key, *([name] if name else []))
    except (asyncssh.Error, OSError):
        return True
    connection.abort()
    await connection.wait_closed()
    return False


def test_only_the_key_that_was_let_in_opens_and_only_under_the_one_name(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            other = make_key(held.directory, "other")
            assert await is_refused(held, other)
            assert await is_refused(held, name="root")
            assert await is_refused(held, name="Holder")
            assert not held.sessions.active
            assert held.logins == []
            assert not await is_refused(held)
            assert held.sessions.active
            assert held.logins == [1]

    asyncio.run(story())


def test_the_first_login_is_told_once_and_before_any_command_runs(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            assert held.logins == []
            await asyncio.gather(held.ssh("true"), held.ssh("true"))
            await held.ssh("true")
            assert held.logins == [1]
            await held.let_in(2)
            assert not held.sessions.active
            await held.ssh("true")
            assert held.logins == [1, 2]

    asyncio.run(story())


def test_a_board_without_a_holder_lets_nobody_in(board: Boards) -> None:
    async def story() -> None:
        async with board(let_in=False) as held:
            assert await is_refused(held)
            await held.let_in(1)
            assert not await is_refused(held)

    asyncio.run(story())


def test_a_password_is_never_asked_for(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect(
                    held.host,
                    held.port,
                    username="holder",
                    password="",
                    client_keys=None,
                    known_hosts=None,
                    agent_path=None,
                    config=[],
                )
            ended = await held.ssh("true", options=["-v", "-o", "PubkeyAuthentication=no"])
            assert ended.status == 255
            assert b"publickey" in ended.err

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256"])
def test_keys_of_other_kinds_open_too(board: Boards, kind: str) -> None:
    async def story() -> None:
        async with board() as held:
            key = asyncssh.generate_private_key(kind)
            path = held.directory / "another"
            path.write_bytes(key.export_private_key())
            path.chmod(0o600)
            path.with_suffix(".pub").write_bytes(key.export_public_key())
            await held.let_in(2, path)
            assert (await held.ssh("echo in", key=path)).out == b"in\n"
            assert await is_refused(held)

    asyncio.run(story())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!",
        "ssh-ed25519 AAAA",
        "ssh-dss AAAAB3NzaC1kc3M=",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBRx1JkSKZZZ2ccoYBvMIXN0cyVwuXJiOiTYYYY1B0QK",
        "restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBRx1JkSKZZZ2ccoYBvMIXN0cyVwuXJiOiTYYYY1B0",
    ],
)
def test_a_line_that_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(BadRequest, match="public key line"):
        keys.public_blob(line)


@needs_library
def test_the_host_key_stays_over_a_restart_and_only_its_owner_can_read_it(
    tmp_path: Path,
) -> None:
    async def keys_of_a_life() -> tuple[str, ...]:
        sessions = EmbeddedSessions(address="127.0.0.1:0", data=tmp_path, username="holder")
        await sessions.start()
        try:
            return sessions.host_keys
        finally:
            await sessions.stop()

    first = asyncio.run(keys_of_a_life())
    assert stat.S_IMODE((tmp_path / "host_key").stat().st_mode) == 0o600
    assert asyncio.run(keys_of_a_life()) == first
    loaded = asyncssh.read_private_key(tmp_path / "host_key").export_public_key().decode()
    assert loaded.split()[:2] == first[0].split()
    (tmp_path / "host_key").chmod(0o644)
    with pytest.raises(BadConfig, match="others can read"):
        asyncio.run(keys_of_a_life())
    (tmp_path / "host_key").chmod(0o600)
    (tmp_path / "host_key").write_text("junk")
    with pytest.raises(BadConfig, match="cannot use this host key"):
        asyncio.run(keys_of_a_life())


@needs_library
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_without_a_usable_port_is_refused(tmp_path: Path, address: str) -> None:
    sessions = EmbeddedSessions(address=address, data=tmp_path, username="holder")
    with pytest.raises(BadAddress, match="host:port"):
        asyncio.run(sessions.start())


@needs_library
def test_a_port_that_is_taken_is_said_clearly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sessions = EmbeddedSessions(address=f"127.0.0.1:{port}", data=tmp_path, username="holder")
        with pytest.raises(BadAddress, match="cannot listen"):
            asyncio.run(sessions.start())


@needs_library
def test_an_address_without_a_host_listens_on_all_and_leaves_the_host_open(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        sessions = EmbeddedSessions(address=":0", data=tmp_path, username="holder")
        address = await sessions.start()
        assert address.startswith(":")
        _, writer = await asyncio.open_connection("127.0.0.1", int(address[1:]))
        writer.close()
        await writer.wait_closed()
        await sessions.stop()

    asyncio.run(story())


def garbage() -> list[bytes]:
    return [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        os.urandom(100_000),
        b"SSH-2.0-x\r\n" + b"\xff" * 50_000,
        b"SSH-2.0-" + b"x" * 100_000,
        b"SSH-1.5-old\r\n",
        b"\0" * 1000,
        b"",
    ]


def test_garbage_on_the_port_hurts_nobody(board: Boards) -> None:
    async def story() -> None:
        async with board() as held, await held.connect() as connection:
            for data in garbage():
                _, writer = await asyncio.open_connection(held.host, held.port)
                writer.write(data)
                if data:
                    writer.write_eof()
                writer.close()
                with_reset = asyncio.gather(writer.wait_closed(), return_exceptions=True)
                await with_reset
            assert (await connection.run("echo fine")).stdout == "fine\n"
            assert not await is_refused(held)

    asyncio.run(story())


def test_those_who_knock_and_say_nothing_are_cut_the_oldest_first(
    board: Boards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (door, system):
        monkeypatch.setattr(module, "KNOCKING", 8)

    async def story() -> None:
        async with board() as held:
            silent = [await asyncio.open_connection(held.host, held.port) for _ in range(12)]
            for reader, _ in silent[:4]:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await asyncio.wait_for(reader.readexactly(1 << 20), 5)
            assert not await is_refused(held)
            for _, writer in silent:
                writer.close()
            await asyncio.gather(*(w.wait_closed() for _, w in silent), return_exceptions=True)

    asyncio.run(story())


def test_a_connection_that_never_logs_in_is_cut_after_the_grace(
    board: Boards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dryad.sessions.embedded.LOGIN_WITHIN_S", 0.3)
    monkeypatch.setattr(sshd, "LOGIN_WITHIN_S", 1)

    async def story() -> None:
        async with board() as held:
            reader, writer = await asyncio.open_connection(held.host, held.port)
            assert (await reader.readline()).startswith(b"SSH-2.0-")
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    asyncio.run(story())


def test_boards_of_one_process_do_not_know_each_others_keys(board: Boards) -> None:
    async def story() -> None:
        async with board() as one, board() as two:
            assert await is_refused(one, two.key)
            assert await is_refused(two, one.key)
            assert not await is_refused(one)
            assert not await is_refused(two)
            await one.sessions.end()
            assert (await two.ssh("echo on")).out == b"on\n"

    asyncio.run(story())


def test_a_key_that_ends_between_its_offer_and_its_signature_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: Callable[..., bool] = door.Door.validate_public_key
    ended: list[asyncio.Task[None]] = []

    async def story() -> None:
        async with embedded() as held:

            def offered(self: door.Door, username: str, key: asyncssh.SSHKey) -> bool:
                answer = real(self, username, key)
                ended.append(asyncio.get_running_loop().create_task(held.sessions.end()))
                return answer

            monkeypatch.setattr(door.Door, "validate_public_key", offered)
            assert await is_refused(held)
            await asyncio.gather(*ended)
            assert ended
            assert held.logins == []

    asyncio.run(story())


@needs_library
def test_an_agent_whom_nobody_visits_does_not_load_the_ssh_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import asyncio, sys, pathlib\n"
        "from dryad.sessions.embedded import EmbeddedSessions\n"
        "async def main():\n"
        "    s = EmbeddedSessions(address='127.0.0.1:0', data=pathlib.Path(sys.argv[1]),"
        " username='h')\n"
        "    await s.start()\n"
        "    await s.let_in(1, sys.argv[2], print)\n"
        "    print('asyncssh' in sys.modules)\n"
        "    await s.stop()\n"
        "asyncio.run(main())\n"
    )
    line = make_key(tmp_path).with_suffix(".pub").read_text()
    command = [sys.executable, "-c", script, str(tmp_path), line]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"False\n"
