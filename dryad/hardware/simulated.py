"""A board without a board: it keeps what a real one would show, and logs each change."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from boruta.domain.errors import ShuttingDown
from boruta.domain.types import Check
from dryad.logs import event

_log = logging.getLogger("dryad.hardware")

Colour: TypeAlias = tuple[int, int, int]
OFF: Final[Colour] = (0, 0, 0)
YELLOW: Final[Colour] = (96, 144, 0)  # the original's colour of maintenance


@dataclass(slots=True)
class SimulatedHardware:
    """Power, mux, display and LEDs as plain fields, for whoever wants to look."""

    name: str = "board"
    power: bool = False
    mux: Literal["ts", "dut"] = "ts"
    display: str = ""
    leds: list[Colour] = field(default_factory=lambda: [OFF, OFF])
    blinking: bool = False
    closed: bool = False

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
        self.power, self.mux = False, "ts"
        event(_log, logging.INFO, "hardware_ready", board=self.name)

    async def checks(self) -> list[Check]:
        """Says how it stands."""
        stands = f"simulated; power {'on' if self.power else 'off'}, card to {self.mux}"
        return [Check("hardware", not self.closed, "closed" if self.closed else stands)]

    async def close(self) -> None:
        """Answers no more."""
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise ShuttingDown(f"{self.name}: its hardware is closed")
