"""A TOML file whose errors name the file, the line, the key and what is allowed."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from boruta.domain.errors import BadConfig
from boruta.guarded import read_bounded

_MOST_BYTES: Final = 1 << 20  # a larger one is no configuration
_TABLE: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))((?:\s*\.[^=]+)?)\s*=""")


class TomlFile:
    """What stands in a file, and on which line.

    Args:
        path: the file, for messages.
        text: what stands in it.

    Raises:
        BadConfig: no TOML; the text names the line.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadConfig(f"{path}: {_with_line(str(error))}", file=str(path)) from None
        except RecursionError:
            raise BadConfig(f"{path}: nested too deeply", file=str(path)) from None

    @classmethod
    def read(cls, path: Path) -> TomlFile | None:
        """The file; None if there is none.

        Raises:
            BadConfig: it is there and cannot be used.
        """
        try:
            raw = read_bounded(path, _MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BadConfig(f"{path}: cannot be read: {error.strerror}", file=str(path)) from None
        if len(raw) > _MOST_BYTES:
            raise BadConfig(f"{path}: a configuration has 1 MiB at most")
        try:
            return cls(path, raw.decode())
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise BadConfig(f"{path}: line {line}: not UTF-8", file=str(path)) from None

    def line(self, *keys: str) -> int | None:
        """The line on which a key stands, counted from 1; None if it can't be told."""
        table: tuple[str, ...] = ()
        header = None
        for number, line in enumerate(self._lines, 1):
            found = _TABLE.match(line)
            if found:
                table = _split(found[1])
                if table[: len(keys)] == keys and header is None:
                    header = number
                continue
            key = _KEY.match(line)
            if key is None:
                continue
            here = (*table, key[1] or key[2] or key[3], *_split(key[4].lstrip(" \t.")))
            if here[: len(keys)] == keys:
                return number
        return header

    def error(self, keys: tuple[str, ...], what: str) -> BadConfig:
        """An error about a key, to be raised."""
        line = self.line(*keys)
        where = f"{self.path}: " + (f"line {line}: " if line else "")
        details: dict[str, object] = {"file": str(self.path), "key": ".".join(keys)}
        if line:
            details["line"] = line
        return BadConfig(f"{where}{_shown(keys)}: {what}", **details)

    def table(self, values: Any, keys: tuple[str, ...], allowed: Iterable[str]) -> dict[str, Any]:
        """`values` as a table that has no other keys than these.

        Raises:
            BadConfig: it is no table, or has a key that is not allowed.
        """
        if not isinstance(values, Mapping):
            raise self.error(keys, f"want a table, [{'.'.join(keys)}], not {kind(values)}")
        known = sorted(allowed)
        for key in values:
            if key not in known:
                raise self.error((*keys, key), f"unknown key{_meant(key, known)}")
        return dict(values)


def _meant(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{guess} (allowed: {', '.join(known)})"


def _with_line(text: str) -> str:
    # tomllib ends its texts with the place in brackets; ours begin with it.
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", text, re.DOTALL)
    return f"line {found[2]}, column {found[3]}: {found[1]}" if found else text


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split(".") if part.strip())


def _shown(keys: tuple[str, ...]) -> str:
    if len(keys) < 2:
        return ".".join(keys)
    return f"[{'.'.join(keys[:-1])}] {keys[-1]}"


def kind(value: Any) -> str:
    """What a value is, for messages."""
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a text"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or a time")
