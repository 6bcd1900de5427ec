"""A board with an STM as its agent sees it: maintenance, ready, checks, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from boruta.domain.errors import InfraError, ShuttingDown
from dryad.hardware.conformance import check_driver
from dryad.hardware.firmware import Firmware
from dryad.hardware.muxpi import MuxPi
from dryad.hardware.simulated import OFF, YELLOW
from dryad.hardware.stm import Stm
from dryad.hardware.stm_simulator import Fault, StmSimulator


class Rig:
    """A board whose blinker goes on when it is told to."""

    def __init__(self, simulator: StmSimulator, within_s: float) -> None:
        self.simulator = simulator
        self.state = simulator.stm
        self.waits: list[asyncio.Future[None]] = []
        self.waiting = asyncio.Event()
        self.board = MuxPi(Stm(simulator.path, within_s=within_s), sleep=self._sleep)

    async def _sleep(self, _: float) -> None:
        wait = asyncio.get_running_loop().create_future()
        self.waits.append(wait)
        self.waiting.set()
        await wait

    async def next_look(self) -> list[tuple[int, int, int]]:
        """The LEDs each time the blinker waits; then it goes on."""
        async with asyncio.timeout(10):
            await self.waiting.wait()
        self.waiting.clear()
        leds = list(self.state.leds)
        self.waits.pop().set_result(None)
        return leds


def on_a_board(story: Callable[[Rig], Awaitable[None]], *, within_s: float = 10.0) -> None:
    async def run() -> None:
        async with StmSimulator(Firmware(), speed=1e6) as simulator:
            rig = Rig(simulator, within_s)
            try:
                await story(rig)
            finally:
                await rig.board.close()

    asyncio.run(run())


def test_maintenance_shows_the_message_and_blinks_by_turns() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.maintenance("waiting for a new SD card")
        assert rig.state.display == "waiting for a\nnew SD card"
        looks = [await rig.next_look() for _ in range(4)]
        assert looks == [[YELLOW, OFF], [OFF, YELLOW], [YELLOW, OFF], [OFF, YELLOW]]

    on_a_board(story)


def test_a_second_maintenance_leaves_one_blinker() -> None:
    async def story(rig: Rig) -> None:
        before = len(asyncio.all_tasks())
        for n in range(3):
            await rig.board.maintenance(f"message {n}")
            await asyncio.sleep(0)
        assert rig.state.display == "message 2"
        assert len(asyncio.all_tasks()) == before + 1

    on_a_board(story)


def test_ready_ends_maintenance_and_leaves_everything_dark_and_off() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.maintenance("soon")
        await rig.next_look()
        rig.state.power, rig.state.mux = True, "dut"
        await rig.board.ready()
        assert not rig.board.blinking
        assert (rig.state.display, rig.state.leds) == ("", [OFF, OFF])
        assert (rig.state.power, rig.state.mux) == (False, "ts")

    on_a_board(story)


def test_the_card_may_wait_with_the_target() -> None:
    async def story(rig: Rig) -> None:
        board = MuxPi(rig.board.stm, card="dut")
        await board.ready()
        assert (rig.state.power, rig.state.mux) == (False, "dut")

    on_a_board(story)


def test_closing_ends_the_blinker_and_clears_the_display() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.maintenance("soon")
        await rig.board.close()
        await rig.board.close()
        assert (rig.state.display, rig.state.leds) == ("", [OFF, OFF])
        assert not rig.board.blinking
        with pytest.raises(ShuttingDown):
            await rig.board.ready()

    on_a_board(story)


def test_closing_in_the_middle_of_a_job_leaves_the_board_as_it_is() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.ready()
        rig.state.leds[0], rig.state.power = (1, 2, 3), True
        await rig.board.close()
        assert (rig.state.leds[0], rig.state.power) == ((1, 2, 3), True)

    on_a_board(story)


def test_checks_tell_version_and_current_and_move_nothing() -> None:
    async def story(rig: Rig) -> None:
        rig.state.power, rig.state.mux = True, "dut"
        stm, current = await rig.board.checks()
        assert stm.ok
        assert stm.detail.endswith("firmware 1.0")
        assert current.detail == "300 mA"
        assert (rig.state.power, rig.state.mux) == (True, "dut")

    on_a_board(story)


def test_a_stuck_stm_is_a_failed_check_and_a_refused_prepare() -> None:
    async def story(rig: Rig) -> None:
        rig.simulator.fail(Fault.SILENT, 1000)
        (check,) = await rig.board.checks()
        assert (check.name, check.ok) == ("stm", False)
        assert "no answer" in check.detail
        with pytest.raises(InfraError):
            await rig.board.ready()
        with pytest.raises(InfraError):
            await rig.board.maintenance("x")
        rig.simulator.heal()
        assert all(check.ok for check in await rig.board.checks())

    on_a_board(story, within_s=0.1)


def test_a_missing_port_is_a_failed_check() -> None:
    async def story() -> None:
        board = MuxPi(Stm("/dev/ttyNone"))
        (check,) = await board.checks()
        assert not check.ok
        assert "/dev/ttyNone: No such file" in check.detail
        await board.close()

    asyncio.run(story())


def test_an_stm_that_waits_for_a_tick_is_well() -> None:
    async def story() -> None:
        async with StmSimulator(speed=0) as simulator:
            board = MuxPi(Stm(simulator.path, within_s=10))
            tick = asyncio.ensure_future(board.power_tick(5))
            while not simulator.received or simulator.received[-1] != b"power tick 5000":
                await asyncio.sleep(0)
            (check,) = await board.checks()
            assert check.ok
            assert "busy with power tick" in check.detail
            simulator.finish_tick()
            await tick
            await board.close()

    asyncio.run(story())


def test_power_and_card_can_be_switched() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.set_power(True)
        await rig.board.set_mux("dut")
        assert (rig.state.power, rig.state.mux) == (True, "dut")
        await rig.board.power_tick(0.1)
        assert rig.state.ticks == 1

    on_a_board(story)


def test_blinking_goes_on_over_a_fault() -> None:
    async def story(rig: Rig) -> None:
        await rig.board.maintenance("x")
        await rig.next_look()
        rig.simulator.fail(Fault.SILENT, 6)
        for _ in range(6):
            await rig.next_look()
        assert rig.board.blinking

    on_a_board(story, within_s=0.1)


def test_it_conforms() -> None:
    async def story(rig: Rig) -> None:
        await check_driver(lambda: MuxPi(Stm(rig.simulator.path)))

    on_a_board(story)
