"""dryad.toml, the environment and flags, as one typed configuration."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from boruta.domain.defaults import AGENT_SSH_PORT, ZMQ_PORT
from boruta.domain.errors import BadConfig
from dryad import place
from dryad.hardware import boards
from dryad.hardware.port import BadOption
from dryad.sessions.limits import Limits
from dryad.tables import kind, meant, read_caps, read_checks, read_console, read_limits, read_user
from dryad.toml import TomlFile

SESSIONS: Final = ("embedded", "system")
_ADDRESS: Final = re.compile(r"(?:tcp://)?(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]+)(?::(\d{1,5}))?")
_SSH: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]*):(\d{1,5})")
_TEXTS: Final = ("server_key", "key", "ssh_address", "sessions", "hardware", "data")
_KEYS: Final = (
    *("server", *_TEXTS, "trust_holders", "insecure"),
    *("caps", "user", "limits", "board", "console", "checks"),
)
# Keys of the original's dryad.conf: what they stand for here; None: read, and of no use to us.
_OLD: Final[Mapping[str, str | None]] = {
    "boruta_address": "server",
    "listen_address": None,  # the agent dials, nobody dials it
    "sdcard": None,
    "stm_path": None,
}


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent is told.

    `server` has addresses as tcp://HOST:PORT; `server_key` is 40 Z85 characters or a file, `key`
    the file of the agent's own pair; `board` has the options of `hardware`; `caps` are without a
    UUID if none was given.
    """

    server: tuple[str, ...] = ()
    server_key: str = ""
    key: str = ""
    ssh_address: str = f":{AGENT_SSH_PORT}"
    sessions: str = "embedded"
    trust_holders: bool = False
    insecure: bool = False
    hardware: str = "none"
    board: Mapping[str, object] = field(default_factory=dict)
    data: Path = Path("/var/lib/dryad")
    caps: Mapping[str, str] = field(default_factory=dict)
    username: str = "boruta-user"
    groups: tuple[str, ...] = ()
    console: tuple[str, int] | None = None
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> AgentConfig:
    """The configuration: flags beat the environment, which beats the file.

    Args:
        path: the file; None takes the system's, if there is one.
        environ: the environment.
        flags: values of AgentConfig's fields; None says nothing.

    Raises:
        BadConfig: something cannot be used; names file, key, line and what is allowed.
    """
    if path is None:
        path = next((one for one in (place.CONFIG, place.OLD_CONFIG) if one.exists()), None)
    config = AgentConfig(data=place.agent_data(environ), sessions="")
    if path is not None:
        config = _from_file(TomlFile(path), config)
    names = {
        "BORUTA_SERVER": "server",
        "BORUTA_SERVER_KEY": "server_key",
        "BORUTA_KEY": "key",
    }
    for variable, name in names.items():
        if environ.get(variable):
            config = _with(config, name, environ[variable], variable)
    for name, value in flags.items():
        if value is not None:
            config = _with(config, name, value, "--" + name.replace("_", "-"))
    if not config.sessions:
        config = replace(config, sessions=_fitting_sessions(config))
    return config


def _fitting_sessions(config: AgentConfig) -> str:
    # Who says that holders may do what root may do means sessions of the agent's own.
    return "system" if os.geteuid() == 0 and not config.trust_holders else "embedded"


def check_complete(config: AgentConfig) -> None:
    """Whether an agent can run with it.

    Raises:
        BadConfig: it has no server, or lacks a key.
    """
    if not config.server:
        raise BadConfig(
            f'no server: set server = "tcp://HOST:{ZMQ_PORT}" in {place.CONFIG}, BORUTA_SERVER, '
            "or --server"
        )
    if not config.insecure:
        for name, what in (
            ("server_key", "the server's public key (DATA/keys/server.key on the server)"),
            ("key", "its own key file (on the server: boruta key new NAME --role worker)"),
        ):
            if not getattr(config, name):
                raise BadConfig(f"no {name}: an agent needs {what}")


