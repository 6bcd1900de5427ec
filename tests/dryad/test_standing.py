"""dryad status of a real agent, over its life."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import Unreachable, UUIDInUse
from boruta.domain.types import Role, WorkerState
from dryad import cli, standing
from dryad.config import load
from dryad.running import _status
from tests.dryad.sessions_kit import needs_library
from tests.dryad.test_cli_run import ADMIN, end, line_with, open_server, run, write_config
from tests.dryad.world import CAPS, PREPARE, World, in_a_world

pytestmark = [pytest.mark.integration, needs_library]


async def asked(config: Path, *words: str) -> tuple[int, dict[str, Any]]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dryad", "status", "--config", str(config), "-o", "json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ},
    )
    out, _ = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode is not None
    return child.returncode, json.loads(out or "{}")


def test_an_agent_tells_how_it_is_from_its_start_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        server = await open_server(tmp_path / "data")
        server.keys.new("lab1", Role.WORKER, (), tmp_path)
        config = write_config(tmp_path, server.url)
        assert await asked(config) == (3, {"running": False})
        child = await run(config)
        try:
            try:
                await line_with(child, " registered ")
                status, said = await asked(config)
                assert status == 0
                assert said["pid"] == child.pid
                assert (said["link"], said["server"]) == ("registered", "127.0.0.1")
                assert said["worker"] == (tmp_path / "agent" / "uuid").read_text().strip()
                assert said["ssh_address"].startswith("127.0.0.1:")
                assert said["request"] is said["problem"] is None
                assert datetime.fromisoformat(said["since"]).tzinfo is not None
                assert 0 < said["up_s"] < 60
                workers = server.engine.front.workers(ADMIN)
                await workers.set_state(said["worker"], WorkerState.IDLE)
                await line_with(child, " prepare ")
            finally:
                await server.close()
            await line_with(child, " disconnected ")
            status, said = await asked(config)
            assert (status, said["link"], said["server"]) == (0, "not_connected", None)
        finally:
            child.send_signal(signal.SIGKILL)
            await child.communicate()
        assert await asked(config) == (3, {"running": False})  # what it left behind says nothing

    asyncio.run(story())


def test_systemd_hears_that_it_is_ready_that_it_lives_and_that_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as above:
        above.bind(str(tmp_path / "n"))
        above.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        async def heard(word: bytes) -> None:
            while word not in (await asyncio.to_thread(above.recv, 999)).split(b"\n"):
                pass

        async def story() -> None:
            config = write_config(tmp_path, "tcp://127.0.0.1:1")
            config.write_text(
                "\n".join(x for x in config.read_text().splitlines() if "key" not in x).replace(
                    "[caps]", "insecure = true\n[caps]"
                )
            )
            child = await run(config)
            try:
                await heard(b"READY=1")  # with its server away: a machine comes up without it
                for _ in range(3):
                    await heard(b"WATCHDOG=1")
                child.send_signal(signal.SIGSTOP)
                while select.select([above], [], [], 0.5)[0]:
                    above.recv(999)  # what was sent before; then nothing, and systemd would act
                child.send_signal(signal.SIGCONT)
                await heard(b"WATCHDOG=1")
                child.send_signal(signal.SIGTERM)
                await heard(b"STOPPING=1")
            finally:
                assert await end(child) == 0

        asyncio.run(story())


def test_a_data_directory_of_a_very_long_name_is_no_hindrance(tmp_path: Path) -> None:
    async def story() -> None:
        config = write_config(tmp_path, "tcp://127.0.0.1:1")
        text = config.read_text().replace('data = "agent"', f'data = "{"d" * 120}/{"e" * 120}"')
        (tmp_path / "data" / "keys").mkdir(parents=True)
        config.write_text(
            "\n".join(x for x in text.splitlines() if "key" not in x.partition("=")[0]).replace(
                "[caps]", "insecure = true\n[caps]"
            )
        )
        child = await run(config)
        try:
            await line_with(child, " running ")
            status, said = await asked(config)
            assert (status, said["pid"]) == (0, child.pid)
        finally:
            assert await end(child) == 0

    asyncio.run(story())


def test_it_tells_the_job_the_seconds_left_and_what_the_server_has_against_it() -> None:
    async def story(world: World) -> None:
        def told() -> dict[str, object]:
            return _status(world.board.agent, world.connection, CAPS, "127.0.0.1:7022", 0.0)

        assert told()["link"] == "not_connected"
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=600.0, end_rev=2)
        found = told()
        assert (found["link"], found["request"], found["epoch"]) == ("registered", 7, "1.1")
        assert found["left_s"] == 600.0
        world.server.links[-1].down()
        world.server.refuses_register = UUIDInUse("another agent is this board")
        await world.server.links[-1].up()
        found = told()
        assert found["link"] == "connected"
        assert "another agent is this board" in str(found["problem"])

    in_a_world(story)


def test_an_answer_that_is_none_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "dryad.toml"
    config.write_text(f'data = "{tmp_path}"\nsessions = "embedded"\n')
    monkeypatch.setattr(standing, "is_running", lambda _: True)

    async def story(answer: bytes) -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(speak, tmp_path / "board.sock")
        async with server:
            await asyncio.to_thread(ask)

    def ask() -> None:
        with pytest.raises(Unreachable, match="does not answer"):
            standing.read(load(config, {}, {}))

    for answer in (b"", b"[]\n", b"{}\n", b"7\n", b'{"status": 5}\n', b"\xff\n"):
        asyncio.run(story(answer))
    monkeypatch.setattr(standing, "read", lambda _: {"running": True, "problem": "x\x1b[31m\ny"})
    assert cli.main(["status", "--config", str(config)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "problem      x?[31m?y"
