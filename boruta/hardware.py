"""The hardware of a board that is held: its target's power, card, current, console, LEDs, text.

Each is an order of the `board` command on the board itself, which its agent answers to the holder.
"""

from __future__ import annotations

import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from subprocess import CompletedProcess
from typing import Any, Final, Protocol

from boruta.domain.codes import error_from
from boruta.domain.errors import ActionRefused, BorutaError, InfraError

_TOLD: Final = re.compile(r"board: (.*)   \[([a-z_]+)\]$", re.DOTALL)
OPENED: Final = b"[open]\n"  # as `board console` says it
_NOT_FOUND: Final = 127


class Ask(Protocol):
    """Has the board carry out an order; what it says."""

    def __call__(self, *words: str) -> Coroutine[Any, Any, str]: ...


class Power:
    """The target's power."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def on(self) -> None:
        """Gives it power."""
        await self._ask("power", "on")

    async def off(self) -> None:
        """Takes its power."""
        await self._ask("power", "off")

    async def tick(self, seconds: float = 1.0) -> None:
        """Takes its power for 0.001 to 30 seconds; it is on afterwards."""
        await self._ask("power", "tick", f"{seconds:g}")

    async def is_on(self) -> bool | None:
        """Whether it has power; None: the board cannot tell."""
        return {"on": True, "off": False}.get((await self._ask("power")).strip())


class Mux:
    """The card between the board and its target."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def ts(self) -> None:
        """Gives it to the board."""
        await self._ask("mux", "ts")

    async def dut(self) -> None:
        """Gives it to the target."""
        await self._ask("mux", "dut")

    async def side(self) -> str:
        """Whose it is: ts, dut, or another word for what is neither."""
        return (await self._ask("mux")).strip()


class Current:
    """What the target takes."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def read(self) -> int:
        """In mA."""
        return int(await self._ask("current"))

    async def record(self, seconds: float, *, every: float = 1.0) -> list[tuple[float, int]]:
        """Reads it for so long: pairs of seconds since the start and mA.

        Args:
            seconds: how long.
            every: seconds between two readings, 0.003 or more; those that come late are left out.
        """
        lines = await self._ask("current", "--record", f"{seconds:g}", "--every", f"{every:g}")
        pairs = (line.split(",") for line in lines.splitlines())
        return [(float(when), int(current)) for when, current in pairs]


class WithHardware(ABC):
    """What a reservation is beside its shell."""

    @property
    def power(self) -> Power:
        """The target's power."""
        return Power(self._order)

    @property
    def mux(self) -> Mux:
        """The card between the board and its target."""
        return Mux(self._order)

    @property
    def current(self) -> Current:
        """What the target takes."""
        return Current(self._order)

    async def led(self, which: int, red: int, green: int, blue: int) -> None:
        """Sets LED 1 or 2; each colour 0 to 255."""
        await self._order("led", *map(str, (which, red, green, blue)))

    async def text(self, text: str) -> None:
        """Shows `text` on the display; nothing clears it."""
        await self._order("text", *text.split())

    @abstractmethod
    async def open_console(self, *, write: bool = True) -> socket.socket:
        """The target's serial line as a socket of bytes; closing it ends that."""

    @abstractmethod
    async def run(self, cmd: Sequence[str]) -> CompletedProcess[str]:
        """Runs a command on the board."""

    async def _order(self, *words: str) -> str:
        done = await self.run(["board", *words])
        if done.returncode == 0:
            return done.stdout
        if done.returncode == _NOT_FOUND:
            raise ActionRefused("the board's agent has no `board` command: an older version")
        raise told_by(done.stderr)


def told_by(stderr: str) -> BorutaError:
    """The error that a `board` command spoke of."""
    told = _TOLD.search(stderr.strip())
    return InfraError(f"board: {stderr.strip()}") if told is None else error_from(told[2], told[1])
