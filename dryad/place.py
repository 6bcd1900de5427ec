"""Where an agent keeps its things and finds a server on the same machine; whose eyes only."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig, NotPermitted
from dryad.files import put

CONFIG: Final = Path("/etc/boruta/dryad.toml")
OLD_CONFIG: Final = Path("/etc/boruta/dryad.conf")  # the original's name


def _state_home(environ: Mapping[str, str]) -> Path:
    value = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(value):
        return Path(value)  # a relative one is to be ignored, say the XDG rules
    home = environ.get("HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home()) / ".local/state"


def agent_data(environ: Mapping[str, str]) -> Path:
    """The default place of an agent's uuid, host key and lease."""
    return Path("/var/lib/dryad") if os.geteuid() == 0 else _state_home(environ) / "dryad"


def server_data(environ: Mapping[str, str]) -> Path:
    """The default place of a server's DATA, for whoever runs this."""
    return Path("/var/lib/boruta") if os.geteuid() == 0 else _state_home(environ) / "boruta"


def readable_server_data(environ: Mapping[str, str]) -> Path | None:
    """A server's DATA on this machine whose keys this process can read, if there is one."""
    for data in dict.fromkeys(
        (Path("/var/lib/boruta"), server_data(environ), _state_home(environ) / "boruta")
    ):
        if os.access(data / "keys", os.R_OK | os.X_OK, effective_ids=True):
            return data
    return None


def check_private(path: Path, what: str) -> None:
    """Makes sure that nobody else can read or write `path`.

    Raises:
        NotPermitted: others can; the text has the command that mends it.
        OSError: there is no such path.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    wanted = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
    if mode & 0o077:
        raise NotPermitted(
            f"{path}: others can read or write this {what} (mode {mode:04o}); "
            f"mend it with: chmod {wanted:o} {path}"
        )
    me = os.geteuid()
    if found.st_uid not in (me, 0) and me != 0:
        raise NotPermitted(
            f"{path}: this {what} belongs to user {found.st_uid}, not to you (user {me})"
        )


def private_dir(path: Path, what: str) -> Path:
    """Makes a directory of mode 0700 with its parents; one that is there is checked.

    Raises:
        BadConfig: it cannot be made.
        NotPermitted: others can read or write it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        check_private(path, what)
    except OSError as error:
        raise BadConfig(f"{path}: the {what} cannot be made: {error.strerror or error}") from None
    return path


def kept_uuid(data: Path) -> str:
    """The UUID of this board: made once, then kept in the data directory.

    Raises:
        BadConfig: the file cannot be used.
    """
    path = data / "uuid"
    try:
        known = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if not known:
            import uuid  # once in a board's life

            known = str(uuid.uuid4())
            put(path, known + "\n", 0o644)
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: {error}") from None
    return known
