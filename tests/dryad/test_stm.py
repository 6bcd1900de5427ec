"""The driver of a MuxPi's STM: each command, over both kinds of echo."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from boruta.domain.errors import BadRequest
from dryad.hardware.firmware import Firmware
from dryad.hardware.stm import Stm
from dryad.hardware.stm_answers import clean_text
from dryad.hardware.stm_simulator import Fault, StmSimulator
from tests.dryad.stm_kit import FIRMWARES, with_stm


@pytest.fixture(params=FIRMWARES)
def firmware(request: pytest.FixtureRequest) -> Firmware:
    made: Firmware = FIRMWARES[request.param]()
    return made


def test_every_command_does_what_its_name_says(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        state = board.stm
        assert await stm.version() == "1.0"
        assert "dut" in await stm.help()
        assert await stm.power() is False
        await stm.set_power(True)
        assert await stm.power() is True
        await stm.set_mux("dut")
        assert (await stm.mux(), state.power) == ("dut", True)
        await stm.ts()
        assert (state.mux, state.power) == ("ts", False)
        await stm.dut()
        assert (state.mux, state.power) == ("dut", True)
        await stm.power_tick(0.5)
        assert state.ticks == 1
        await stm.set_hdmi(True)
        await stm.set_dyper(2, True)
        assert (state.hdmi, state.dyper) == (True, [False, True])
        assert (stm.remembered.hdmi, stm.remembered.dyper) == (True, [None, True])
        await stm.set_led(1, (96, 144, 0))
        assert await stm.led(1) == (96, 144, 0)
        assert await stm.leds() == ((96, 144, 0), (0, 0, 0))
        assert await stm.current() == 300
        await stm.set_idle_current(100)
        assert await stm.current() == 200
        await stm.zero_current()
        assert await stm.current() == 0
        assert await stm.adc(3) == 2048
        assert (await stm.adc_all())["vrefint"] == 1500
        assert await stm.voltage(3) == 1650
        assert list(await stm.voltage_all()) == ["adc1", "adc2", "adc3", "adc4"]
        await stm.set_lthor_switch("uart")
        await stm.set_lthor_id("uart")
        await stm.set_lthor_vbus(True)
        await stm.set_lthor_combo("usb")
        assert (await stm.lthor_switch(), await stm.lthor_id()) == ("uart", "uart")
        assert await stm.lthor_vbus() is True
        state.keys[:] = [True, False]
        assert await stm.keys() == (True, False)
        assert await stm.key(2) is False
        await stm.set_uart(3300)
        assert (await stm.uart(), state.uart_mv) == (3300, 3300)

    with_stm(story, firmware)


def test_the_display_takes_texts_and_shapes(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.clear_display()
        assert board.stm.display == ""
        await stm.print_text("upper")
        await stm.print_text("lower", line=1)
        assert board.stm.display == "upper\nlower"
        await stm.draw_point(-3, 99)
        await stm.draw_line(0, 0, 200, 31, "inv")
        await stm.draw_rectangle(120, 30, 50, 50)
        await stm.draw_circle(5, 5, 99)
        assert list(board.stm.drawn)[2:] == [
            "draw point 0 31 on",
            "draw line 0 0 127 31 inv",
            "draw rectangle 120 30 8 2 on",
            "draw circle 5 5 5 on",
        ]

    with_stm(story, firmware)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 64,
        "bell\x07 and\x1b[2J",
        "gr\u00fc\u00df dich \u65e5\u672c",
        "a b c d e f g h",
        "",
        " \t ",
        "\n",
        "OK",
        "pressed: 1",
    ],
)
def test_no_text_harms_the_display(text: str, firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.clear_display()
        await stm.print_text(text)
        assert await stm.version() == "1.0"
        assert board.stm.display == clean_text(text)

    with_stm(story, firmware)


def test_numbers_are_held_to_their_range() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.set_led(2, (300, -1, 7))
        assert board.stm.leds[1] == (255, 0, 7)
        await stm.set_uart(99999)
        assert board.stm.uart_mv == 5000
        await stm.power_tick(-5)
        await stm.power_tick(1e9)
        assert board.received[-2:] == [b"power tick 1", b"power tick 60000"]

    with_stm(story)


def test_what_does_not_exist_is_refused_before_it_is_sent() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        wrong: list[Awaitable[object]] = [
            stm.set_dyper(3, True),  # type: ignore[arg-type]
            stm.set_led(0, (1, 2, 3)),  # type: ignore[arg-type]
            stm.adc(6),
            stm.set_mux("usb"),  # type: ignore[arg-type]
            stm.power_tick(float("nan")),
            stm.ask("version\nts"),
            stm.ask("x" * 64),
        ]
        for call in wrong:
            with pytest.raises(BadRequest):
                await call
        assert board.received == []

    with_stm(story)


def test_commands_at_the_same_time_go_one_after_the_other(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        found = await asyncio.gather(*(stm.uart() if n % 2 else stm.mux() for n in range(20)))
        assert found == ["ts", 0] * 10

    with_stm(story, firmware)


def test_keys_are_told_wherever_they_come(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        pressed: list[int] = []
        stm.on_key = pressed.append
        await stm.version()
        board.fail(Fault.PRESSED)
        assert await stm.mux() == "ts"
        before = len(board.received)
        board.press(2)
        assert await stm.mux() == "ts"
        assert pressed == [1, 2]
        assert len(board.received) == before + 1  # it was never out of step

    with_stm(story, firmware)
