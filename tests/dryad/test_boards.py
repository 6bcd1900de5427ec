"""Boards of other kinds: commands, entry points, and the conformance of a driver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import ActionRefused, BadConfig, InfraError, ShuttingDown
from boruta.domain.types import Check
from dryad.config import load
from dryad.hardware import boards
from dryad.hardware.command import CommandBoard, read_options
from dryad.hardware.conformance import check_driver, main
from dryad.hardware.muxpi import MuxPi
from dryad.hardware.port import BadOption, Hardware, NoHardware, Switchable
from dryad.hardware.simulated import SimulatedHardware
from tests.dryad.sessions_kit import alive, until


def board_of(tmp_path: Path, **options: object) -> CommandBoard:
    """Each command that is no text of the test's own adds its name to `log`."""
    commands, within_s = read_options(options)
    return CommandBoard(commands, within_s)


# --- commands
def test_commands_run_in_the_order_that_the_duty_has(tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = {name: f"echo {name} >> {log}" for name in ("ready", "power_off", "mux_ts")}
    options["maintenance"] = f'printf "%s\\n" "$BORUTA_MESSAGE" >> {log}'

    async def story() -> None:
        board = board_of(tmp_path, **options)
        await board.ready()
        await board.maintenance("$(id); new\tcable")
        await board.close()

    asyncio.run(story())
    assert log.read_text() == "power_off\nmux_ts\nready\n$(id); new\tcable\n"


def test_power_and_card_are_switched_by_their_commands(tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = ("power_on", "power_off", "mux_dut")

    async def story() -> None:
        board = board_of(tmp_path, **{name: f"echo {name} >> {log}" for name in names})
        assert isinstance(board, Switchable)
        await board.set_power(True)
        await board.set_mux("dut")
        await board.power_tick(0.001)
        with pytest.raises(ActionRefused, match="mux_ts: no command"):
            await board.set_mux("ts")
        ticking = board_of(tmp_path, power_tick=f"echo tick $BORUTA_SECONDS >> {log}")
        await ticking.power_tick(2)

    asyncio.run(story())
    assert log.read_text().split("\n")[:-1] == [
        "power_on",
        "mux_dut",
        "power_off",
        "power_on",
        "tick 2",
    ]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("echo broken relay; exit 3", "status 3: broken relay"),
        ("kill -9 $$", "signal 9"),
        (["/no/such/program"], "No such file"),
        ("printf 'a\\033[2Jb'; exit 1", r"a\?\[2Jb"),
    ],
)
def test_a_command_that_fails_is_told_with_its_last_line(
    tmp_path: Path, command: object, why: str
) -> None:
    async def story() -> None:
        with pytest.raises(InfraError, match=why):
            await board_of(tmp_path, ready=command).ready()
        (check,) = await board_of(tmp_path, check=command).checks()
        assert not check.ok

    asyncio.run(story())


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def story() -> None:
        board = board_of(tmp_path, ready=f"sleep 1000 & echo $! > {pid}; wait", within=0.5)
        with pytest.raises(InfraError, match=r"not done within 0\.5 s"):
            await board.ready()
        killed = int(pid.read_text())
        await until(lambda: not alive(killed))  # the kernel comes to it when it likes

    asyncio.run(story())


def test_a_daemon_that_a_command_leaves_holds_nobody_up(tmp_path: Path) -> None:
    async def story() -> None:
        board = board_of(tmp_path, check="sleep 3 & echo started")
        assert await board.checks() == [Check("board", True, "started")]

    asyncio.run(story())


def test_a_closed_board_runs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        board = board_of(tmp_path, ready="true")
        await board.close()
        with pytest.raises(ShuttingDown):
            await board.ready()

    asyncio.run(story())


def test_a_board_of_commands_conforms(tmp_path: Path) -> None:
    asyncio.run(check_driver(lambda: board_of(tmp_path, ready="true", check=["echo", "well"])))


# --- names and options
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("none", NoHardware),
        ("simulated", SimulatedHardware),
        ("stm", MuxPi),
        ("stm:/dev/ttyUSB0", MuxPi),
        ("command", CommandBoard),
    ],
)
def test_hardware_is_found_by_its_name(text: str, kind: type) -> None:
    async def story() -> None:
        board = boards.make(text, {})
        assert isinstance(board, kind)
        if isinstance(board, MuxPi):
            assert board.stm.path == (text.partition(":")[2] or "/dev/ttyS2")
        await board.close()

    asyncio.run(story())


