"""Commands of a board's owner: run in their own group, limited in time, their last line told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from boruta.domain.errors import InfraError

_TELLS: Final = 1024  # bytes of a command's output that are looked at, its last ones

Words: TypeAlias = tuple[str, ...]


async def output(name: str, words: Words, within_s: float, env: Mapping[str, str]) -> str:
    """The last line that the command said, in printable characters.

    Args:
        name: what it is for, in errors.
        words: a program and its arguments.
        within_s: seconds; then it is killed with its children.
        env: all of its environment.

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


def words_of(value: object) -> Words:
    """A command as a config has it: a line for the shell, or a program with its arguments.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return ("/bin/sh", "-c", value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        words = tuple(value)
        if words and all(isinstance(word, str) and "\0" not in word for word in words) and words[0]:
            return words
    raise ValueError("want a line for the shell, or a list of a program and its arguments")
