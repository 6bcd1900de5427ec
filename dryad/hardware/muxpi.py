"""A board with a MuxPi's STM: maintenance to be seen, ready for the next holder, checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from boruta.domain.errors import BorutaError, InfraError
from boruta.domain.types import Check
from dryad.hardware.simulated import OFF, YELLOW, Colour
from dryad.hardware.stm import Side, Stm, StmError
from dryad.hardware.stm_answers import display_lines
from dryad.logs import event

_log = logging.getLogger("dryad.hardware")

BLINK_S: Final = 1.0  # one LED, then the other: the original's pace
CHECK_WITHIN_S: Final = 10.0  # less than the agent gives all hardware
CLOSE_WITHIN_S: Final = 5.0


class MuxPi:
    """The hardware port over an STM.

    Args:
        stm: the driver; it is closed with the board.
        card: whose the card is when the board is ready.
        on_close: called at the end, with the STM closed.
        sleep: how the blinker waits, in seconds.
    """

    def __init__(
        self,
        stm: Stm,
        *,
        card: Side = "ts",
        on_close: Callable[[], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.stm = stm
        self._card = card
        self._on_close = on_close
        self._sleep = sleep
        self._blinker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def blinking(self) -> bool:
        """Whether the LEDs tell of maintenance."""
        return self._blinker is not None and not self._blinker.done()

    async def maintenance(self, msg: str) -> None:
        """Shows `msg`, in two lines of 16 characters; the LEDs blink in yellow by turns."""
        await self._stop_blinking()
        await self.show(msg)
        await self._stop_blinking()  # another order may have come meanwhile
        self._blinker = asyncio.create_task(self._blink(), name="dryad blinks")
        event(_log, logging.INFO, "maintenance_shown", port=self.stm.path, msg=msg)

    async def ready(self) -> None:
        """Display and LEDs dark, the target without power, the card where it belongs."""
        await self._stop_blinking()
        await self._darken()
        await self.stm.ts()
        if self._card != "ts":
            await self.stm.set_mux(self._card)
        event(_log, logging.INFO, "hardware_ready", port=self.stm.path)

    async def set_power(self, on: bool) -> None:
        """Switches the target's power."""
        await self.stm.set_power(on)

    async def power_tick(self, seconds: float = 1.0) -> None:
        """Takes the target's power for 0.001 to 60 seconds; it is on afterwards."""
        await self.stm.power_tick(seconds)

    async def set_mux(self, side: Side) -> None:
        """Gives the card to this machine, or to the target."""
        await self.stm.set_mux(side)

    async def power(self) -> bool:
        """Whether the target has power."""
        return await self.stm.power()

    async def mux(self) -> str:
        """Whose the card is."""
        return await self.stm.mux()

    async def current(self) -> int:
        """What the target takes, in mA; 0 without power."""
        return await self.stm.current()

    async def show(self, text: str) -> None:
        """Shows `text` in two lines of 16 characters; nothing clears the display."""
        await self.stm.clear_display()
        places: tuple[Literal[0, 1], ...] = (0, 1)
        for line, words in zip(places, display_lines(text) if text else (), strict=False):
            await self.stm.print_text(words, line=line)

    async def set_led(self, which: Literal[1, 2], colour: Colour) -> None:
        """Sets an LED: red, green, blue, each 0 to 255."""
        await self.stm.set_led(which, colour)

    async def set_hdmi(self, on: bool) -> None:
        """Plugs the target's HDMI, or pulls it."""
        await self.stm.set_hdmi(on)

    async def set_dyper(self, which: Literal[1, 2], on: bool) -> None:
        """Switches a dynamic jumper."""
        await self.stm.set_dyper(which, on)

    async def checks(self) -> list[Check]:
        """Whether the STM answers in time; its version, and what the target takes."""
        doing = self.stm.doing
        if doing.startswith("power tick"):
            return [Check("stm", True, f"{self.stm.path}: busy with {doing}")]
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                version = await self.stm.version()
                current = await self.stm.current()
        except TimeoutError:
            return [Check("stm", False, f"{self.stm.path}: no answer within {CHECK_WITHIN_S:g} s")]
        except StmError as error:
            return [Check("stm", False, str(error))]
        return [
            Check("stm", True, f"{self.stm.path}: firmware {version}"),
            Check("current", True, f"{current} mA"),
        ]

    async def close(self) -> None:
        """Blinks no more, clears the display, gives the port back; idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.blinking:
                await self._stop_blinking()
                with contextlib.suppress(BorutaError, TimeoutError):
                    async with asyncio.timeout(CLOSE_WITHIN_S):
                        await self._darken()
        finally:
            self.stm.close()
            if self._on_close is not None:
                self._on_close()

    async def _darken(self) -> None:
        await self.stm.clear_display()
        await self.stm.set_led(1, OFF)
        await self.stm.set_led(2, OFF)

    async def _blink(self) -> None:
        sides: tuple[Literal[1, 2], ...] = (1, 2)
        while True:
            for led in sides:
                for colour in (YELLOW, OFF):
                    with contextlib.suppress(InfraError):  # a lost blink is no fault
                        await self.stm.set_led(led, colour)
                    if colour != OFF:
                        await self._sleep(BLINK_S)

    async def _stop_blinking(self) -> None:
        blinker, self._blinker = self._blinker, None
        if blinker is not None:
            blinker.cancel()
            await asyncio.gather(blinker, return_exceptions=True)
