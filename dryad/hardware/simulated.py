"""A board without a board: it keeps what a real one would show, and logs each change."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from boruta.domain.errors import ShuttingDown
from boruta.domain.types import Check
from dryad.hardware.simulated_target import SimulatedTarget
from dryad.logs import event

_log = logging.getLogger("dryad.hardware")

Colour: TypeAlias = tuple[int, int, int]
RUNNING_MA: Final = 230  # of a target that runs; a small computer's
OFF: Final[Colour] = (0, 0, 0)
YELLOW: Final[Colour] = (96, 144, 0)  # the original's colour of maintenance


@dataclass(slots=True)
class SimulatedHardware:
    """Power, mux, display and LEDs as plain fields, for whoever wants to look."""

    name: str = "board"
    powered: bool = False
    side: Literal["ts", "dut"] = "ts"
    display: str = ""
    leds: list[Colour] = field(default_factory=lambda: [OFF, OFF])
    blinking: bool = False
    closed: bool = False
    target: SimulatedTarget | None = None

    @property
    def console_path(self) -> str:
        """The device of its target's serial line; empty: it has none."""
        return self.target.path if self.target else ""

    async def maintenance(self, msg: str) -> None:
        """Shows `msg`; both LEDs blink in yellow."""
        self._check_open()
        self.display, self.blinking = msg, True
        self.leds[:] = [YELLOW, YELLOW]
        event(_log, logging.INFO, "maintenance_shown", board=self.name, msg=msg)

    async def ready(self) -> None:
        """Display and LEDs dark, target off, card to the agent's side."""
        self._check_open()
        self.display, self.blinking = "", False
        self.leds[:] = [OFF, OFF]
        self._power(False)
        self.side = "ts"
        event(_log, logging.INFO, "hardware_ready", board=self.name)

    async def power(self) -> bool:
        """Whether the target has power."""
        return self.powered

    async def set_power(self, on: bool) -> None:
        """Switches the target's power."""
        self._check_open()
        self._power(on)

    async def power_tick(self, seconds: float = 1.0) -> None:
        """Takes the target's power for so many seconds; it is on afterwards."""
        self._check_open()
        self._power(False)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._power(True)

    async def mux(self) -> str:
        """Whose the card is."""
        return self.side

    async def set_mux(self, side: Literal["ts", "dut"]) -> None:
        """Gives the card to the agent's side, or to the target."""
        self._check_open()
        self.side = side

    async def current(self) -> int:
        """What the target takes, in mA."""
        return RUNNING_MA if self.powered else 0

    async def show(self, text: str) -> None:
        """Shows `text` on the display."""
        self._check_open()
        self.display = text

    async def set_led(self, which: Literal[1, 2], colour: Colour) -> None:
        """Sets an LED: red, green, blue."""
        self._check_open()
        self.leds[which - 1] = colour

    async def checks(self) -> list[Check]:
        """Says how it stands."""
        stands = f"simulated; power {'on' if self.powered else 'off'}, card to {self.side}"
        return [Check("hardware", not self.closed, "closed" if self.closed else stands)]

    async def close(self) -> None:
        """Answers no more."""
        self.closed = True
        if self.target is not None:
            self.target.close()

    def _power(self, on: bool) -> None:
        self.powered = on
        if self.target is not None and not self.closed:
            self.target.power(on)

    def _check_open(self) -> None:
        if self.closed:
            raise ShuttingDown(f"{self.name}: its hardware is closed")
