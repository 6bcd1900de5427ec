"""Key files: pyzmq's certificates, with role and groups in their metadata. No ZeroMQ is loaded.

::

    metadata
        role = user
        groups = lab, nightly
    curve
        public-key = "40 characters of Z85"
        secret-key = "only in NAME.key_secret"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from boruta.domain import defaults
from boruta.domain.types import Groups, Role
from boruta.guarded import read_bounded

_Z85: Final = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_VALUE: Final = {character: value for value, character in enumerate(_Z85)}
_LINE: Final = re.compile(r"([A-Za-z0-9_-]+)\s*=\s*(.*)")
# Whoever edits by hand and mistypes `groups` must not thereby give every group; and what a later
# version adds may well be a restriction. So a word that is not known here is an error.
_METADATA: Final = frozenset({"name", "role", "groups"})
_MOST_BYTES: Final = 64 << 10
_BANNER: Final = """\
#   ZeroMQ CURVE {what} Certificate, by Boruta
{advice}
"""
_SECRET: Final = "#   DO NOT GIVE THIS FILE TO ANYBODY. Its mode is 0600."
_PUBLIC: Final = (
    "#   The public half may be given away; what it admits to stands in the server's copy."
)


def is_z85_key(text: str) -> bool:
    """Whether a text is a CURVE key: 40 Z85 characters for 32 bytes."""
    if len(text) != 40 or any(character not in _VALUE for character in text):
        return False
    for start in range(0, 40, 5):
        value = 0
        for character in text[start : start + 5]:
            value = value * 85 + _VALUE[character]
        if value >= 1 << 32:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What stands in a key file."""

    public: str
    secret: str | None = field(default=None, repr=False)
    metadata: dict[str, str] = field(default_factory=dict)

    def rights(self) -> tuple[Role, Groups]:
        """What the key admits to: a role, and the groups its requests may use (none: any).

        Raises:
            ValueError: it does not say so beyond doubt.
        """
        for name in self.metadata:
            if name not in _METADATA:
                raise ValueError(f"metadata: {name!r} (allowed: {', '.join(sorted(_METADATA))})")
        role = read_role(self.metadata.get("role", ""))
        groups = self.metadata.get("groups")
        return role, () if groups is None else read_groups(groups.split(","))


def read_role(text: str) -> Role:
    """A role by its name.

    Raises:
        ValueError: there is no such role.
    """
    try:
        return Role(text)
    except ValueError:
        allowed = ", ".join(Role)
        raise ValueError(f"role {text!r} (allowed: {allowed})" if text else "no role") from None


def read_groups(names: list[str]) -> Groups:
    """Names of groups, trimmed, each once.

    Raises:
        ValueError: an empty one, one that is too long or has a comma, a quote or a control
            character, or too many.
    """
    groups = tuple(dict.fromkeys(name.strip() for name in names))
    for name in groups:
        if not name:
            raise ValueError("groups: an empty name")
        if len(name.encode()) > defaults.GROUP_BYTES:
            raise ValueError(f"groups: a name has {defaults.GROUP_BYTES} bytes at most")
        if any(character in ",\"'\\#" or not character.isprintable() for character in name):
            raise ValueError(
                f"groups: {name!r}: no comma, quote, backslash, # or control character"
            )
    if len(groups) > defaults.GROUPS_ENTRIES:
        raise ValueError(f"groups: {len(groups)}, {defaults.GROUPS_ENTRIES} are allowed")
    return groups


def read_certificate(path: Path) -> Certificate:
    """The certificate in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is none; the text says why.
    """
    raw = read_bounded(path, _MOST_BYTES)
    if len(raw) > _MOST_BYTES:
        raise ValueError("too large for a key file")
    try:
        return parse_certificate(raw.decode())
    except UnicodeDecodeError:
        raise ValueError("not a key file (not UTF-8)") from None


def parse_certificate(text: str) -> Certificate:
    """The certificate in a text.

    Raises:
        ValueError: it is none; the text says why.
    """
    section = ""
    found: dict[str, dict[str, str]] = {"metadata": {}, "curve": {}}
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        if plain in found:
            section = plain
            continue
        entry = _LINE.fullmatch(plain)
        if entry is None or not section:
            raise ValueError(f"line {number}: not a key file")
        name, value = entry[1], _unquoted(entry[2].strip())
        if name in found[section]:
            raise ValueError(f"line {number}: {name} stands here twice")
        found[section][name] = value
    curve = found["curve"]
    if "public-key" not in curve:
        raise ValueError("no public key in it")
    for name in ("public-key", "secret-key"):
        if name in curve and not is_z85_key(curve[name]):
            raise ValueError(f"its {name} is not 40 characters of Z85")
    return Certificate(curve["public-key"], curve.get("secret-key"), found["metadata"])


def _unquoted(value: str) -> str:
    # The alphabet of Z85 has no quotes; those round a value are not part of it.
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def write_certificate(certificate: Certificate) -> str:
    """The text of a key file; `zmq.auth.load_certificate` reads it too."""
    secret = certificate.secret is not None
    what, advice = ("**Secret**", _SECRET) if secret else ("Public", _PUBLIC)
    lines = [_BANNER.format(what=what, advice=advice), "metadata"]
    lines += [f"    {name} = {value}" for name, value in certificate.metadata.items()]
    lines += ["curve", f'    public-key = "{certificate.public}"']
    if secret:
        lines.append(f'    secret-key = "{certificate.secret}"')
    return "\n".join(lines) + "\n"
