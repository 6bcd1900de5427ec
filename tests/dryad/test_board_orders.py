"""Orders to a board's hardware, in words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from boruta.domain.errors import ActionRefused, BadRequest, BorutaError, NotPermitted
from dryad.board import orders
from dryad.hardware.command import CommandBoard
from dryad.hardware.port import Hardware, NoHardware
from dryad.hardware.simulated import SimulatedHardware


def said(hardware: Hardware, *words: str) -> str:
    async def story() -> str:
        assert orders.check(words, admin=True) == words[0]
        return await orders.carry_out(hardware, words)

    return asyncio.run(story())


def test_power_and_mux_are_switched_and_told() -> None:
    board = SimulatedHardware()
    assert said(board, "power") == "off\n"
    assert said(board, "power", "on") == ""
    assert said(board, "power") == "on\n"
    assert said(board, "mux", "dut") == ""
    assert said(board, "mux") == "dut\n"
    said(board, "power", "off")
    assert said(board, "power", "tick", "0.001") == ""
    assert board.powered
    assert said(board, "current") == "230\n"


def test_leds_and_display() -> None:
    board = SimulatedHardware()
    said(board, "led", "2", "255", "0", "7")
    assert board.leds[1] == (255, 0, 7)
    said(board, "text", "two", "words")
    assert board.display == "two words"
    said(board, "text")
    assert board.display == ""
    said(board, "maintenance", "hands", "off")
    assert board.blinking
    said(board, "ready")
    assert not board.blinking


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("power up", "want: board power [on|off|tick [SECONDS]]"),
        ("power on now", "want: board power"),
        ("power tick x", "want: board power"),
        ("power tick 0", "0 seconds (allowed: 0.001 to 30)"),
        ("power tick nan", "nan seconds (allowed: 0.001 to 30)"),
        ("power tick 31", "31 seconds"),
        ("mux sd", "want: board mux [ts|dut]"),
        ("current now", "want: board current"),
        ("led 3 0 0 0", "want: board led 1|2 RED GREEN BLUE"),
        ("led 1 0 0", "want: board led"),
        ("led 1 0 0 256", "'256' (allowed: 0 to 255)"),
        ("led 1 0 0 -1", "'-1' (allowed: 0 to 255)"),
        ("hdmi", "want: board hdmi on|off"),
        ("dyper 3 on", "want: board dyper 1|2 on|off"),
        ("ready now", "want: board ready"),
    ],
)
def test_a_wrong_word_says_what_is_allowed(words: str, why: str) -> None:
    with pytest.raises(BadRequest) as told:
        said(SimulatedHardware(), *words.split())
    assert why in told.value.message


@pytest.mark.parametrize(
    ("board", "words", "why"),
    [
        (NoHardware(), "power on", "this board cannot switch its target"),
        (NoHardware(), "power", "this board cannot tell its target's power"),
        (NoHardware(), "mux", "has no card mux"),
        (NoHardware(), "current", "measures no current"),
        (NoHardware(), "led 1 0 0 0", "has no LEDs"),
        (NoHardware(), "text x", "has no display"),
        (SimulatedHardware(), "hdmi on", "has no HDMI"),
        (SimulatedHardware(), "dyper 1 on", "has no dynamic jumpers"),
    ],
)
def test_what_a_board_has_not_is_said(board: Any, words: str, why: str) -> None:
    with pytest.raises(ActionRefused, match=why):
        said(board, *words.split())


def test_a_board_of_commands_knows_how_it_was_switched_last() -> None:
    async def made(**commands: str) -> CommandBoard:
        return CommandBoard({name: ("/bin/sh", "-c", text) for name, text in commands.items()})

    async def story() -> None:
        board = await made(power_on="true", power_off="true", mux_dut="false")
        assert await orders.carry_out(board, ["power"]) == "unknown\n"
        assert await orders.carry_out(board, ["mux"]) == "unknown\n"
        await orders.carry_out(board, ["power", "on"])
        assert await orders.carry_out(board, ["power"]) == "on\n"
        await orders.carry_out(board, ["power", "tick", "0.001"])
        assert await orders.carry_out(board, ["power"]) == "on\n"
        await board.ready()
        assert await orders.carry_out(board, ["power"]) == "off\n"
        with pytest.raises(BorutaError):
            await orders.carry_out(board, ["mux", "dut"])
        assert await orders.carry_out(board, ["mux"]) == "unknown\n"

    asyncio.run(story())


def test_a_name_that_there_is_not_and_one_that_is_roots() -> None:
    with pytest.raises(BadRequest, match=r"board: 'powr' \(allowed: power, mux, "):
        orders.check(["powr"], admin=True)
    with pytest.raises(BadRequest, match="board: ''"):
        orders.check([], admin=False)
    for name in orders.ADMIN:
        with pytest.raises(NotPermitted, match="only root may"):
            orders.check([name], admin=False)
        assert orders.check([name], admin=True) == name


def test_every_order_is_in_the_usage() -> None:
    assert set(orders._ORDERS) | {"console", "record"} == set(orders.USAGE)
    assert all(f"board {name}" in orders.usage() for name in orders.USAGE)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", None),
        ("--record", orders.Recording(1.0, orders.LONGEST_RECORD_S)),
        ("--record 5", orders.Recording(1.0, 5.0)),
        ("--record --every 0.5", orders.Recording(0.5, orders.LONGEST_RECORD_S)),
        ("--record 2 --every 0.003", orders.Recording(0.003, 2.0)),
    ],
)
def test_a_recording_is_read(words: str, wanted: orders.Recording | None) -> None:
    assert orders.read_recording(words.split()) == wanted


@pytest.mark.parametrize(
    "words",
    [
        "5",
        "--record x",
        "--record 1 2",
        "--record --every",
        "--record 1 --every 0.001",
        "--every 1",
    ],
)
def test_a_recording_that_makes_no_sense_is_refused(words: str) -> None:
    with pytest.raises(BadRequest, match="board current"):
        orders.read_recording(words.split())


def test_a_recording_has_as_many_lines_as_there_was_time() -> None:
    async def story() -> list[str]:
        wanted = orders.Recording(0.01, 0.1)
        return [line async for line in orders.record(SimulatedHardware(powered=True), wanted)]

    lines = asyncio.run(story())
    assert 2 <= len(lines) <= 11
    assert all(line.endswith(",230\n") for line in lines)
    times = [float(line.split(",")[0]) for line in lines]
    assert times == sorted(times)
