"""A board that is switched by commands of its owner: a power strip, a relay card, a script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from boruta.domain.errors import ActionRefused, InfraError, ShuttingDown
from boruta.domain.types import Check
from dryad.hardware.port import BadOption

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
_TELLS: Final = 1024  # bytes of a command's output that are looked at, its last ones

Words: TypeAlias = tuple[str, ...]


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
            return await _output(name, words, within_s, {**os.environ, **env})


async def _output(name: str, words: Words, within_s: float, env: Mapping[str, str]) -> str:
    """The last line that the command said.

    Raises:
        InfraError: it cannot be started, failed, or took too long.
    """
    # A file, not a pipe: a daemon that the command leaves behind would hold a pipe open.
    with tempfile.TemporaryFile() as said:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=asyncio.subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            raise InfraError(f"{name}: {words[0]}: {error.strerror}") from None
        try:
            async with asyncio.timeout(within_s):
                status = await process.wait()
        except TimeoutError:
            raise InfraError(f"{name}: not done within {within_s:g} s; killed") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        said.seek(max(0, said.seek(0, os.SEEK_END) - _TELLS))
        lines = said.read(_TELLS).decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    last = "".join(sign if sign.isprintable() else "?" for sign in last)[:200]
    if status:
        why = f"status {status}" if status > 0 else f"signal {-status}"
        raise InfraError(f"{name}: {why}" + (f": {last}" if last else ""))
    return last


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
            commands[key] = _words(key, value)
    return commands, within_s


def _words(key: str, value: object) -> Words:
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return ("/bin/sh", "-c", value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        words = tuple(value)
        if words and all(isinstance(word, str) and "\0" not in word for word in words) and words[0]:
            return words
    raise BadOption(key, "want a line for the shell, or a list of a program and its arguments")
