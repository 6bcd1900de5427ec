"""`boruta run`: what CI can tell by its exit status and by `--result`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boruta.cli.result import Result, failed, local_fault, not_served
from boruta.domain.errors import (
    BadCaps,
    BoardLost,
    BorutaError,
    NotPermitted,
    TimedOut,
    Unreachable,
    Unservable,
)
from boruta.domain.types import ReqInfo, ReqState
from tests.boruta.typed import Lab, Typed, lab


@pytest.fixture(scope="module")
def farm() -> Iterator[Lab]:
    with lab() as made:
        yield made


def run(farm: Lab, *words: str) -> Typed:
    return farm("run", "-c", "arch=armv7l", *words)


def outcome(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert list(found) == ["outcome", "status", "reason", "request", "worker"]
    return dict(found)


def test_output_errors_and_status_are_cmd_s_own(farm: Lab) -> None:
    done = run(farm, "--", "echo out; echo err >&2; exit 7")
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


def test_a_signal_is_128_and_its_number(farm: Lab) -> None:
    assert run(farm, "--", "kill -TERM $$").status == 143


def test_one_word_is_a_shell_line_and_several_are_quoted(farm: Lab) -> None:
    assert run(farm, "--", "echo $((1 + 1)) | cat").out == "2\n"
    assert run(farm, "--", "printf", "[%s]", "a b", "$HOME", "it's").out == "[a b][$HOME][it's]"


def test_what_follows_cmd_s_first_word_is_cmd_s_own(farm: Lab) -> None:
    assert run(farm, "echo", "-e", "a", "--help", "--", "-c").out == "a --help -- -c\n"


def test_variables_and_files_go_with_it(
    farm: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").write_bytes(bytes(range(256)) * 1000)
    line = 'cat in in > out; echo "$WHO"'
    done = run(farm, "-e", "WHO=a b", "--put", "in", "--get", "out", "--", line)
    assert (done.status, done.out) == (0, "a b\n")
    assert Path("out").read_bytes() == Path("in").read_bytes() * 2


def test_a_result_that_cannot_be_fetched_fails_what_went_well(farm: Lab, tmp_path: Path) -> None:
    result = tmp_path / "r"
    done = run(farm, "--get", "nothing", "--result", str(result), "--", "true")
    assert done.status == 125  # 1 would say that CMD failed
    told = outcome(result)
    assert (told["outcome"], told["status"]) == ("infra", 125)
    assert "--get nothing" in told["reason"]
    assert run(farm, "--get", "nothing", "--", "exit 9").status == 9


def test_a_board_that_does_not_come_in_time_is_122(farm: Lab, tmp_path: Path) -> None:
    holder = farm.held()
    result = tmp_path / "r"
    done = run(farm, "--wait", "0.2", "--result", str(result), "--", "true")
    assert (done.status, done.out) == (122, "")
    assert f"{holder} by local" in done.err
    assert outcome(result)["outcome"] == "never_ran"
    farm("close", holder)
    assert farm("requests", "-o", "id").out == ""


def test_what_nobody_can_serve_is_122_at_once(farm: Lab, tmp_path: Path) -> None:
    result = tmp_path / "r"
    done = farm("run", "-c", "arch=vax", "--result", str(result), "--", "true")
    assert done.status == 122
    assert "nobody has arch=vax" in done.err
    assert outcome(result) == {
        "outcome": "never_ran", "status": 122, "reason": outcome(result)["reason"],
        "request": None, "worker": None,
    }  # fmt: skip
    done = farm("run", "-c", "arch=vax", "--wait-anyway", "--wait", "0.1", "--", "true")
    assert (done.status, "timed_out" in done.err) == (122, True)


def test_time_up_is_124(farm: Lab, tmp_path: Path) -> None:
    result = tmp_path / "r"
    done = run(farm, "--for", "1", "--result", str(result), "--", "sleep 60")
    assert done.status == 124
    assert done.err.endswith("[time_up]\n")
    assert outcome(result)["outcome"] == "time_up"
    assert outcome(result)["worker"] == farm.boards[0]


def test_the_result_of_a_good_run_has_request_and_worker(farm: Lab, tmp_path: Path) -> None:
    result = tmp_path / "r"
    assert run(farm, "--result", str(result), "--", "exit 3").status == 3
    found = outcome(result)
    assert (found["outcome"], found["status"], found["reason"]) == ("exited", 3, "")
    assert found["worker"] == farm.boards[0]
    assert farm("show", str(found["request"]), "-o", "json").json["state"] == "DONE"


def test_local_runs_here_with_the_request_set(farm: Lab) -> None:
    done = run(farm, "--local", "-e", "A=b", "--", 'test -n "$BORUTA_REQUEST" && test $A = b')
    assert done.status == 0
    assert run(farm, "--local", "--", "exit 5").status == 5
    assert run(farm, "--local", "--", "kill -KILL $$").status == 137
    assert run(farm, "--local", "/no/such/program", "x").status == 127
    assert run(farm, "--local", "/etc/passwd", "x").status == 126


def test_local_knows_the_same_server(farm: Lab) -> None:
    keys = f"{farm.farm.data}/keys/local.key_secret"
    line = f'test "$BORUTA_KEY" = "{keys}" && test "$BORUTA_SERVER" = "{farm.farm.url}"'
    assert run(farm, "--local", "--", line).status == 0


def test_local_ends_with_the_board(farm: Lab) -> None:
    assert run(farm, "--local", "--for", "1", "--", "sleep 60; true").status == 124


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (BadCaps("x"), ("never_ran", 2), ("never_ran", 2)),
        (TimedOut("x"), ("never_ran", 122), ("infra", 125)),
        (Unservable("x"), ("never_ran", 122), ("infra", 125)),
        (NotPermitted("x"), ("never_ran", 122), ("infra", 125)),
        (Unreachable("x"), ("never_ran", 122), ("infra", 125)),
        (BoardLost("x"), ("infra", 125), ("infra", 125)),
        (BoardLost("x", reason_code="time_up"), ("time_up", 124), ("time_up", 124)),
    ],
)
def test_an_error_before_cmd_ran_is_no_error_of_cmd(
    error: BorutaError, before: tuple[str, int], after: tuple[str, int]
) -> None:
    early, late = Result(), Result()
    failed(early, error)
    late.started()
    failed(late, error)
    assert (early.outcome, early.status) == before
    assert (late.outcome, late.status) == after


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        (ReqState.CANCEL, "cancelled", 122),
        (ReqState.TIMEOUT, "deadline", 122),
        (ReqState.INVALID, "unservable", 122),
        (ReqState.FAILED, "internal", 125),
        (ReqState.DONE, "time_up", 124),
    ],
)
def test_a_request_that_ended_early_tells_by_its_reason(
    state: ReqState, code: str, status: int
) -> None:
    result = Result()
    not_served(result, ReqInfo(7, state=state, reason_code=code))
    assert result.status == status


def test_an_output_that_nobody_reads_is_no_fault_of_the_board() -> None:
    result = Result()
    result.started()
    local_fault(result, BrokenPipeError())
    assert (result.outcome, result.status) == ("interrupted", 141)
    local_fault(result, OSError(28, "No space left on device"))
    assert result.status == 125


def test_a_file_that_cannot_be_read_here_never_ran() -> None:
    result = Result()
    local_fault(result, PermissionError(13, "Permission denied", "secret"))
    assert (result.outcome, result.status) == ("never_ran", 122)
    assert "secret: Permission denied" in result.reason
