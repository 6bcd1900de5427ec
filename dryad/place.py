"""Where an agent keeps its things and finds a server on the same machine; whose eyes only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig
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
