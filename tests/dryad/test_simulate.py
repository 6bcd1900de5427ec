"""Simulated boards on a local server: found by DATA, enabled by themselves, taken up again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth

from boruta.domain.errors import BadConfig, Busy, NotPermitted
from boruta.domain.types import Caller, Role, WorkerInfo, WorkerState
from dryad import local, slots
from dryad.hardware.stm_simulator import StmSimulator
from dryad.running import DirectoryLock
from dryad.simulate import Order, default_caps, simulate

Z85 = "a" * 40


# --- slots
def test_slots_are_the_first_free_ones_and_private(tmp_path: Path) -> None:
    first = slots.take(tmp_path, 2)
    other = slots.take(tmp_path, 1)
    assert [slot.name for slot in first + other] == ["board-1", "board-2", "board-3"]
    assert all(slot.path.stat().st_mode & 0o777 == 0o700 for slot in first)
    first[0].release()
    first[0].release()
    again = slots.take(tmp_path, 2)
    assert [slot.number for slot in again] == [1, 4]
    for slot in first + other + again:
        slot.release()


def test_the_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from dryad.running import DirectoryLock; "
        "lock = DirectoryLock(pathlib.Path(sys.argv[1])); print('held', flush=True); "
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"another agent uses this data directory: pid {child.pid}$"):
            DirectoryLock(tmp_path)
        child.kill()
        child.wait(10)
        DirectoryLock(tmp_path).release()


def test_a_board_is_enabled_once_for_each_set_of_capabilities(tmp_path: Path) -> None:
    (slot,) = slots.take(tmp_path, 1)
    assert not slot.is_enabled({"arch": "x"})
    slot.set_enabled({"arch": "x"})
    assert slot.is_enabled({"arch": "x"})
    assert not slot.is_enabled({"arch": "y"})
    (slot.path / "enabled").write_text("{")
    assert not slot.is_enabled({"arch": "x"})
    slot.release()


# --- a server on this machine
def write_server(data: Path, url: str = "tcp://127.0.0.1:7175", **more: Any) -> None:
    data.chmod(0o700)
    keys = data / "keys"
    if not keys.exists():
        keys.mkdir()
        zmq.auth.create_certificates(str(keys), "local")
        (keys / "local.key_secret").chmod(0o600)
    said = {"pid": 1, "url": url, "server_key": Z85, **more}
    (data / "server.json").write_text(json.dumps(said))


def test_a_server_is_found_by_its_data(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert local.look(tmp_path) is None
    write_server(tmp_path)
    found = local.look(tmp_path)
    assert found is not None
    assert (found.address.url, found.address.server_key) == ("tcp://127.0.0.1:7175", Z85)
    assert len(found.keys.secret) == 40
    assert not found.insecure


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"url": "x"}'])
def test_a_damaged_server_json_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    write_server(tmp_path)
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(BadConfig, match=r"server\.json"):
        local.look(tmp_path)


def test_data_or_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_server(tmp_path)
    (tmp_path / "keys" / "local.key_secret").chmod(0o644)
    with pytest.raises(NotPermitted, match=r"local\.key_secret"):
        local.look(tmp_path)
    tmp_path.chmod(0o755)
    with pytest.raises(NotPermitted, match="chmod 700"):
        local.look(tmp_path)


def test_a_server_that_comes_back_elsewhere_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOOK_EVERY_S", 0.01)

    async def story() -> None:
        waiting = asyncio.create_task(local.wait_for(tmp_path))
        await asyncio.sleep(0)
        write_server(tmp_path)
        known = await asyncio.wait_for(waiting, 10)
        moving = asyncio.create_task(local.next_one(tmp_path, known))
        (tmp_path / "server.json").write_text("half a f")
        await asyncio.sleep(0)
        (tmp_path / "server.json").unlink()
        await asyncio.sleep(0)
        write_server(tmp_path, "tcp://127.0.0.1:9")
        assert (await asyncio.wait_for(moving, 10)).address.url == "tcp://127.0.0.1:9"

    tmp_path.chmod(0o700)
    asyncio.run(story())


# --- the whole, on a real server
class Farm:
    """A server on the running loop; it may be closed and opened again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.running: Any = None

    async def open(self) -> None:
        pytest.importorskip("sqlalchemy", reason="no server can run here")
        from boruta.serving import Running, farm_config

        config = farm_config(None, self.data, "tcp://127.0.0.1:0", kept=True)
        self.running = await Running.open(config)

    async def close(self) -> None:
        await self.running.close()

    async def workers(self) -> dict[str, WorkerInfo]:
        caller = Caller("local", Role.ADMIN)
        found, _ = await self.running.engine.front.workers(caller).list_workers()
        return {one.worker_uuid: one for one in found}

    async def until(self, right: Callable[[dict[str, WorkerInfo]], bool]) -> dict[str, WorkerInfo]:
        async with asyncio.timeout(20):
            while True:
                found = await self.workers()
                if right(found):
                    return found
                await asyncio.sleep(0.05)

    async def until_idle(self, count: int) -> dict[str, WorkerInfo]:
        return await self.until(
            lambda found: (
                [one.state for one in found.values() if one.online].count(WorkerState.IDLE) == count
            )
        )


