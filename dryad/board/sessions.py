"""Sessions whose holders find the board's hardware: `board` in their PATH, its socket open."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import InfraError
from dryad.board.service import BoardService
from dryad.files import put
from dryad.sessions.home import PATH, TOOLS
from dryad.sessions.port import Sessions

SOURCES: Final = {"board": "client.py", "stm": "stm_compat.py"}
MARK: Final = "# Written by dryad; it may replace or remove this file."
PYTHONS: Final = ("/usr/bin/python3", "/usr/local/bin/python3")  # that any account may run


class BoardSessions:
    """`Sessions` that open the board's socket for their holder, and close it before his end.

    Args:
        sessions: who may log in.
        service: the socket.
        holder: the uid of the holder's programs; asked when sessions have started.
    """

    def __init__(
        self, sessions: Sessions, service: BoardService, holder: Callable[[], int]
    ) -> None:
        self._sessions = sessions
        self.service = service
        self._holder = holder
        self.username = sessions.username

    async def start(self) -> str:
        """See `Sessions`.

        Raises:
            InfraError: the socket cannot be made.
        """
        address = await self._sessions.start()
        await self.service.start()
        return address

    @property
    def host_keys(self) -> tuple[str, ...]:
        """See `Sessions`."""
        return self._sessions.host_keys

    @property
    def active(self) -> bool:
        """See `Sessions`."""
        return self._sessions.active

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """See `Sessions`."""
        await self.end()
        self.service.open(self._holder())
        try:
            await self._sessions.let_in(epoch, key, on_login)
        except BaseException:
            await self.service.close()
            raise

    async def end(self) -> None:
        """See `Sessions`."""
        await self.service.close()
        await self._sessions.end()

    async def stop(self) -> None:
        """See `Sessions`."""
        await self.service.stop()
        await self._sessions.stop()


def environment(service: BoardService, tools: Path) -> Mapping[str, str]:
    """What a holder's programs find the hardware by."""
    return {
        "BOARD_SOCKET": str(service.path),
        TOOLS: str(tools),
        "PATH": f"{tools}:{PATH}",
    }


def put_tools(tools: Path, *, board: bool = True, stm: bool = False) -> list[Path]:
    """Puts the `board` command in a directory that holders' shells look in; blocks.

    Args:
        tools: the directory.
        board: put it there.
        stm: the original's command too.

    Returns:
        What was written.

    Raises:
        InfraError: it cannot be written, or is somebody else's.
    """
    python = next((path for path in PYTHONS if os.access(path, os.X_OK)), sys.executable)
    names = ["board"] * board + ["stm"] * stm
    for name in names:
        command = tools / name
        if command.exists() and not _is_ours(command):
            raise InfraError(f"{command}: this is another program")
        # Read, not imported: the agent runs none of it.
        source = Path(__file__).with_name(SOURCES[name]).read_text(encoding="utf-8")
        try:
            tools.mkdir(mode=0o755, parents=True, exist_ok=True)
            put(command, f"#!{python} -I\n{MARK}\n{source}", 0o755)
        except OSError as error:
            raise InfraError(f"{command}: {error.strerror or error}") from error
    return [tools / name for name in names]


def remove_tools(tools: Path) -> list[Path]:
    """Removes what `put_tools` put there, and tells what it was."""
    found = [tools / name for name in SOURCES if _is_ours(tools / name)]
    for command in found:
        command.unlink()
    return found


def _is_ours(command: Path) -> bool:
    try:
        return MARK in command.read_text(encoding="utf-8", errors="replace")[:200]
    except OSError:
        return False
