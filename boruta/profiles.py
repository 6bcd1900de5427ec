"""What a client is told: config.toml with the profiles of the servers it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from boruta import places
from boruta.certificates import is_z85_key
from boruta.domain.errors import BadConfig
from boruta.tomlfile import TomlFile, kind

_KEYS: Final = ("server", "server_key", "key")


@dataclass(frozen=True, slots=True)
class Profile:
    """One server as a client knows it.

    `server` has its addresses, tried in order; `server_key` is 40 Z85 characters or a file;
    `key` is the file of the client's own key. Empty: not told.
    """

    name: str
    server: tuple[str, ...] = ()
    server_key: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """All of config.toml, checked."""

    default: str = ""
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def profile(self, name: str | None = None) -> Profile | None:
        """The profile of this name; without one the default, if there is any.

        Raises:
            BadConfig: there is no profile of this name.
        """
        wanted = name or self.default
        if not wanted:
            return None
        try:
            return self.profiles[wanted]
        except KeyError:
            known = ", ".join(sorted(self.profiles)) or "there are none"
            raise BadConfig(f"profile {wanted!r} is not known ({known})", key=wanted) from None


def load_client_config(environ: Mapping[str, str]) -> ClientConfig:
    """The configuration of a client: the user's file over the system's, profile by profile.

    Raises:
        BadConfig: names the file, the key, the line and what is allowed.
    """
    default, default_file = "", None
    profiles: dict[str, Profile] = {}
    for path in places.client_config_paths(environ):
        file = TomlFile.read(path)
        if file is None:
            continue
        values = file.table(file.values, (), ("default", "profiles"))
        for name, value in _named(file, values.get("profiles", {})).items():
            profiles[name] = _profile(file, name, value)
        if "default" in values:
            default, default_file = _text(file, ("default",), values["default"]), file
    if default and default_file is not None and default not in profiles:
        known = ", ".join(sorted(profiles)) or "there are none"
        raise default_file.error(("default",), f"no profile {default!r} ({known})")
    return ClientConfig(default, profiles)


def _named(file: TomlFile, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise file.error(("profiles",), f"want tables, [profiles.NAME], not {kind(values)}")
    return values


def _profile(file: TomlFile, name: str, values: Any) -> Profile:
    where = ("profiles", name)
    table = file.table(values, where, _KEYS)
    server_key = _text(file, (*where, "server_key"), table.get("server_key", ""))
    key = _text(file, (*where, "key"), table.get("key", ""))
    if server_key and not is_z85_key(server_key):
        server_key = _path(file, server_key)
    return Profile(name, _servers(file, where, table), server_key, _path(file, key) if key else "")


def _servers(file: TomlFile, where: tuple[str, ...], table: Mapping[str, Any]) -> tuple[str, ...]:
    value = table.get("server", [])
    listed = value if isinstance(value, list) else [value]
    servers = tuple(_text(file, (*where, "server"), one) for one in listed)
    if "server" in table and not (servers and all(servers)):
        raise file.error((*where, "server"), "want an address, as tcp://boruta.lab:7175, or a list")
    return servers


def _text(file: TomlFile, keys: tuple[str, ...], value: Any) -> str:
    if not isinstance(value, str):
        raise file.error(keys, f"want a text, not {kind(value)}")
    return value.strip()


def _path(file: TomlFile, text: str) -> str:
    # A relative path counts from the file, not from where the command is run.
    return str(file.path.parent.absolute() / Path(text).expanduser())