@asynccontextmanager
async def simulation(order: Order) -> AsyncIterator[list[str]]:
    stop, lines = asyncio.Event(), list[str]()
    task = asyncio.create_task(simulate(order, stop, lines.append))
    try:
        yield lines
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


@asynccontextmanager
async def farm_at(data: Path) -> AsyncIterator[Farm]:
    farm = Farm(data)
    await farm.open()
    try:
        yield farm
    finally:
        await farm.close()


@pytest.mark.integration
def test_boards_register_are_enabled_and_announced(tmp_path: Path) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        order = Order(2, data, {"arch": "riscv64"}, ("lab",))
        async with farm_at(data) as farm, simulation(order) as lines:
            found = await farm.until_idle(2)
            assert {line.split()[0] for line in lines} == set(found)
            assert {line.split()[1] for line in lines} == {"board-1", "board-2"}
            assert all(line.split()[2].startswith("127.0.0.1:") for line in lines)
            for uuid, worker in found.items():
                assert worker.caps == {"UUID": uuid, "arch": "riscv64"}
                assert worker.groups == ("lab",)

    asyncio.run(story())


@pytest.mark.integration
def test_boards_with_an_stm_are_prepared_and_maintained_by_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[StmSimulator] = []
    really = StmSimulator.open
    monkeypatch.setattr(StmSimulator, "open", lambda self: (opened.append(self), really(self))[1])

    async def story() -> None:
        data = tmp_path / "data"
        async with farm_at(data) as farm, simulation(Order(1, data, stm=True)):
            (uuid,) = await farm.until_idle(1)
            (board,) = opened
            assert board.received[-1] == b"ts"
            assert board.stm.display == ""
            admin = farm.running.engine.front.workers(Caller("local", Role.ADMIN))
            await admin.set_state(uuid, WorkerState.MAINTENANCE, reason="new cable")
            await farm.until(lambda _: board.stm.display == "new cable")
        assert board.stm.display == ""

    asyncio.run(story())


@pytest.mark.integration
def test_without_capabilities_given_a_board_has_sensible_ones(tmp_path: Path) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        async with farm_at(data) as farm, simulation(Order(1, data)):
            (worker,) = (await farm.until_idle(1)).values()
            assert worker.caps.without_uuid() == default_caps()
            assert worker.caps["device_type"] == "simulated"

    asyncio.run(story())


@pytest.mark.integration
def test_two_simulations_have_different_boards_and_a_restarted_one_has_the_same(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        order = Order(2, data, {"arch": "x"})
        async with farm_at(data) as farm:
            async with simulation(order), simulation(Order(1, data, {"arch": "x"})):
                before = set(await farm.until_idle(3))
            async with simulation(order) as lines:
                await farm.until_idle(2)
                assert {line.split()[0] for line in lines} <= before
            assert set(await farm.workers()) == before

    asyncio.run(story())


@pytest.mark.integration
def test_what_an_admin_did_stands_after_a_restart_but_our_own_change_of_caps_is_enabled(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        admin = Caller("local", Role.ADMIN)
        async with farm_at(data) as farm:
            async with simulation(Order(1, data, {"arch": "x"})):
                (uuid,) = await farm.until_idle(1)
                workers = farm.running.engine.front.workers(admin)
                await workers.set_state(uuid, WorkerState.MAINTENANCE)
            async with simulation(Order(1, data, {"arch": "x"})) as lines:
                await farm.until(lambda found: bool(lines) and found[uuid].online)
                assert (await farm.workers())[uuid].state in (
                    WorkerState.MAINTENANCE,
                    WorkerState.BUSY,
                )
            async with simulation(Order(1, data, {"arch": "y"})):
                assert set(await farm.until_idle(1)) == {uuid}

    asyncio.run(story())


@pytest.mark.integration
def test_boards_wait_for_a_server_and_follow_it_to_another_port(tmp_path: Path) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        async with simulation(Order(2, data)) as lines:
            await asyncio.sleep(0)
            async with farm_at(data) as farm:
                before, url = set(await farm.until_idle(2)), farm.running.url
            async with farm_at(data) as farm:
                assert set(await farm.until_idle(2)) == before
                assert farm.running.url != url
            assert len(lines) == 2

    asyncio.run(story())


@pytest.mark.integration
def test_a_simulation_ends_with_its_standard_input(tmp_path: Path) -> None:
    async def story() -> None:
        data = tmp_path / "data"
        async with farm_at(data) as farm:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dryad",
                "simulate",
                "--data",
                str(data),
                "--exit-with-stdin",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ},
            )
            assert child.stdin is not None
            assert child.stdout is not None
            line = (await asyncio.wait_for(child.stdout.readline(), 30)).decode().split()
            assert set(await farm.until_idle(1)) == {line[0]}
            child.stdin.close()
            assert await asyncio.wait_for(child.wait(), 20) == 0

    asyncio.run(story())
