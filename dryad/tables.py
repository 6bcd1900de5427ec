"""The tables of dryad.toml: capabilities, the holders' account, what a holder may take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from boruta.domain.caps_limits import check_caps_limits, check_worker_caps
from boruta.domain.errors import BorutaError
from boruta.domain.types import UUID_CAP, Capabilities
from dryad.programs import Words, words_of
from dryad.sessions.limits import Limits
from dryad.toml import TomlFile

USERNAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
CHECK: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
BAUDS: Final = (
    1200,
    2400,
    4800,
    9600,
    19200,
    38400,
    57600,
    115200,
    230400,
    460800,
    921600,
    1500000,
)
_LIMITS: Final = {  # the least, the most, the unit
    "processes": (16, 1_000_000, 1),
    "files": (64, 1_000_000, 1),
    "memory": (0, 1 << 24, 1 << 20),
    "file": (1, 1 << 30, 1 << 20),
    "disk": (0, 1 << 30, 1 << 20),
}


def cap_text(value: object) -> str:
    """A scalar or a list of TOML as the text of a capability.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(cap_text(one) for one in value)
    if isinstance(value, Mapping):
        raise ValueError("want a text, a number, true, false or a list of them, not a table")
    return str(value)


def read_cap(word: str) -> tuple[str, str]:
    """`key=value` as its two halves.

    Raises:
        ValueError: it is none.
    """
    key, equals, value = word.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{word!r}: want key=value")
    key, value = key.strip(), value.strip()
    _check_cap(key, value)
    return key, value


def _check_cap(key: str, value: str) -> None:
    """Refuses here what no server would register."""
    try:
        if key == UUID_CAP and value.strip():  # an empty one is as if none was given
            check_worker_caps(Capabilities({key: value}))
        else:
            check_caps_limits({key: value})
    except BorutaError as error:
        raise ValueError(error.message.removeprefix("caps: ")) from None


def read_caps(file: TomlFile, value: object) -> dict[str, str]:
    """The table [caps]; an empty UUID is as if none was given."""
    if not isinstance(value, dict):
        raise file.error("", "caps", f"want a table, [caps], not {kind(value)}")
    caps = {}
    for key, one in value.items():
        try:
            caps[key] = cap_text(one)
            _check_cap(key, caps[key])
        except ValueError as error:
            raise file.error("caps", key, str(error)) from None
    if UUID_CAP in caps and not caps[UUID_CAP].strip():
        del caps[UUID_CAP]  # as if none was given
    return caps


def read_user(file: TomlFile, value: object, default: str) -> tuple[str, tuple[str, ...]]:
    """The account's name and its supplementary groups."""
    table = _table(file, "user", value, ("name", "groups"))
    groups = table.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(one, str) for one in groups):
        raise file.error("user", "groups", "want a list of texts")
    for group in groups:
        if not USERNAME.fullmatch(group):
            raise file.error("user", "groups", f"{group!r} is no group; want {USERNAME.pattern}")
    name = table.get("name", default)
    if not isinstance(name, str) or not USERNAME.fullmatch(name):
        raise file.error("user", "name", f"{name!r} is no user name; want {USERNAME.pattern}")
    return name, tuple(groups)


def read_limits(file: TomlFile, value: object) -> Limits:
    """What a holder may take: [limits] processes, files; memory, file, disk in MiB."""
    table = _table(file, "limits", value, tuple(_LIMITS))
    limits = Limits()
    for key, one in table.items():
        least, most, unit = _LIMITS[key]
        if not isinstance(one, int) or isinstance(one, bool) or not least <= one <= most:
            raise file.error("limits", key, f"{one!r} (want a number from {least} to {most})")
        limits = replace(limits, **{key: one * unit})
    return limits


def read_console(file: TomlFile, value: object) -> tuple[str, int]:
    """The target's serial line: [console] port, baud."""
    table = _table(file, "console", value, ("port", "baud"))
    port, baud = table.get("port"), table.get("baud", 115200)
    if not isinstance(port, str) or not port.startswith("/"):
        raise file.error("console", "port", "want the whole path of a serial port")
    if not isinstance(baud, int) or baud not in BAUDS:
        allowed = ", ".join(map(str, BAUDS))
        raise file.error("console", "baud", f"{baud!r} (allowed: {allowed})")
    return port, baud


def read_checks(file: TomlFile, value: object) -> dict[str, Words]:
    """Checks of one's own: [checks] NAME = a command."""
    if not isinstance(value, dict):
        raise file.error("", "checks", f"want a table, [checks], not {kind(value)}")
    checks = {}
    for name, command in value.items():
        if not CHECK.fullmatch(name):
            raise file.error("checks", name, f"{name!r} is no name; want {CHECK.pattern}")
        try:
            checks[name] = words_of(command)
        except ValueError as error:
            raise file.error("checks", name, str(error)) from None
    return checks


def _table(
    file: TomlFile, name: str, value: object, allowed: Sequence[str]
) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise file.error("", name, f"want a table, [{name}], not {kind(value)}")
    for key in value:
        if key not in allowed:
            raise file.error(name, key, "unknown key" + meant(key, allowed))
    return value


def meant(key: str, allowed: Sequence[str]) -> str:
    """What was meant by an unknown key, and what is allowed."""
    from difflib import get_close_matches

    close = get_close_matches(key, allowed, 1)
    return (f"; did you mean {close[0]}?" if close else "") + f" (allowed: {', '.join(allowed)})"


def kind(value: object) -> str:
    """What a value of TOML is, for people."""
    if value == "":
        return "an empty text"
    names: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")