def check_trust(config: AgentConfig, environ: Mapping[str, str]) -> None:
    """Whether holders may run as this agent's user (SAFETY, C2).

    Raises:
        BadConfig: they might reach what is not theirs, and nobody said that they may.
    """
    if config.sessions != "embedded" or config.trust_holders:
        return
    why = ""
    data = place.readable_server_data(environ)
    if os.geteuid() == 0:
        why = "that is root"
    elif data is not None:
        why = f"who can read the server's keys in {data}"
    elif not all(_is_loopback(url) for url in config.server):
        why = "and the server serves more than this machine"
    if why:
        raise BadConfig(
            'sessions = "embedded": holders run as the agent\'s user '
            f"(uid {os.geteuid()}), {why}. Run the agent as a user of its own, or "
            "allow it with trust_holders = true (--trust-holders)"
        )


def read_server(text: str) -> str:
    """An address as tcp://HOST:PORT.

    Raises:
        ValueError: it is none.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found[2] or 1) > 65535:
        raise ValueError(f"{text!r} is no address; want HOST:PORT or tcp://HOST:PORT")
    return f"tcp://{found[1]}:{found[2] or ZMQ_PORT}"


# --- one value after the other
def _from_file(file: TomlFile, config: AgentConfig) -> AgentConfig:
    old = file.path.suffix == ".conf" or bool(_OLD.keys() & file.values.keys())
    for key, value in file.values.items():
        name: str | None = key
        if key in _OLD:
            name = _OLD[key]
            if not isinstance(value, str):
                raise file.error("", key, f"want a text, not {kind(value)}")
            if key == "stm_path" and not value:
                config = replace(config, hardware="stm")  # the original opens its port itself
            if name is None or not value:
                continue
        elif key == "caps":
            config = replace(config, caps=read_caps(file, value))
            continue
        elif key == "user":
            name, groups = read_user(file, value, config.username)
            config = replace(config, username=name, groups=groups)
            continue
        elif key == "checks":
            config = replace(config, checks=read_checks(file, value))
            continue
        elif key == "console":
            config = replace(config, console=read_console(file, value))
            continue
        elif key == "limits":
            config = replace(config, limits=read_limits(file, value))
            continue
        elif key == "board":
            if not isinstance(value, dict):
                raise file.error("", key, f"want a table, [board], not {kind(value)}")
            config = replace(config, board=value)
            continue
        elif key not in _KEYS:
            if old:
                continue  # the original ignores what it does not know
            raise file.error("", key, "unknown key" + meant(key, _KEYS))
        assert name is not None
        try:
            config = _checked(config, name, value, file.path.parent)
        except ValueError as error:
            raise file.error("", key, str(error)) from None
    try:
        boards.check_options(config.hardware, config.board)
    except BadOption as error:
        raise file.error("board", error.key, error.why) from None
    return config


def _with(config: AgentConfig, name: str, value: object, source: str) -> AgentConfig:
    if name == "server" and isinstance(value, str):
        value = [one for one in value.replace(",", " ").split() if one]
    try:
        return _checked(config, name, value, Path())
    except ValueError as error:
        raise BadConfig(f"{source}: {error}") from None


def _checked(config: AgentConfig, name: str, value: Any, base: Path) -> AgentConfig:
    if name == "caps":
        return replace(config, caps={**config.caps, **value})
    if name in ("trust_holders", "insecure"):
        if not isinstance(value, bool):
            raise ValueError(f"want true or false, not {kind(value)}")
        return replace(config, **{name: value})  # type: ignore[arg-type]
    if name == "server":
        return replace(config, server=_servers(value))
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError(f"want a text, not {kind(value)}")
    text = str(value)
    if name == "sessions" and text not in SESSIONS:
        raise ValueError(f"{text!r} (allowed: {', '.join(SESSIONS)})")
    if name == "hardware":
        boards.check_name(text)
    if name == "ssh_address":
        found = _SSH.fullmatch(text)
        if found is None or int(found[2]) > 65535:
            raise ValueError(f"{text!r} is no address with a port; want HOST:PORT or :PORT")
    if name == "data":
        # A holder's programs start in a home below it, from a keeper whose directory is another.
        return replace(config, data=(base / Path(text).expanduser()).absolute())
    if name == "key" or (name == "server_key" and len(text) != 40):
        text = str(base / Path(text).expanduser())
    return replace(config, **{name: text})  # type: ignore[arg-type]


def _servers(value: object) -> tuple[str, ...]:
    several: list[Any] = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(one, str) for one in several):
        raise ValueError(f"want an address or a list of them, not {kind(value)}")
    return tuple(read_server(one) for one in several)


def _is_loopback(url: str) -> bool:
    host = url.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
