"""The driver of a MuxPi's STM, over the simulated one: both kinds of echo, noise, faults."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.errors import BadRequest, ShuttingDown
from dryad.hardware.firmware import Firmware
from dryad.hardware.stm import PortUnusable, Stm, StmError, StmGarbled, StmRefused, StmSilent
from dryad.hardware.stm_answers import Answer, Lines, clean_text, display_lines
from dryad.hardware.stm_simulator import Fault, StmSimulator

Story = Callable[[StmSimulator, Stm], Awaitable[None]]
FIRMWARES = {
    "echo always": lambda: Firmware(),
    "echo that works": lambda: Firmware(echo_works=True),
    "no echo": lambda: Firmware(echo_works=True, echo=False),
}


@pytest.fixture(params=FIRMWARES)
def firmware(request: pytest.FixtureRequest) -> Firmware:
    made: Firmware = FIRMWARES[request.param]()
    return made


def with_stm(
    story: Story, firmware: Firmware | None = None, *, within_s: float = 10.0, speed: float = 1e6
) -> None:
    async def run() -> None:
        async with StmSimulator(firmware, speed=speed) as board:
            stm = Stm(board.path, within_s=within_s)
            try:
                await story(board, stm)
            finally:
                stm.close()

    asyncio.run(run())


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


# --- faults
@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.RESET, Fault.CUT, Fault.SILENT])
def test_one_bad_answer_is_asked_for_again(fault: Fault, firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        board.fail(fault)
        await stm.dut()
        assert (board.stm.mux, board.stm.power) == ("dut", True)
        assert await stm.mux() == "dut"

    with_stm(story, firmware, within_s=0.3)


def test_a_silent_stm_is_an_error_and_answers_again_later(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        board.fail(Fault.SILENT, 100)
        with pytest.raises(StmSilent, match="no answer within"):
            await stm.mux()
        board.heal()
        assert await stm.mux() == "ts"

    with_stm(story, firmware, within_s=0.2)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.set_power(True)
        board.fail(Fault.HELD, 2)
        with pytest.raises(StmSilent):
            await stm.power()
        board.let_go()
        assert await stm.mux() == "ts"
        assert await stm.current() == 300

    with_stm(story, firmware, within_s=0.2)


def test_a_tick_that_was_not_answered_is_not_made_again() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        board.fail(Fault.HELD)
        with pytest.raises(StmSilent, match="power tick 1"):
            await stm.power_tick(0.001)
        assert board.received.count(b"power tick 1") == 1

    with_stm(story, within_s=0.2)


def test_noise_between_commands_is_noticed(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        board.say(b"\x80OK\r\nOK\r\n\xff")
        assert await stm.mux() == "ts"
        assert await stm.current() == 0

    with_stm(story, firmware, within_s=0.5)


def test_a_restarted_stm_whose_echo_is_back_is_told_again() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        assert not stm.echoes
        board.reset()
        assert await stm.mux() == "ts"
        assert await stm.mux() == "ts"
        assert not board.stm.echoes

    with_stm(story, Firmware(echo_works=True))


def test_another_thing_on_the_port_is_told_by_what_it_says() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        board.stm.crashed = True
        call = asyncio.ensure_future(stm.version())
        while not call.done():
            await asyncio.sleep(0.01)
            board.say(b"login: \r\n")
        with pytest.raises(StmSilent, match="no STM, or at another speed: 'login:'"):
            await call

    with_stm(story, within_s=0.2)


def test_a_refusal_is_told_with_the_command() -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        with pytest.raises(StmRefused, match="fly: Unknown command"):
            await stm.ask("fly")
        with pytest.raises(StmGarbled, match="unexpected answer"):
            await stm.ask("power")
        assert await stm.power() is False

    with_stm(story)


def test_a_command_given_up_half_way_does_no_harm_to_the_next(firmware: Firmware) -> None:
    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        board.fail(Fault.HELD)
        given_up = asyncio.ensure_future(stm.power())
        while board.received[-1] != b"power":
            await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        board.let_go()
        assert await stm.mux() == "ts"

    with_stm(story, firmware)


# --- the port
def test_a_port_that_is_missing_or_none_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(PortUnusable, match="No such file"):
            await Stm(str(tmp_path / "ttyS9")).version()
        (tmp_path / "file").touch()
        with pytest.raises(PortUnusable, match="file"):
            await Stm(str(tmp_path / "file")).version()

    asyncio.run(story())


def test_one_user_of_a_port_at_a_time_also_over_processes() -> None:
    code = (
        "import asyncio, sys\n"
        "from dryad.hardware.stm import Stm\n"
        "try: asyncio.run(Stm(sys.argv[1]).version())\n"
        "except Exception as error: print(error)\n"
    )

    async def story(board: StmSimulator, stm: Stm) -> None:
        await stm.version()
        with pytest.raises(PortUnusable, match="another process uses it"):
            await Stm(board.path).version()
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, board.path, stdout=subprocess.PIPE
        )
        out, _ = await other.communicate()
        assert b"another process uses it" in out
        stm.close()
        second = Stm(board.path)
        assert await second.version() == "1.0"
        second.close()

    with_stm(story)


def test_a_port_that_goes_away_is_an_error_and_is_opened_again(tmp_path: Path) -> None:
    async def story() -> None:
        link = tmp_path / "ttySTM"
        first, second = StmSimulator(), StmSimulator()
        link.symlink_to(first.open())
        stm = Stm(str(link), within_s=10)
        await stm.version()
        first.fail(Fault.HELD)
        waits = asyncio.ensure_future(stm.mux())
        while first.received[-1] != b"mux":
            await asyncio.sleep(0)
        first.close()
        with pytest.raises(StmError):
            await waits
        link.unlink()
        link.symlink_to(second.open())
        assert await stm.mux() == "ts"
        stm.close()
        stm.close()
        second.close()
        with pytest.raises(ShuttingDown):
            await stm.mux()

    asyncio.run(story())


def test_a_port_that_takes_nothing_is_silent_and_holds_nobody_up() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        stm = Stm(os.ttyname(slave), within_s=0.2)
        with pytest.raises(StmSilent):
            await stm.version()
        stm.close()
        os.close(master)
        os.close(slave)

    asyncio.run(story())


# --- lines and answers
@given(st.lists(st.binary(max_size=40), max_size=30), st.data())
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(parts) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    cut, once = Lines(), Lines()
    assert [line for piece in pieces for line in cut.feed(piece)] == once.feed(whole)


@given(st.binary(max_size=3000))
def test_noise_ends_with_the_next_line(noise: bytes) -> None:
    lines = Lines()
    lines.feed(noise.replace(b"pressed", b""))
    lines.feed(b"\n")
    assert lines.feed(b"version\n\rMuxPi firmware v1.0\r\nOK\r\n") == [
        "version",
        "MuxPi firmware v1.0",
        "OK",
    ]


@given(st.integers(0, 5), st.sampled_from([1, 2]))
def test_a_key_within_an_echo_leaves_the_echo_whole(at: int, key: int) -> None:
    echo = b"power\n\roff\r\nOK\r\n"
    said = echo[:at] + b"pressed: %d\r\n" % key + echo[at:]
    found = Lines().feed(said)
    assert key in found
    assert [line for line in found if isinstance(line, str)] == ["power", "off", "OK"]


@given(st.lists(st.text(max_size=30), max_size=100))
def test_an_answer_is_complete_only_by_its_last_line(lines: list[str]) -> None:
    answer = Answer("power")
    for line in lines:
        answer.take(line)
    expected = any(x in ("OK", "Error processing command", "Unknown command") for x in lines)
    assert answer.complete is expected


@given(st.text(max_size=300))
def test_lines_for_the_display_always_fit_it(text: str) -> None:
    lines = display_lines(text)
    assert len(lines) <= 2
    for line in lines:
        assert 1 <= len(line) <= 16
        assert all(" " <= sign <= "~" for sign in line)
        assert 1 <= len(line.split(" ")) <= 6
        assert "" not in line.split(" ")


def test_a_message_is_broken_at_blanks() -> None:
    assert display_lines("waiting for a new SD card") == ["waiting for a", "new SD card"]
