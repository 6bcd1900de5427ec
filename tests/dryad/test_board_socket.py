"""The `board` command in a holder's shell, and the socket behind it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dryad.board import service
from dryad.hardware.simulated import SimulatedHardware
from dryad.hardware.simulated_target import SimulatedTarget
from tests.dryad.sessions_kit import Board, Boards, until

pytestmark = pytest.mark.integration


class Fragile(SimulatedHardware):
    """One whose driver has a defect."""

    broken = False

    async def current(self) -> int:
        if self.broken:
            raise ZeroDivisionError("driver")
        return await super().current()


@dataclass
class Rig:
    """A board with hardware, in whose shell `board` works."""

    held: Board
    hardware: Fragile

    @property
    def socket(self) -> Path:
        """Where the agent listens."""
        run = Path("/run/dryad", self.held.name, "board.sock")
        return run if run.exists() else self.held.directory / "board.sock"

    async def said(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """What `board` ends with and says, in the holder's shell."""
        ended = await self.held.ssh("board", *words, stdin=stdin)
        return ended.status, ended.out.decode(), ended.err.decode()


Rigged = Callable[[], AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rigged(board: Boards) -> Rigged:
    """Boards of each kind with simulated hardware and a target on a serial line."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Rig]:
        hardware = Fragile(target=SimulatedTarget())
        try:
            async with board(hardware=hardware) as held:
                os.chmod(held.directory, 0o711)  # others may knock at the socket
                yield Rig(held, hardware)
        finally:
            await hardware.close()

    return make


def test_a_holder_switches_his_board_and_no_longer_than_it_is_his(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig:
            assert await rig.said("power") == (0, "off\n", "")
            assert await rig.said("power", "on") == (0, "", "")
            assert rig.hardware.powered
            assert await rig.said("mux", "dut") == (0, "", "")
            assert await rig.said("current") == (0, "230\n", "")
            status, out, err = await rig.said("powr")
            assert (status, out) == (2, "")
            assert "allowed: power, mux" in err
            assert "[bad_request]" in err
            status, _, err = await rig.said("hdmi", "on")
            assert "has no HDMI" in err
            assert status != 0
            assert (await rig.said())[1].startswith("board power")
            shell = await rig.held.ssh(options=["-tt"], stdin=b"board power\nexit 3\n")
            assert b"on\r\n" in shell.out
            assert shell.status == 3
            await rig.held.sessions.end()
            assert (await asking(rig.socket, ["power"], uid=12345))["code"] == "not_permitted"

    asyncio.run(story())


def asked(path: Path, words: object, uid: int = 0) -> dict[str, str]:
    """What the socket answers, asked by a process of `uid`; no thread of this loop is used."""
    script = (
        "import json, os, socket, sys\n"
        "os.setuid(int(sys.argv[3])) if int(sys.argv[3]) else None\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "s.sendall(sys.argv[2].encode() + b'\\n')\n"
        "print(s.makefile().readline())\n"
    )
    line = words if isinstance(words, str) else json.dumps({"words": words})
    command = [sys.executable, "-c", script, str(path), line, str(uid)]
    ended = subprocess.run(command, capture_output=True, check=True, text=True)
    found: dict[str, str] = json.loads(ended.stdout)
    return found


async def asking(path: Path, words: object, uid: int = 0) -> dict[str, str]:
    return await asyncio.to_thread(asked, path, words, uid)


def test_only_the_holder_and_root_are_served_and_root_always(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig:
            said = await asking(rig.socket, ["power"], uid=12345)
            assert (said["code"], said["error"]) == (
                "not_permitted",
                "board: it is not lent to you",
            )
            assert await asking(rig.socket, ["power", "on"]) == {"out": ""}
            # Root's own: what belongs to the agent's work.
            assert await asking(rig.socket, ["maintenance", "new", "fuse"]) == {"out": ""}
            assert rig.hardware.display == "new fuse"
            assert await asking(rig.socket, ["ready"]) == {"out": ""}
            await rig.held.sessions.end()
            assert await asking(rig.socket, ["power"]) == {"out": "off\n"}

    asyncio.run(story())


def test_a_holder_may_not_do_what_is_roots(board: Boards) -> None:
    async def story() -> None:
        hardware = SimulatedHardware()
        async with board(hardware=hardware) as held:
            if held.name != "holder":  # embedded sessions of a root agent: the holder is root
                ended = await held.ssh("board maintenance mine")
                assert b"only root may" in ended.err
                assert ended.status == 4
                assert not hardware.blinking

    asyncio.run(story())


@pytest.mark.parametrize(
    "line",
    ["", "power on", "[]", "5", '{"words": "power"}', '{"words": [1]}', "{" * 3000, "x" * 100_000],
    ids=["empty", "words", "list", "number", "text", "of numbers", "deep", "long"],
)
def test_what_is_no_question_is_told_how_to_ask(rigged: Rigged, line: str) -> None:
    async def story() -> None:
        async with rigged() as rig:
            said = await asking(rig.socket, line)
            assert said["code"] == "bad_request"
            assert "one line of JSON" in said["error"]
            assert await rig.said("power") == (0, "off\n", "")

    asyncio.run(story())


def test_who_asks_nothing_is_cut_and_so_is_one_too_many(
    rigged: Rigged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ASKS_WITHIN_S", 0.2)
    monkeypatch.setattr(service, "CONNECTIONS", 3)

    async def story() -> None:
        async with rigged() as rig:
            silent = [await asyncio.open_unix_connection(rig.socket) for _ in range(4)]
            said = [json.loads(await reader.readline()) for reader, _ in silent]
            assert said[3]["code"] == "busy"
            assert {one["code"] for one in said[:3]} == {"bad_request"}
            assert "within 0.2 s" in said[0]["error"]
            for _, writer in silent:
                writer.close()
                await writer.wait_closed()
            assert (await rig.said("power"))[0] == 0

    asyncio.run(story())


def test_a_defect_of_a_driver_is_told_and_the_agent_goes_on(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig:
            rig.hardware.broken = True
            status, _, err = await rig.said("current")
            assert status == 1
            assert "ZeroDivisionError: driver" in err
            assert await rig.said("power") == (0, "off\n", "")

    asyncio.run(story())


def test_an_order_that_takes_long_ends_with_the_job(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig:
            await rig.said("power", "on")
            ticking = asyncio.ensure_future(rig.said("power", "tick", "30"))
            await until(lambda: not rig.hardware.powered)
            begun = time.monotonic()
            await rig.held.sessions.end()
            assert time.monotonic() - begun < 2
            assert (await ticking)[0] != 0

    asyncio.run(story())


def test_the_current_is_recorded_as_long_as_somebody_listens(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig:
            await rig.said("power", "on")
            status, out, _ = await rig.said("current", "--record", "0.3", "--every", "0.05")
            assert status == 0
            values = [line.split(",")[1] for line in out.splitlines()]
            assert 2 <= len(values) <= 7
            assert set(values) == {"230"}
            endless = await rig.held.ssh("board current --record --every 0.01 | head -n 3")
            assert len(endless.out.splitlines()) == 3

    asyncio.run(story())


def test_one_writes_to_the_console_and_others_look_on(rigged: Rigged) -> None:
    async def story() -> None:
        async with rigged() as rig, await rig.held.connect() as connection:
            writer = await connection.create_process("board console")
            reader = await connection.create_process("board console --read")
            for one in (writer, reader):
                assert await one.stderr.readline() == "[open]\n"
            await rig.said("power", "on")
            for one in (writer, reader):
                await one.stdout.readuntil("login: ")
            refused = await rig.said("console")
            assert "somebody writes there already" in refused[2]
            assert refused[0] == 9
            writer.stdin.write("uname\r")
            for one in (writer, reader):
                await one.stdout.readuntil("uname: heard")
            # A reader that dies takes neither the other one along nor the log.
            reader.kill()
            await reader.wait()
            writer.stdin.write("again\r")
            await writer.stdout.readuntil("again: heard")
            writer.kill()
            await writer.wait()
            await until_free(rig)
            status, log, _ = await rig.said("console", "--log")
            assert status == 0
            assert log.index("login: ") < log.index("uname: heard") < log.index("again: heard")
            await rig.held.let_in(2)
            assert await rig.said("console", "--log") == (0, "", "")

    asyncio.run(story())


async def until_free(rig: Rig) -> None:
    """Until the one who wrote is gone, and another one may."""
    async with asyncio.timeout(15):
        while b"[open]" not in (await rig.held.ssh("timeout 0.5 board console")).err:
            pass
