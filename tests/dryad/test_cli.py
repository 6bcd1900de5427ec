"""The `dryad` command as somebody types it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.version import VERSION
from dryad import logs
from dryad.cli import main


def typed(*words: str) -> int:
    return main(words)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--version") == 0
    assert capsys.readouterr().out == f"dryad {VERSION}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--help") == 0
    out = capsys.readouterr().out
    assert "run" in out
    assert "simulate" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("fly",), "fly"),
        (("simulate", "-n", "0"), "1 to 10000"),
        (("simulate", "-n", "many"), "1 to 10000"),
        (("simulate", "-c", "arch"), "key=value"),
        (("simulate", "-c", "a=1", "-c", "a=2"), "twice"),
        (("simulate", "-n", "2", "-c", "UUID=x"), "one board"),
        (("run", "--sessions", "telnet"), "embedded"),
        (("run", "--config", "/nowhere/dryad.toml"), "/nowhere/dryad.toml"),
        (("run", "--config", "/dev/null"), "no server"),
        (("run", "--config", "/dev/null", "--server", "h:h"), "--server"),
        (("run", "--config", "/dev/null", "--server", "h"), "no server_key"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error_that_says_why(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    for name in ("BORUTA_SERVER", "BORUTA_SERVER_KEY", "BORUTA_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert typed(*words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_an_error_is_one_line_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    typed("run", "--config", "/nowhere/dryad.toml")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dryad: /nowhere/dryad.toml: ")
    assert line.endswith("   [bad_request]")


def test_embedded_sessions_without_trust_are_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("run", "--config", "/dev/null", "--server", "10.0.0.1", "--insecure", "--sessions")
    assert typed(*words, "embedded", "--data", str(tmp_path / "data")) == 2
    assert "trust_holders" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_others_can_read_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    assert typed("simulate", "--data", str(data)) == 4
    assert "chmod 700" in capsys.readouterr().err


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    heavy = ("asyncssh", "cryptography", "click", "rich", "zmq", "pykka", "sqlalchemy")
    code = (
        "import sys, dryad.cli; "
        "dryad.cli.main(['run', '--config', '/nowhere']); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_an_agent_of_roots_loads_nothing_that_it_never_uses() -> None:
    unused = ("ssl", "bz2", "lzma", "hashlib", "secrets", "uuid", "email", "http")
    code = (
        "import sys, dryad.lean; dryad.lean.leave_out_the_unused(); "
        "import dryad.cli, dryad.running, dryad.sessions.system, transport.client; "
        f"print([name for name in {unused!r} if sys.modules.get(name)])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_an_agent_runs_as_a_module() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "dryad", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ},
    )
    assert found.stdout == f"dryad {VERSION}\n"


# --- the log
def logged(form: str, capsys: pytest.CaptureFixture[str], **fields: object) -> str:
    logs.set_up("info", form)
    logs.event(logging.getLogger("dryad.test"), logging.INFO, "lease", **fields)
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_line_has_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged("text", capsys, request=7, left_s=1.5, note="two words", none=None)
    time, rest = line.split(" ", 1)
    assert rest == 'INFO lease request=7 left_s=1.5 note="two words"'
    assert time.endswith("Z")


def test_what_a_stranger_wrote_cannot_make_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = logged("text", capsys, msg="x\n2026 INFO fake", other="\x1b[31m")
    assert "\\n" in line
    assert "\x1b" not in line


def test_what_a_server_wrote_cannot_make_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "text")
    logging.getLogger("boruta.link").warning("link_down reason=%s", "x\n2026 INFO fake\x1b[31m")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line


def test_a_line_may_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(logged("json", capsys, request=7, note="a b"))
    assert {"event": "lease", "level": "info", "request": 7, "note": "a b"}.items() <= found.items()


def test_a_traceback_goes_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    try:
        raise OSError("broken")
    except OSError:
        logging.getLogger("dryad.test").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "OSError: broken" in json.loads(line)["traceback"]
