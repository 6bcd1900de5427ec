"""Files to and from a board, by stock sftp, scp and rsync."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
from pathlib import Path

import asyncssh
import pytest

from tests.dryad.sessions_kit import Board, Boards, embedded, tool

pytestmark = pytest.mark.integration
MIB = 1 << 20


def tree(directory: Path) -> Path:
    """A directory with something of everything."""
    top = directory / "tree"
    (top / "sub dir").mkdir(parents=True)
    (top / "one").write_bytes(os.urandom(MIB))
    (top / "sub dir" / "two é").write_bytes(b"2\n")
    (top / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (top / "run.sh").chmod(0o755)
    return top


def digest(path: Path) -> dict[str, tuple[str, int]]:
    """Each file below `path`, with its content's digest and its mode."""
    return {
        str(file.relative_to(path)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mode & 0o777,
        )
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


async def scp(held: Board, *arguments: str) -> int:
    ended = await held.run(tool("scp"), "-q", "-P", str(held.port), *held.options(), *arguments)
    return ended.status


@pytest.mark.parametrize("legacy", [False, True], ids=["sftp", "legacy"])
def test_scp_copies_a_tree_there_and_back_and_says_when_it_cannot(
    board: Boards, tmp_path: Path, legacy: bool
) -> None:
    mode = ["-O"] if legacy else []

    async def story() -> None:
        async with board() as held:
            top = tree(tmp_path)
            there = f"{held.name}@{held.host}:"
            assert await scp(held, *mode, "-pr", str(top), there) == 0
            assert (await held.ssh("tree/run.sh")).out == b"ran\n"
            assert await scp(held, *mode, "-pr", there + "tree", str(tmp_path / "back")) == 0
            assert digest(tmp_path / "back") == digest(top)
            assert await scp(held, *mode, there + "missing", str(tmp_path)) == 1
            assert await scp(held, *mode, str(top / "one"), there + "no/such/dir/") != 0

    asyncio.run(story())


def test_scp_between_the_holders_own_files_is_a_command_like_any_other(board: Boards) -> None:
    async def story() -> None:
        async with board() as held:
            tool("scp")
            ended = await held.ssh("echo x > a && scp a b && cat b")
            assert ended.out == b"x\n"

    asyncio.run(story())


def test_sftp_starts_in_the_home_and_reaches_what_commands_reach(
    board: Boards, tmp_path: Path
) -> None:
    hosts = Path("/etc/hosts").read_bytes()  # whoever logs in may read it

    async def story() -> None:
        async with board() as held:
            outside = tmp_path / "outside"
            outside.write_text("seen\n")
            batch = tmp_path / "batch"
            batch.write_text(
                f"pwd\nmkdir d\nput {outside} d/in\nrename d/in d/moved\nls -l d\n"
                f"get /etc/hosts {tmp_path}/fetched\nchmod 600 d/moved\nsymlink d/moved link\n"
                f"get link {tmp_path}/linked\nrm d/moved\nrmdir d\n"
            )
            port = ("-P", str(held.port))
            target = f"{held.name}@{held.host}"
            ended = await held.run(tool("sftp"), *held.options(), *port, "-b", str(batch), target)
            assert ended.status == 0, ended.err
            home = (await held.ssh("pwd")).out.decode().strip()
            assert home in ended.out.decode()
            assert (tmp_path / "fetched").read_bytes() == hosts
            assert (tmp_path / "linked").read_text() == "seen\n"

    asyncio.run(story())


def test_rsync_makes_the_board_equal_and_sends_only_what_changed(
    board: Boards, tmp_path: Path
) -> None:
    async def story() -> None:
        rsync = tool("rsync")
        async with board() as held:
            top = tree(tmp_path)
            shell = shlex.join([tool("ssh"), *held.options(), "-p", str(held.port)])
            command = [rsync, "-a", "--delete", "--stats", "-e", shell, f"{top}/"]
            target = f"{held.name}@{held.host}:mirror/"
            first = await held.run(*command, target)
            assert first.status == 0, first.err
            (top / "run.sh").unlink()
            (top / "new").write_text("new\n")
            second = await held.run(*command, target)
            assert b"Number of regular files transferred: 1" in second.out
            listed = await held.ssh("cd mirror && find . -type f | sort")
            assert listed.out.decode().split("\n")[:3] == ["./new", "./one", "./sub dir/two é"]
            back = await held.run(
                rsync, "-a", "-e", shell, f"{held.name}@{held.host}:mirror/", str(tmp_path / "copy")
            )
            assert back.status == 0
            assert digest(tmp_path / "copy") == digest(top)

    asyncio.run(story())


def test_a_large_file_arrives_whole_by_many_requests_at_once(board: Boards, tmp_path: Path) -> None:
    async def story() -> None:
        big = tmp_path / "big"
        big.write_bytes(os.urandom(30 * MIB))
        async with board() as held, await held.connect() as connection:
            async with connection.start_sftp_client() as sftp:
                await sftp.put(str(big), "big")
                await sftp.get("big", str(tmp_path / "again"))
                async with sftp.open("log", "ab") as log:
                    await log.write(b"one ")
                async with sftp.open("log", "ab") as log:
                    await log.write(b"two")
                async with sftp.open("log", "r") as text:
                    assert await text.read() == "one two"
            assert (tmp_path / "again").read_bytes() == big.read_bytes()

    asyncio.run(story())


def test_a_pipe_without_a_writer_does_not_stop_the_agent() -> None:
    async def story() -> None:
        async with embedded() as held, await held.connect() as connection:
            await connection.run("mkfifo pipe", check=True)
            async with connection.start_sftp_client() as sftp:
                with pytest.raises(asyncssh.SFTPFailure, match="neither a file nor a disk"):
                    await sftp.open("pipe")
                async with sftp.open("/dev/zero", "rb", block_size=0) as zero:
                    assert await zero.read(10, 0) == bytes(10)
            assert (await connection.run("echo free")).stdout == "free\n"

    asyncio.run(story())
