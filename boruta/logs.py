"""Log lines: one an event, for people or as JSON; to stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

_EVENT: Final = re.compile(r"[a-z][a-z0-9_]*")
_FIELD: Final = re.compile(r"""\s+([a-z][a-z0-9_]*)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S*)""")


def fields_of(message: str) -> dict[str, Any]:
    """What `event key=value... : text` says, as plain values.

    A message that does not begin with an event is kept whole, as `message`.
    """
    head = _EVENT.match(message)
    if head is None:
        return {"message": message}
    found: dict[str, Any] = {"event": head[0]}
    at = head.end()
    while (field := _FIELD.match(message, at)) is not None:
        found[field[1]] = _unquoted(field[2].rstrip(":") if message[field.end() :] else field[2])
        at = field.end()
    rest = message[at:].lstrip(" :")
    if rest and len(found) == 1 and not message[head.end() :].startswith(":"):
        return {"message": message}
    return {**found, "message": rest} if rest else found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _when(record: logging.LogRecord) -> str:
    when = datetime.fromtimestamp(record.created, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()


class TextFormatter(logging.Formatter):
    """`TIME LEVEL event key=value...`; whatever would break the line is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = f"{_when(record)} {record.levelname} {record.getMessage()}"
        trace = _trace(record)
        if trace:
            line += f" traceback={trace!r}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {"time": _when(record), "level": record.levelname.lower(), "logger": record.name}
        for name, value in fields_of(record.getMessage()).items():
            said.setdefault(name, value)
        trace = _trace(record)
        if trace:
            said["traceback"] = trace
        return json.dumps(said, default=str)


def set_up(level: str, form: str) -> None:
    """Sends what is logged to stderr: ours from `level` on, warnings of all others.

    Args:
        level: debug, info, warning or error.
        form: text or json.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """From which level on our own loggers speak."""
    for name in ("boruta", "dryad"):
        logging.getLogger(name).setLevel(level.upper())
