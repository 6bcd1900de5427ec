"""Log lines: one an event, for people and for programs."""

from __future__ import annotations

import json
import logging

import pytest

from boruta.logs import JsonFormatter, TextFormatter, fields_of


def _record(message: str, *args: object, exc: BaseException | None = None) -> logging.LogRecord:
    info = None if exc is None else (type(exc), exc, None)
    record = logging.LogRecord("boruta.x", logging.WARNING, "f.py", 1, message, args, info)
    record.created = 1767225600.25
    return record


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("key_added name=alice", {"event": "key_added", "name": "alice"}),
        ("x a=1 b='two words' c=\"q\"", {"event": "x", "a": "1", "b": "two words", "c": "q"}),
        (
            "needs_restart keys=a,b: these do not change",
            {"event": "needs_restart", "keys": "a,b", "message": "these do not change"},
        ),
        ("open bind=tcp://1:2", {"event": "open", "bind": "tcp://1:2"}),
        ("stopped: by hand", {"event": "stopped", "message": "by hand"}),
        ("reloaded", {"event": "reloaded"}),
        ("something went wrong", {"message": "something went wrong"}),
        ("Something", {"message": "Something"}),
        ("", {"message": ""}),
        ("x a=", {"event": "x", "a": ""}),
    ],
)
def test_a_message_is_taken_apart(message: str, fields: dict[str, str]) -> None:
    assert fields_of(message) == fields


def test_a_text_line_has_time_level_and_event() -> None:
    line = TextFormatter().format(_record("key_added name=%s", "alice"))
    assert line == "2026-01-01T00:00:00.250Z WARNING key_added name=alice"


def test_nothing_breaks_a_line_in_two_or_colours_a_terminal() -> None:
    error = ValueError("a\nb")
    for form in (TextFormatter(), JsonFormatter()):
        line = form.format(_record("x why=%s", "one\ntwo\x1b[31m\u2028", exc=error))
        assert line.isprintable()
        assert "ValueError" in line


def test_json_has_the_fields_and_none_of_them_hides_ours() -> None:
    said = json.loads(JsonFormatter().format(_record("x level=none time=never a=1")))
    assert said["level"] == "warning"
    assert said["time"] == "2026-01-01T00:00:00.250Z"
    assert (said["event"], said["a"], said["logger"]) == ("x", "1", "boruta.x")
