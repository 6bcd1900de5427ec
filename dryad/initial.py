"""`dryad init`: a first configuration, from nothing, from the original's, or from the hardware."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from boruta.domain.errors import BadConfig
from dryad.config import AgentConfig, load
from dryad.detect import found
from dryad.files import put
from dryad.toml import TomlFile

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_TABLES: Final = ("caps", "user", "limits", "board", "console", "checks")
# Each key with what it is, and what stands there as an example where nothing is known.
_KEYS: Final[Mapping[str, tuple[str, str]]] = {
    "server": ("where the server is; a list has several addresses of one farm", "tcp://HOST:7175"),
    "server_key": ("its public key: DATA/keys/server.key, or its 40 characters", "server.key"),
    "key": (
        "its own; on the server: boruta key new NAME --role worker",
        "NAME.key_secret",
    ),
    "ssh_address": ("where sessions listen; no host: everywhere", ":7022"),
    "sessions": ("left out: system for root, else embedded", "system"),
    "trust_holders": ("holders may do whatever this agent's user may", ""),
    "hardware": ("none, stm:PORT, command or another", "none"),
    "data": ("uuid, host key and lease", "/var/lib/dryad"),
    "insecure": ("the server runs with --insecure, there are no keys", ""),
}
_FILES: Final = ("server_key", "key", "data")  # as the original's place has them
# Keys of the original that mean nothing here, or not the same.
_GONE: Final[Mapping[str, str]] = {
    "boruta_address": "",  # it is `server`
    "listen_address": "has no meaning here: the agent calls its server, nobody calls it",
    "sdcard": "has no meaning here: the original read it and used it nowhere",
    "stm_path": 'is not used: hardware = "stm" opens the port itself, once its service has ended',
}
_UNKNOWN: Final = "has no meaning here, nor had it in the original"
_NOT_22: Final = "was the port of the machine's own sshd; this agent listens itself"


def write(path: Path, old: Path | None, *, detect: bool, force: bool) -> Iterator[str]:
    """Writes a configuration; tells what it did and what is left to do.

    Args:
        path: where to.
        old: a configuration of the original to take over.
        detect: find capabilities from the hardware.
        force: replace what is there.

    Raises:
        BadConfig: it is there already, or cannot be written or read.
    """
    if os.path.lexists(path) and not force:
        raise _there(path)
    config = AgentConfig(sessions="") if old is None else load(old, {}, {})
    values = {} if old is None else TomlFile(old).values
    caps = {**(found() if detect else {}), **config.caps}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No secret is in it, and who may run an agent may read it.
        put(path, text(config, caps, values, old), 0o644, replace=force)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise BadConfig(f"{path}: cannot be written: {error.strerror or error}") from None
    yield f"{path}: written; edit it, then: dryad check --config {path}"


def _there(path: Path) -> BadConfig:
    return BadConfig(f"{path}: there is one already (--force replaces it)")


def text(
    config: AgentConfig, caps: Mapping[str, str], values: Mapping[str, Any], old: Path | None
) -> str:
    """The file: what is known, and comments for the rest.

    Args:
        config: what the original's file means.
        caps: capabilities.
        values: what stands in the original's file.
        old: the original's file.
    """
    lines = ["# The configuration of this board's agent; docs/agent.md tells all of it."]
    if old is not None:
        lines.append(f"# Taken over from {_quoted(str(old))}.")
    for key, (what, example) in _KEYS.items():
        lines += ["", f"# {what}", _line(key, example, config, values)]
    lines += list(_gone(config, values))
    lines += ["", "[caps]", *(f"{_key(key)} = {_quoted(value)}" for key, value in caps.items())]
    lines += ["", "[user]", f"name = {_quoted(config.username)}"]
    lines += [f"groups = {toml_value(list(config.groups))}"]
    for table in _TABLES[2:]:
        if table in values:
            lines += ["", f"[{table}]"]
            lines += [f"{_key(key)} = {toml_value(one)}" for key, one in values[table].items()]
    return "\n".join(lines) + "\n"


def _line(key: str, example: str, config: AgentConfig, values: Mapping[str, Any]) -> str:
    value = getattr(config, key)
    if key == "server" and value:
        return f"server = {toml_value(value[0] if len(value) == 1 else list(value))}"
    if key == "ssh_address" and key in values:
        return f"ssh_address = {_quoted(_ssh_address(config.ssh_address))}"
    if key == "hardware" and value != "none":
        return f"hardware = {_quoted(value)}"
    if key in values and key != "server":
        return f"{key} = {toml_value(str(value) if key in _FILES else value)}"
    return f"# {key} = {_quoted(example) if example else 'false'}"


def _ssh_address(address: str) -> str:
    # The original has its host's own sshd there.
    return f"{address.removesuffix(':22')}:7022" if address.endswith(":22") else address


def _gone(config: AgentConfig, values: Mapping[str, Any]) -> Iterator[str]:
    said = []
    if _ssh_address(config.ssh_address) != config.ssh_address:
        said.append(f"# ssh_address = {_quoted(config.ssh_address)} {_NOT_22}")
    for key, value in values.items():
        if key not in _KEYS and key not in _TABLES:
            why = _GONE.get(key, _UNKNOWN)
            if why and not (key == "stm_path" and not value):  # that is hardware = "stm"
                said.append(f"# {_key(key)} = {toml_value(value)} {why}")
    yield from ["", *said] if said else []


def toml_value(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_key(key)} = {toml_value(one)}" for key, one in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(value: str) -> str:
    # TOML's basic strings have JSON's escapes, and want one more sign escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)
