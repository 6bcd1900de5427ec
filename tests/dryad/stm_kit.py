"""A driver of the STM over the simulated one, for each kind of firmware."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dryad.hardware.firmware import Firmware
from dryad.hardware.stm import Stm
from dryad.hardware.stm_simulator import StmSimulator

Story = Callable[[StmSimulator, Stm], Awaitable[None]]
FIRMWARES = {
    "echo always": lambda: Firmware(),
    "echo that works": lambda: Firmware(echo_works=True),
    "no echo": lambda: Firmware(echo_works=True, echo=False),
}


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
