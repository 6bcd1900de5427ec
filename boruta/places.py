"""Where things lie when nobody says otherwise. Stdlib only, so that a client loads it fast."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSTEM_CONFIG: Final = Path("/etc/boruta")
SYSTEM_DATA: Final = Path("/var/lib/boruta")


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    return Path(home) if os.path.isabs(home) else Path.home()


def _xdg(environ: Mapping[str, str], name: str, otherwise: str) -> Path:
    # The XDG rules: a relative path in one of these variables is to be ignored.
    value = environ.get(name, "")
    return Path(value) if os.path.isabs(value) else _home(environ) / otherwise


def data_dir(environ: Mapping[str, str], *, root: bool | None = None) -> Path:
    """The server's data directory, DATA.

    Args:
        environ: the environment.
        root: whether the system's place is meant; None: whether this process is root's.
    """
    if os.geteuid() == 0 if root is None else root:
        return SYSTEM_DATA
    return _xdg(environ, "XDG_STATE_HOME", ".local/state") / "boruta"


def user_config_dir(environ: Mapping[str, str]) -> Path:
    """Where a user's own configuration lies."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "boruta"


def client_config_path(environ: Mapping[str, str]) -> Path:
    """The user's config.toml: the profiles of his servers."""
    return user_config_dir(environ) / "config.toml"


def client_config_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The config.toml files that count, the weakest first."""
    return SYSTEM_CONFIG / "config.toml", client_config_path(environ)


def server_config_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The boruta.toml files that count, the weakest first."""
    return SYSTEM_CONFIG / "boruta.toml", user_config_dir(environ) / "boruta.toml"


def keys_dir(data: Path) -> Path:
    """Where a data directory has its keys."""
    return data / "keys"


def server_json(data: Path) -> Path:
    """What a running server says of itself: pid, url, server_key."""
    return data / "server.json"


def database_file(data: Path) -> Path:
    """Where a data directory has its SQLite file."""
    return data / "boruta.db"
