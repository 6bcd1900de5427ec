"""One line an event: `TIME LEVEL event key=value...`, or JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

# Embedded, nothing is said unless the host program wants it.
logging.getLogger("dryad").addHandler(logging.NullHandler())

LEVELS = ("debug", "info", "warning", "error")


def event(logger: logging.Logger, level: int, what: str, **fields: object) -> None:
    """Logs an event with its fields. Never pass a secret.

    Args:
        logger: one under `dryad`.
        level: of the logging module.
        what: a word or two joined by underscores.
        fields: plain values.
    """
    if logger.isEnabledFor(level):
        said = {key: value for key, value in fields.items() if value is not None}
        words = [what, *(f"{key}={_shown(value)}" for key, value in said.items())]
        logger.log(level, "%s", " ".join(words), extra={"event": what, "fields": said})


def _shown(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in " \"'="):
        return text
    return json.dumps(text, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`TIME LEVEL event key=value...`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage()
        # Others' words may stand in it: a server's, or those of a library of ours.
        message = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        line = f"{_time(record)} {record.levelname} {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", record.getMessage()),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sends what `dryad` logs to stderr, from `level` on.

    Args:
        level: one of LEVELS.
        form: "text" or "json".
        stream: where to, if not stderr.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    for name in ("dryad", "boruta", "transport"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
