"""A board that is switched by commands of its owner: a power strip, a relay card, a script."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Final, Literal

from boruta.domain.errors import ActionRefused, InfraError, ShuttingDown
from boruta.domain.types import Check
from dryad.hardware.port import BadOption
from dryad.programs import Words, output, words_of

COMMANDS: Final = (
    "power_on",
    "power_off",
    "power_tick",
    "mux_ts",
    "mux_dut",
    "maintenance",
    "ready",
    "check",
)
WITHIN_S: Final = 20.0  # of the 60 s that the server waits for all that `ready` runs
CHECK_WITHIN_S: Final = 10.0  # less than the agent gives all hardware


class CommandBoard:
    """The hardware port over commands. What is not configured is not done.

    Args:
        commands: by the names of `COMMANDS`, each with its arguments.
        within_s: how long a command may take, in seconds; then it is killed.
    """

    def __init__(self, commands: Mapping[str, Words], within_s: float = WITHIN_S) -> None:
        self._commands = dict(commands)
        self._within_s = within_s
        self._turn = asyncio.Lock()
        self._closed = False
        self._power: bool | None = None  # as it was switched last
        self._side = "unknown"

    async def maintenance(self, msg: str) -> None:
        """Runs `maintenance` with the message in BORUTA_MESSAGE."""
        await self._run("maintenance", BORUTA_MESSAGE=msg.replace("\0", " "))

    async def ready(self) -> None:
        """Runs `power_off`, `mux_ts` and `ready`."""
        self._power, self._side = None, "unknown"
        for name in ("power_off", "mux_ts", "ready"):
            await self._run(name)
        if "power_off" in self._commands:
            self._power = False
        if "mux_ts" in self._commands:
            self._side = "ts"

    async def set_power(self, on: bool) -> None:
        """Runs `power_on` or `power_off`."""
        self._power = None
        await self._run("power_on" if on else "power_off", needed=True)
        self._power = on

    async def power(self) -> bool | None:
        """How it was switched last; None before that, and after a command that failed."""
        return self._power

    async def power_tick(self, seconds: float = 1.0) -> None:
        """Runs `power_tick` with the time in BORUTA_SECONDS; else `power_off`, and `power_on`."""
        seconds = min(max(seconds, 0.001), 60.0)
        self._power = None
        if "power_tick" in self._commands:
            await self._run("power_tick", extra_s=seconds, BORUTA_SECONDS=f"{seconds:g}")
            self._power = True
            return
        await self._run("power_off", needed=True)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._run("power_on", needed=True)
        self._power = True

    async def set_mux(self, side: Literal["ts", "dut"]) -> None:
        """Runs `mux_ts` or `mux_dut`."""
        self._side = "unknown"
        await self._run(f"mux_{side}", needed=True)
        self._side = side

    async def mux(self) -> str:
        """How it was switched last: ts, dut, or unknown."""
        return self._side

    async def checks(self) -> list[Check]:
        """Runs `check`: well if it ends with status 0; its last line is the detail."""
        if "check" not in self._commands:
            return []
        try:
            said = await self._run("check", most_s=CHECK_WITHIN_S)
        except InfraError as error:
            return [Check("board", False, error.message)]
        return [Check("board", True, said)]

    async def close(self) -> None:
        """Runs nothing more; idempotent."""
        self._closed = True

    async def _run(
        self,
        name: str,
        *,
        needed: bool = False,
        extra_s: float = 0.0,
        most_s: float = float("inf"),
        **env: str,
    ) -> str:
        if self._closed:
            raise ShuttingDown(f"{name}: the board is closed")
        words = self._commands.get(name)
        if words is None:
            if needed:
                raise ActionRefused(f"{name}: no command is configured for it")
            return ""
        async with self._turn:
            within_s = min(self._within_s + extra_s, most_s)
            return await output(name, words, within_s, {**os.environ, **env})


def read_options(options: Mapping[str, object]) -> tuple[dict[str, Words], float]:
    """The commands of a [board] table, and how long each may take.

    Raises:
        BadOption: an option is unknown, or no command.
    """
    commands: dict[str, Words] = {}
    within_s = WITHIN_S
    for key, value in options.items():
        if key == "within":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 60:
                raise BadOption(key, f"{value!r}: want a number of seconds, up to 60")
            within_s = float(value)
        elif key not in COMMANDS:
            raise BadOption(key, f"unknown (allowed: within, {', '.join(COMMANDS)})")
        else:
            try:
                commands[key] = words_of(value)
            except ValueError as error:
                raise BadOption(key, str(error)) from None
    return commands, within_s
