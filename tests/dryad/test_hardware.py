"""Boards without a board, and what an agent finds when it looks at itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from boruta.domain.errors import ShuttingDown
from boruta.domain.types import Check
from dryad.clock import wall_clock_error
from dryad.hardware.port import Hardware, NoHardware
from dryad.hardware.simulated import OFF, YELLOW, SimulatedHardware
from dryad.health import Health
from tests.dryad.fakes import FakeSessions


def test_a_simulated_board_shows_maintenance_until_it_is_ready_again() -> None:
    async def story() -> None:
        board = SimulatedHardware("board-1")
        await board.maintenance("new cable")
        assert (board.display, board.leds, board.blinking) == ("new cable", [YELLOW, YELLOW], True)
        board.powered, board.side = True, "dut"
        await board.ready()
        assert (board.display, board.leds, board.blinking) == ("", [OFF, OFF], False)
        assert (board.powered, board.side) == (False, "ts")

    asyncio.run(story())


def test_looking_at_a_simulated_board_moves_nothing() -> None:
    async def story() -> None:
        board = SimulatedHardware(powered=True, side="dut")
        (check,) = await board.checks()
        assert check.ok
        assert "power on, card to dut" in check.detail
        assert (board.powered, board.side) == (True, "dut")

    asyncio.run(story())


def test_a_closed_board_does_nothing_and_says_so() -> None:
    async def story() -> None:
        board = SimulatedHardware()
        await board.close()
        with pytest.raises(ShuttingDown):
            await board.ready()
        with pytest.raises(ShuttingDown):
            await board.maintenance("x")
        assert [check.ok for check in await board.checks()] == [False]

    asyncio.run(story())


def test_a_plain_host_has_nothing_to_switch() -> None:
    async def story() -> None:
        board: Hardware = NoHardware()
        await board.maintenance("x")
        await board.ready()
        assert await board.checks() == []
        await board.close()

    asyncio.run(story())


# --- healthcheck
class Host:
    """A machine with an SSH of its own."""

    def __init__(
        self,
        tmp_path: Path,
        hardware: Hardware | None = None,
        own: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.meminfo = tmp_path / "meminfo"
        self.meminfo.write_text("MemTotal: 1000000 kB\nMemAvailable: 500000 kB\n")
        self.sessions = FakeSessions()
        self.faults: list[str] = []
        self.banner = b"SSH-2.0-test\r\n"
        self.health = Health(
            tmp_path,
            self.sessions,
            hardware or NoHardware(),
            self.faults.append,
            self.meminfo,
            own=own,
            clock=lambda: self.clock_error,
        )
        self.clock_error: float | None = 0.002

    async def look(self) -> dict[str, Check]:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(self.banner)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.health.ssh_address = f"127.0.0.1:{port}"
        async with server:
            return {check.name: check for check in await self.health.look()}


def test_a_healthy_board_passes_all_checks(tmp_path: Path) -> None:
    host = Host(tmp_path, SimulatedHardware())
    found = asyncio.run(host.look())
    assert list(found) == ["disk", "memory", "clock", "ssh", "hardware"]
    assert all(check.ok for check in found.values())
    assert host.faults == []


@pytest.mark.parametrize(
    ("error", "ok", "detail"),
    [
        (None, True, "not synchronised with another one"),
        (-0.25, True, "-250 ms"),
        (1.5, False, "+1500 ms"),
    ],
)
def test_a_wrong_date_is_told_and_no_reason_to_fail(
    tmp_path: Path, error: float | None, ok: bool, detail: str
) -> None:
    host = Host(tmp_path)
    host.clock_error = error
    assert asyncio.run(host.look())["clock"] == Check("clock", ok, detail)
    assert host.faults == []


def test_the_kernel_says_how_far_the_date_is_off() -> None:
    error = wall_clock_error()
    assert error is None or abs(error) < 3600


def test_a_check_of_ones_own_is_run_and_its_fault_is_reported(tmp_path: Path) -> None:
    own = {
        "card": ("/bin/sh", "-c", "echo 12 GB free"),
        "relay": ("/bin/sh", "-c", "echo click; echo stuck; exit 3"),
        "gone": ("/no/such/program",),
    }
    host = Host(tmp_path, own=own)
    found = asyncio.run(host.look())
    assert found["card"] == Check("card", True, "12 GB free")
    assert found["relay"] == Check("relay", False, "status 3: stuck")
    assert not found["gone"].ok
    assert host.faults == [
        "relay: status 3: stuck; gone: /no/such/program: No such file or directory"
    ]


def test_little_memory_is_told_and_no_reason_to_fail(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.meminfo.write_text("MemAvailable: 100 kB\n")
    assert not asyncio.run(host.look())["memory"].ok
    assert host.faults == []


@pytest.mark.parametrize("text", ["", "MemAvailable:", "MemAvailable: many kB"])
def test_a_kernel_that_does_not_tell_its_memory_is_not_ill(tmp_path: Path, text: str) -> None:
    host = Host(tmp_path)
    host.meminfo.write_text(text)
    assert asyncio.run(host.look())["memory"].ok


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400\r\n", b"220 ready\r\n"])
def test_sessions_that_do_not_answer_are_a_fault(tmp_path: Path, banner: bytes) -> None:
    host = Host(tmp_path)
    host.banner = banner
    assert not asyncio.run(host.look())["ssh"].ok
    assert len(host.faults) == 1
    assert host.faults[0].startswith("ssh: ")


def test_sessions_that_hang_up_since_nobody_is_let_in_are_well(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.banner = b""
    assert asyncio.run(host.look())["ssh"].ok
    assert host.faults == []


def test_a_port_that_nobody_listens_on_is_a_fault(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.health.ssh_address = "127.0.0.1:1"
    found = {check.name: check for check in asyncio.run(host.health.look())}
    assert not found["ssh"].ok
    assert len(host.faults) == 1


def test_a_driver_that_breaks_is_a_fault_of_the_board(tmp_path: Path) -> None:
    class Broken(NoHardware):
        async def checks(self) -> list[Check]:
            raise OSError("no such device")

    host = Host(tmp_path, Broken())
    found = asyncio.run(host.look())
    assert found["hardware"] == Check("hardware", False, "no such device")
    assert host.faults == ["hardware: no such device"]


def test_a_full_disk_is_a_fault_unless_a_holder_may_have_filled_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dryad.health.DISK_LEAST", 1 << 62)
    host = Host(tmp_path)
    host.sessions.active = True
    assert not asyncio.run(host.look())["disk"].ok
    assert host.faults == []
    host.sessions.active = False
    asyncio.run(host.look())
    assert len(host.faults) == 1
