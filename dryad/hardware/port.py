"""What an agent asks of a board's hardware, and a board that has none."""

from __future__ import annotations

from typing import Protocol

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
