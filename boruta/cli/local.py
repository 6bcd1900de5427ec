"""`run --local`: CMD runs on this machine while a board is held."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from boruta.cli.talk import tell

if TYPE_CHECKING:
    from boruta.reservation import Reservation

LOOK_S: Final = 0.2  # so often it is looked whether the board is still held
NAMES: Final = {
    "server": "BORUTA_SERVER",
    "server_key": "BORUTA_SERVER_KEY",
    "key": "BORUTA_KEY",
    "profile": "BORUTA_PROFILE",
}
ENDS_BY_ITSELF_S: Final = 2.0  # after a Ctrl-C that it had too
ENDS_WITHIN_S: Final = 5.0  # after SIGTERM; then SIGKILL


def run_local(board: Reservation, cmd: str | Sequence[str], env: dict[str, str]) -> int:
    """Runs CMD here with BORUTA_REQUEST set; it is ended if the board is lost.

    Args:
        board: what is held.
        cmd: a text is a shell line, several words are a command and its arguments.
        env: variables of `-e`.

    Returns:
        Its status; negative: the number of the signal that ended it; 126 and 127 as of a shell.

    Raises:
        BoardLost: the board was lost meanwhile.
    """
    # At a terminal it stays in our group, so that it may read and Ctrl-C reaches it; elsewhere it
    # has its own, so that all of it can be ended.
    own_group = not os.isatty(0)
    variables = _environment({**env, "BORUTA_REQUEST": str(board.id)})
    words: str | list[str] = cmd if isinstance(cmd, str) else list(cmd)
    try:
        child = subprocess.Popen(
            words, shell=isinstance(cmd, str), env=variables, start_new_session=own_group
        )
    except OSError as error:
        tell(f"boruta: {error.filename or cmd}: {error.strerror}")
        return 127 if isinstance(error, FileNotFoundError) else 126
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(LOOK_S)
            if board.lost is not None:
                raise board.lost
    except KeyboardInterrupt:
        if not own_group:
            with suppress(subprocess.TimeoutExpired):
                child.wait(ENDS_BY_ITSELF_S)
        raise
    finally:
        _end(child, own_group)


def _end(child: subprocess.Popen[bytes], own_group: bool) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with suppress(ProcessLookupError):
            if own_group:
                os.killpg(child.pid, number)
            else:
                child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(ENDS_WITHIN_S)


def _environment(more: dict[str, str]) -> dict[str, str]:
    """Ours, and what says which server, so that `boruta exec` in CMD finds the same one."""
    ctx = click.get_current_context(silent=True)
    given = {} if ctx is None else ctx.find_root().ensure_object(dict)
    ours = dict(os.environ)
    if given.get("profile") or given.get("data"):
        for name in NAMES.values():  # they would beat it
            ours.pop(name, None)
    ours.update({name: str(given[key]) for key, name in NAMES.items() if given.get(key)})
    if given.get("data") and not given.get("server"):
        ours.update(_of_data(Path(given["data"])))
    return {**ours, **more}


def _of_data(data: Path) -> dict[str, str]:
    from boruta import places
    from boruta.connecting import find

    server = find(None, None, None, None, data, os.environ).servers[0]
    return {
        "BORUTA_SERVER": server.url,
        "BORUTA_SERVER_KEY": server.server_key or "none",
        "BORUTA_KEY": str((places.keys_dir(data) / "local.key_secret").absolute()),
    }
