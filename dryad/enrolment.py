"""`dryad enroll`: from an invitation to a board that its admin only has to admit."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from boruta.certificates import Certificate, write_certificate
from boruta.domain.errors import BadConfig
from boruta.invitation import read
from boruta.pairs import load_pair, new_pair
from boruta.peers import check_name
from dryad.config import AgentConfig, read_server
from dryad.files import put
from dryad.initial import text, toml_value
from dryad.toml import TomlFile

_TABLE: Final = re.compile(r"\s*\[")


class Enrolled(NamedTuple):
    """What was done, and the command by which an admin admits the board."""

    told: str
    admit: str


def enroll(word: str, path: Path, *, force: bool) -> Enrolled:
    """Makes the board's own pair and writes into its configuration where its server is.

    Done again it finds the pair that is there.

    Args:
        word: the invitation.
        path: the configuration; made where there is none.
        force: whether it may name another server than it does.

    Raises:
        BadRequest: the invitation is none.
        BadConfig: the configuration cannot be read or changed.
        NotPermitted: others can read the key that is there.
    """
    invitation = read(word)
    check_name(invitation.name)
    try:
        servers = [read_server(one) for one in invitation.servers]
    except ValueError as error:
        raise BadConfig(f"invitation: {error}") from None
    secret = path.parent / f"{invitation.name}.key_secret"
    wanted: dict[str, object] = {
        "server": servers[0] if len(servers) == 1 else servers,
        "server_key": invitation.server_key,
        "key": secret.name,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            old = TomlFile(path)
            if not force:
                _refuse_another(old, wanted)
            before = path.read_text(encoding="utf-8")
        else:
            before = text(AgentConfig(sessions=""), {}, {}, None)
        changed = _changed(before, wanted, path)
        public = _own_pair(secret)
        put(path, changed, 0o644)
    except OSError as error:
        raise BadConfig(f"{path}: cannot be written: {error.strerror or error}") from None
    admit = f"boruta key add --role worker {invitation.name} -- {shlex.quote(public)}"
    return Enrolled(f"{path}: it has the server's address and key, and {secret.name}", admit)


def _refuse_another(old: TomlFile, wanted: Mapping[str, object]) -> None:
    for key, value in wanted.items():
        if key in old.values and old.values[key] != value:
            raise old.error(
                "", key, f"it is {old.values[key]!r}, not {value!r}; --force replaces it"
            )


def _own_pair(secret: Path) -> str:
    """The public half of the pair in the file, which is made where it is missing."""
    if not os.path.lexists(secret):
        public, hidden = new_pair()
        put(secret, write_certificate(Certificate(public, hidden)), 0o600, replace=False)
    return load_pair(secret).public


def _changed(before: str, wanted: Mapping[str, object], path: Path) -> str:
    """The text with these keys; the rest of it, and its comments, as they were.

    Raises:
        BadConfig: it is written in a way in which they cannot be put there.
    """
    lines = before.splitlines()
    for key, value in reversed(list(wanted.items())):
        line = f"{key} = {toml_value(value)}"
        at = _line_of(lines, rf"\s*{key}\s*=")
        if at is None:
            at = _line_of(lines, rf"\s*#\s*{key}\s*=")
        if at is None:
            lines.insert(0, line)
        else:
            lines[at] = line
    after = "\n".join(lines) + "\n"
    try:
        if tomllib.loads(after) == {**tomllib.loads(before), **wanted}:
            return after
    except tomllib.TOMLDecodeError:
        pass
    words = "; ".join(f"{key} = {toml_value(value)}" for key, value in wanted.items())
    raise BadConfig(f"{path}: cannot be changed by a program; put there: {words}")


def _line_of(lines: list[str], pattern: str) -> int | None:
    """The first line of that shape before the first table."""
    for number, line in enumerate(lines):
        if _TABLE.match(line):
            return None
        if re.match(pattern, line):
            return number
    return None