@pytest.mark.parametrize("text", ["", "stn", "stm:", "stm:ttyS2", "none:x", "simulated:", ":x"])
def test_a_name_that_is_none_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: none|want stm:PORT|after a colon"):
        boards.check_name(text)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        ('hardware = "stm"\n[board]\ncard = "sd"', 3, "allowed: ts, dut"),
        ('hardware = "stm"\n[board]\n\nkart = "ts"', 4, "unknown (allowed: card)"),
        ('hardware = "command"\n[board]\npower_one = "x"', 3, "power_on"),
        ('hardware = "command"\n[board]\npower_on = 5', 3, "a line for the shell"),
        ('hardware = "command"\n[board]\nwithin = "5"', 3, "seconds"),
        ('hardware = "none"\n[board]\ncard = "ts"', 3, "takes no options"),
        ("board = 3", 1, "want a table"),
        ('hardware = "stm:ttyS2"', 1, "whole path"),
    ],
)
def test_bad_options_are_told_with_their_line(
    tmp_path: Path, lines: str, line: int, said: str
) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text(lines)
    with pytest.raises(BadConfig) as error:
        load(path, {}, {})
    assert f"line {line}:" in str(error.value)
    assert said in str(error.value)


def test_options_come_from_the_table_board(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text('hardware = "command"\n[board]\nready = ["true"]\nwithin = 3\n')
    config = load(path, {}, {})
    assert read_options(config.board) == ({"ready": ("true",)}, 3.0)


def test_an_original_config_with_an_empty_stm_path_opens_the_port(tmp_path: Path) -> None:
    path = tmp_path / "dryad.conf"
    path.write_text('stm_path = ""\n')
    assert load(path, {}, {}).hardware == "stm"
    path.write_text('stm_path = "/run/stm.socket"\n')
    assert load(path, {}, {}).hardware == "none"


@pytest.mark.parametrize(
    "options", [{"ready": ""}, {"ready": []}, {"ready": [1]}, {"within": True}]
)
def test_what_is_no_command_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        read_options(options)


# --- drivers of others
def relay(argument: str, options: object) -> Hardware:
    return SimulatedHardware(f"{argument} {options}")


def broken(argument: str, options: object) -> Hardware:
    raise OSError("no such relay")


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint(n, f"{__name__}:{n}", boards.GROUP) for n in ("relay", "broken")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)


@pytest.mark.usefixtures("brought")
def test_a_package_may_bring_its_own_driver(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text('hardware = "relay:4"\n[board]\nanything = 1\n')
    config = load(path, {}, {})
    board = boards.make(config.hardware, config.board)
    assert isinstance(board, SimulatedHardware)
    assert board.name == "4 {'anything': 1}"
    with pytest.raises(ValueError, match="command, broken, relay"):
        boards.check_name("relais")
    with pytest.raises(BadConfig, match="'broken': OSError: no such relay"):
        boards.make("broken", {})


# --- conformance
def test_the_boards_that_are_built_in_conform(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["none"]) == 0
    assert main(["simulated"]) == 0
    assert "simulated: conforms" in capsys.readouterr().out
    assert main(["stm:/dev/ttyNone"]) == 1
    assert "/dev/ttyNone" in capsys.readouterr().err
    assert main([]) == 2


class Raises(NoHardware):
    async def ready(self) -> None:
        raise KeyError("x")


class Refuses(NoHardware):
    async def maintenance(self, msg: str) -> None:
        raise InfraError("broken")


class Twins(NoHardware):
    async def checks(self) -> list[Check]:
        return [Check("a", True), Check("a", True)]


class Ill(NoHardware):
    async def checks(self) -> list[Check]:
        return [Check("a", False, "cold")]


class Leaves(NoHardware):
    async def ready(self) -> None:
        self.task = asyncio.create_task(asyncio.sleep(1000), name="left over")


class Blocks(NoHardware):
    async def ready(self) -> None:
        time.sleep(1.2)  # noqa: ASYNC251


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Raises, "KeyError"),
        (Refuses, "refused: broken"),
        (Twins, "one name"),
        (Ill, "not well: a: cold"),
        (Leaves, "left over"),
        (Blocks, "blocked the loop"),
    ],
)
def test_a_driver_that_an_agent_cannot_use_is_found(kind: Callable[[], Any], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        asyncio.run(check_driver(kind))
