"""The STM's driver under noise, silence, late answers, and on ports that are none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.domain.errors import ShuttingDown
from dryad.hardware.firmware import Firmware
from dryad.hardware.stm import PortUnusable, Stm, StmError, StmGarbled, StmRefused, StmSilent
from dryad.hardware.stm_simulator import Fault, StmSimulator
from tests.dryad.stm_kit import FIRMWARES, with_stm


@pytest.fixture(params=FIRMWARES)
def firmware(request: pytest.FixtureRequest) -> Firmware:
    made: Firmware = FIRMWARES[request.param]()
    return made


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
