"""A TOML file whose errors name file, line and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from boruta.domain.errors import BadConfig
from boruta.guarded import read_bounded

_MOST_BYTES: Final = 1 << 20  # a larger one is no configuration


class TomlFile:
    """What stands in a file, and on which line.

    Raises:
        BadConfig: it cannot be read, or is no TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            raw = read_bounded(path, _MOST_BYTES)
            if len(raw) > _MOST_BYTES:
                raise BadConfig(f"{path}: a configuration has 1 MiB at most")
            self._text = raw.decode()
            self.values: dict[str, Any] = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise BadConfig(f"{path}: {error}") from None
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise BadConfig(f"{path}, line {line}: not UTF-8") from None
        except (OSError, RecursionError) as error:
            why = getattr(error, "strerror", None) or error
            raise BadConfig(f"{path}: cannot be read: {why}") from None

    def line(self, table: str, key: str) -> int | None:
        """The line of a key, counted from 1; of its table where the key is not found."""
        here, header = "", None
        for number, line in enumerate(self._text.splitlines(), 1):
            if found := re.match(r"\s*\[+\s*(.+?)\s*\]", line):
                here = found[1].strip("\"'")
                if here == (f"{table}.{key}" if table else key) or (table and here == table):
                    header = header or number
                continue
            found = re.match(r"""\s*["']?([^"'=\s.]+)["']?\s*(\.[^=]*)?=""", line)
            if found and here == table and found[1] == key:
                return number
        return header

    def error(self, table: str, key: str, what: str) -> BadConfig:
        """An error about a key, to be raised."""
        line = self.line(table, key)
        place = f"{self.path}, line {line}: " if line else f"{self.path}: "
        name = f"[{table}] {key}" if table else key
        return BadConfig(f"{place}{name}: {what}", file=str(self.path), key=name)
