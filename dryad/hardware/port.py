"""What an agent asks of a board's hardware, and a board that has none."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from boruta.domain.types import Check


class Hardware(Protocol):
    """One board's power, mux, display and LEDs."""

    async def maintenance(self, msg: str) -> None:
        """Shows `msg`, and by its LEDs that somebody works on the board."""
        ...

    async def ready(self) -> None:
        """Ready for the next holder: display cleared, target off, card to the agent's side."""
        ...

    async def checks(self) -> list[Check]:
        """How the hardware is; nothing that a holder would notice is moved."""
        ...

    async def close(self) -> None:
        """Gives the hardware back; idempotent."""
        ...


@runtime_checkable
class Switchable(Protocol):
    """A board whose target can be switched. Raises BorutaError where that is not done."""

    async def set_power(self, on: bool) -> None:
        """Switches the target's power."""
        ...

    async def power_tick(self, seconds: float = 1.0) -> None:
        """Takes the target's power for so many seconds; it is on afterwards."""
        ...

    async def set_mux(self, side: Literal["ts", "dut"]) -> None:
        """Gives the card to the agent's side, or to the target."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A board that knows how its target is switched."""

    async def power(self) -> bool | None:
        """Whether the target has power; None: unknown."""
        ...

    async def mux(self) -> str:
        """Whose the card is: ts, dut, or another word for what is neither."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A board that measures what its target takes."""

    async def current(self) -> int:
        """In mA."""
        ...


@runtime_checkable
class Showing(Protocol):
    """A board with a display and two LEDs."""

    async def show(self, text: str) -> None:
        """Shows `text` instead of what was shown; nothing clears it."""
        ...

    async def set_led(self, which: Literal[1, 2], colour: tuple[int, int, int]) -> None:
        """Sets an LED: red, green, blue, each 0 to 255."""
        ...


@runtime_checkable
class Wired(Protocol):
    """A board whose target's HDMI and USB lines can be plugged."""

    async def set_hdmi(self, on: bool) -> None:
        """Plugs the target's HDMI, or pulls it."""
        ...

    async def set_dyper(self, which: Literal[1, 2], on: bool) -> None:
        """Switches one of the two dynamic jumpers."""
        ...


class BadOption(ValueError):
    """An option of the table [board] that the hardware does not take.

    Args:
        key: its name.
        why: what is wrong with it, and what is allowed.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"[board] {key}: {why}")
        self.key = key
        self.why = why


class NoHardware:
    """A plain Linux host: nothing to switch, nothing to show."""

    async def maintenance(self, msg: str) -> None:
        """Shows nothing."""

    async def ready(self) -> None:
        """Is ready."""

    async def checks(self) -> list[Check]:
        """Finds nothing to check."""
        return []

    async def close(self) -> None:
        """Has nothing to give back."""
