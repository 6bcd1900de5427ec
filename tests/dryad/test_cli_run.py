"""`dryad run` as a process, with a key of its own, against a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.types import Caller, Role, WorkerState

ADMIN = Caller("admin", Role.ADMIN)


async def open_server(data: Path) -> Any:
    pytest.importorskip("sqlalchemy", reason="no server can run here")
    from boruta.serving import Running, farm_config

    return await Running.open(farm_config(None, data, "tcp://127.0.0.1:0", kept=False))


def write_config(tmp_path: Path, url: str) -> Path:
    path = tmp_path / "dryad.toml"
    path.write_text(
        f"""
server = "{url}"
server_key = "{tmp_path}/data/keys/server.key"
key = "lab1.key_secret"
ssh_address = "127.0.0.1:0"
trust_holders = true
hardware = "simulated"
data = "agent"
[caps]
arch = "armv7l"
cores = 4
"""
    )
    return path


async def run(config: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dryad",
        "run",
        "--config",
        str(config),
        *words,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ},
    )


async def line_with(child: asyncio.subprocess.Process, word: str) -> str:
    assert child.stderr is not None
    async with asyncio.timeout(30):
        while line := (await child.stderr.readline()).decode():
            if word in line:
                return line
    raise AssertionError(f"the agent ended without saying {word}")


async def end(child: asyncio.subprocess.Process) -> int:
    child.send_signal(signal.SIGTERM)
    assert child.stderr is not None
    await asyncio.wait_for(child.stderr.read(), 20)
    return await asyncio.wait_for(child.wait(), 20)


@pytest.mark.integration
def test_an_agent_registers_serves_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    async def story() -> None:
        server = await open_server(tmp_path / "data")
        try:
            server.keys.new("lab1", Role.WORKER, (), tmp_path)
            config = write_config(tmp_path, server.url)
            child = await run(config)
            try:
                await line_with(child, " registered ")
                uuid = (tmp_path / "agent" / "uuid").read_text().strip()
                workers = server.engine.front.workers(ADMIN)
                info = await workers.get_worker_info(uuid)
                assert info.online
                assert info.caps == {"UUID": uuid, "arch": "armv7l", "cores": "4"}
                await workers.set_state(uuid, WorkerState.IDLE)
                await line_with(child, " prepare ")
                assert all(check.ok for check in await workers.check(uuid))
            finally:
                assert await end(child) == 0
        finally:
            await server.close()

    asyncio.run(story())


@pytest.mark.integration
def test_two_agents_with_one_uuid_the_second_is_told_and_the_first_is_not_disturbed(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        server = await open_server(tmp_path / "data")
        try:
            server.keys.new("lab1", Role.WORKER, (), tmp_path)
            config = write_config(tmp_path, server.url)
            first = await run(config)
            try:
                await line_with(first, " registered ")
                uuid = (tmp_path / "agent" / "uuid").read_text().strip()
                second = await run(config, "--data", str(tmp_path / "other"), "-c", f"UUID={uuid}")
                try:
                    assert "uuid_in_use" in await line_with(second, "not_registered")
                finally:
                    assert await end(second) == 0
                workers = server.engine.front.workers(ADMIN)
                assert (await workers.get_worker_info(uuid)).online
                same_place = await run(config)
                assert "another agent uses" in await line_with(same_place, "dryad: ")
                assert await same_place.wait() == 9
            finally:
                assert await end(first) == 0
        finally:
            await server.close()

    asyncio.run(story())
