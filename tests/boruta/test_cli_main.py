"""The command as a whole: finding verbs, help, errors and exit statuses, and what a start loads."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from boruta.cli import version as version_module
from boruta.cli.main import ALIASES, VERBS, boruta
from boruta.domain.codes import CODES, ERRORS
from boruta.domain.errors import BorutaError
from boruta.version import VERSION
from tests.boruta.typed import typed

VERBS_OF_A_WORKER = ("show", "enable", "maintenance", "groups", "check", "deregister")
PROMISED = (
    "demo server key run shell request requests show wait acquire update prolong close release "
    "cancel ssh ssh-config exec put get forward workers worker watch who stats plan version "
    "backup restore check-store history power mux current console led text"
)


def test_version_is_said() -> None:
    done = typed("version")
    assert (done.status, done.out, done.err) == (0, f"boruta {VERSION}\n", "")


@pytest.mark.parametrize("verb", PROMISED.split())
def test_each_verb_has_help_with_an_example(verb: str) -> None:
    done = typed(verb, "--help")
    assert done.status == 0
    assert "Example: " in done.out
    assert "boruta " + ALIASES.get(verb, verb) in done.out.partition("Example: ")[2]
    assert VERBS[ALIASES.get(verb, verb)].help


@pytest.mark.parametrize("verb", VERBS_OF_A_WORKER)
def test_each_verb_of_a_worker_has_help_with_an_example(verb: str) -> None:
    done = typed("worker", verb, "--help")
    assert done.status == 0
    assert f"Example: boruta worker {verb} UUID" in done.out


def test_the_list_of_verbs_is_the_help_s() -> None:
    said = typed("--help").out
    assert all(f"  {verb}" in said for verb in VERBS)


def test_nothing_said_is_help_and_a_usage_error() -> None:
    done = typed()
    assert done.status == 2
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["reqests"], "did you mean 'requests'?"),
        (["frobnicate"], "there are: demo, server"),
        (["requests", "--bogus"], "boruta requests --help"),
        (["requests", "-o", "xml"], "'table', 'json', 'id'"),
        (["requests", "--state", "foo"], "want one of waiting, in-progress, cancelled"),
        (["requests", "--limit", "0"], "--limit"),
        (["workers", "--state", "foo"], "want one of maintenance, idle, running"),
        (["workers", "-c", "v=3..1"], "the range ends before it starts"),
        (["request", "-c", "a=1", "-c", "a=2"], "given twice"),
        (["request", "-c", "a=1", "--for", "1x"], "want seconds (90) or units"),
        (["request", "-c", "a=1", "--after", "noon"], "2026-05-01T12:00:00Z or +DURATION"),
        (["request", "-c", "a=1", "--after", "99999-01-01T00:00:00Z"], "want 2026-05-01"),
        (["show"], "Missing argument 'ID'"),
        (["show", "abc"], "want digits; boruta requests lists them"),
        (["show", "\u0663"], "want digits"),
        (["close"], "Missing argument"),
        (["update", "3"], "nothing to change"),
        (["update", "3", "--priority", "0"], "allowed: 1"),
        (["run", "-c", "a=1"], "CMD"),
        (["run", "-c", "a=1", "-e", "1=2", "--", "true"], "want NAME=VALUE"),
        (["run", "-c", "a=1", "--put", "/no/such", "--", "true"], "'/no/such' is not there"),
        (["run", "-c", "a=1", "--result", "/no/such/file", "--", "true"], "--result"),
        (["exec"], "which request?"),
        (["exec", "3"], "no command given"),
        (["put", "3"], "nothing to copy"),
        (["put", "3", "/no/such"], "is not there"),
        (["get", "3"], "nothing to copy"),
        (["get", "3", "f", "/no/such/dir/f"], "no directory '/no/such/dir' here"),
        (["get", "3", "f", "g", "/no/such"], "no directory to hold several"),
        (["forward", "3"], "no port given"),
        (["forward", "3", "70000"], "ports 1 to 65535"),
        (["forward", "3", "a:b:c:d"], "[LOCAL:][HOST:]PORT"),
        (["worker", "frob"], "boruta worker --help"),
    ],
)
def test_a_usage_error_is_status_2_with_a_hint(words: list[str], hint: str) -> None:
    done = typed("--data", "/no/such/data", *words)
    assert done.status == 2, done.err
    assert done.out == ""
    assert done.err.startswith("boruta: ")
    assert hint in done.err
    assert "Traceback" not in done.err


def test_a_request_in_the_environment_that_is_no_id_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BORUTA_REQUEST", "abc")
    for words in (["exec", "--", "ls"], ["forward", "80"], ["ssh"], ["ssh-config"]):
        assert typed("--data", "/no/such/data", *words).status == 2


def test_an_id_that_no_server_can_have_is_not_found() -> None:
    done = typed("show", "9" * 400)
    assert done.status == 3
    assert "[not_found]" in done.err


def test_where_no_server_runs_it_says_how_to_start_one() -> None:
    done = typed("--data", "/no/such/data", "workers")
    assert done.status == 9
    assert "boruta server --data /no/such/data" in done.err
    assert done.err.endswith("[unreachable]\n")


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(version_module, "version", fails)


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_error_ends_with_its_code_and_its_status(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, ERRORS[code]("what was wrong"))
    done = typed("version")
    assert done.status == ERRORS[code].exit_status
    assert done.err == f"boruta: what was wrong   [{code}]\n"


def test_statuses_are_those_of_the_contract() -> None:
    assert {kind.exit_status for kind in ERRORS.values()} == {1, 2, 3, 4, 5, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RuntimeError("oh"), 1, "a defect of Boruta's: RuntimeError: oh"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (FileNotFoundError(2, "No such file", b"/x"), 1, "/x: No such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
        (BorutaError(), 1, "BorutaError"),
    ],
)
def test_nobody_sees_a_traceback(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, error)
    done = typed("version")
    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err


def test_who_asks_for_it_sees_where_a_defect_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BORUTA_DEBUG", "1")
    _failing(monkeypatch, RuntimeError("oh"))
    assert "Traceback" in typed("version").err


def _loaded_by(words: str) -> set[str]:
    code = (
        "import sys; from boruta.cli.main import _status; "
        f"_status({words.split()!r}); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["version", "--help", "--version"])
def test_a_start_that_needs_no_server_loads_nothing_heavy(words: str) -> None:
    heavy = {"asyncio", "zmq", "asyncssh", "pykka", "logging", "boruta.client", "rich"}
    assert not heavy & _loaded_by(words)


def test_a_verb_that_asks_the_server_loads_neither_ssh_nor_the_engine() -> None:
    loaded = _loaded_by("--data /no/such/data workers")
    assert "boruta.client" in loaded
    assert not {"asyncssh", "pykka", "actors", "cryptography", "boruta.farm"} & loaded


def test_the_verbs_are_those_promised() -> None:
    assert set(PROMISED.split()) == set(VERBS) | set(ALIASES)
    assert isinstance(boruta, click.Group)


def test_ctrl_c_while_the_command_is_loaded_is_no_traceback() -> None:
    code = (
        "import builtins, signal\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *more):\n"
        "    if name == 'click': signal.raise_signal(signal.SIGINT)\n"
        "    return load(name, *more)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from boruta.cli.entry import main\n"
        "builtins.__import__ = interrupted\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_once_it_is_over_does_not_change_how_it_ended() -> None:
    code = (
        "import atexit, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        "sys.argv[1:] = ['version']\n"
        "from boruta.cli.entry import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
