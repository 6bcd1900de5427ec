"""`run` and `shell`: a board for one command, given back whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from boruta.cli.options import Duration, client, connection, request_options, request_words
from boruta.cli.output import short
from boruta.cli.requests import tell
from boruta.cli.waiting import until_served
from boruta.domain.errors import BoardLost, BorutaError, InfraError, UsageError
from boruta.domain.types import ReqInfo, ReqState

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.reservation import Reservation

NEVER_RAN: Final = 122
TIME_UP: Final = 124
INFRA: Final = 125
INTERRUPTED: Final = 130
LOCAL_ENDS_WITHIN_S: Final = 5.0  # after SIGTERM; then SIGKILL


@dataclass(slots=True)
class Result:
    """What `--result` writes."""

    outcome: str = "never_ran"
    status: int = NEVER_RAN
    reason: str = ""
    request: int | None = None
    worker: str | None = None

    def end(self, outcome: str, status: int, reason: str = "") -> None:
        """How it went."""
        self.outcome, self.status, self.reason = outcome, status, reason


run_options = [
    click.option("--put", "puts", multiple=True, metavar="F", help="Copy it to the board first."),
    click.option("--get", "gets", multiple=True, metavar="F", help="Copy it back afterwards."),
    click.option("-e", "--env", "env", multiple=True, metavar="K=V", help="Set for CMD."),
    click.option("--wait", type=Duration(), metavar="DURATION", help="Give up without a board."),
    click.option("--wait-anyway", is_flag=True, help="Also for what no known board could serve."),
    click.option("--result", "result_file", metavar="FILE", help="Write the outcome as JSON."),
]


def _with_run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(run_options):
        command = option(command)
    return command


@click.command(context_settings={"ignore_unknown_options": False})
@connection
@request_options
@_with_run_options
@click.option("--local", is_flag=True, help="Run CMD here, with BORUTA_REQUEST set.")
@click.argument("cmd", nargs=-1, required=True, metavar="-- CMD...", type=click.UNPROCESSED)
@request_words
def run(local: bool, cmd: tuple[str, ...], **given: Any) -> int:
    """Get a board, run CMD on it, give it back.

    One CMD word is a shell line, several are a command and its arguments. The exit status is CMD's
    own (128+N for a signal); 122: it never ran; 124: the job's time was up; 125: the board or
    Boruta failed; 130: Ctrl-C.
    """
    words: str | tuple[str, ...] = cmd[0] if len(cmd) == 1 else cmd

    def use(board: Reservation, env: dict[str, str]) -> int:
        if local:
            return _run_local(board, words, env)
        return board.stream(words, stdin=_stdin(), env=env or None)

    return _held(use, **given)


@click.command()
@connection
@request_options
@_with_run_options
@request_words
def shell(**given: Any) -> int:
    """Get a board, open a shell on it, give it back when the shell ends."""
    return _held(lambda board, _: board.shell(), **given)


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None  # closed, or not a real one


def _held(
    use: Callable[[Reservation, dict[str, str]], int],
    *,
    wanted: dict[str, Any],
    puts: Sequence[str],
    gets: Sequence[str],
    env: Sequence[str],
    wait: float | None,
    wait_anyway: bool,
    result_file: str | None,
) -> int:
    variables = _variables(env)
    for name in puts:
        if not Path(name).exists():
            raise UsageError(f"--put: {name!r} is not there")
    result = Result()
    try:
        with _interruptible(), client() as boruta:
            _serve(boruta, result, use, wanted, (puts, gets), variables, (wait, wait_anyway))
    except KeyboardInterrupt:
        result.end("interrupted", INTERRUPTED, "interrupted")
        tell("boruta: interrupted")
    except UsageError as error:
        result.end("never_ran", error.exit_status, error.message)
        tell(f"boruta: {error.message}   [{error.code}]")
    except BorutaError as error:
        _failed(result, error)
    if result_file is not None:
        Path(result_file).write_text(json.dumps(asdict(result)) + "\n")
    return result.status


def _serve(
    boruta: Client,
    result: Result,
    use: Callable[[Reservation, dict[str, str]], int],
    wanted: dict[str, Any],
    files: tuple[Sequence[str], Sequence[str]],
    env: dict[str, str],
    patience: tuple[float | None, bool],
) -> None:
    wait, wait_anyway = patience
    unservable = "wait" if wait_anyway else "refuse"
    req_id = boruta.new_request(**wanted, bound=True, unservable=unservable)
    result.request = req_id
    try:
        info = until_served(boruta, req_id, wait)
        if info.state is not ReqState.INPROGRESS:
            result.end("never_ran", NEVER_RAN, f"{info.state.value}: {info.reason}")
            tell(f"boruta: request {req_id} is {info.state.value}: {info.reason}")
            return
        result.worker = None if info.job is None else info.job.worker_uuid
        with boruta.attach(req_id) as board, _warned(boruta, req_id):
            _use(board, result, use, files, env)
    finally:
        with suppress(BorutaError):
            if not boruta.get_request_info(req_id).state.ended:
                boruta.close_request(req_id)


def _use(
    board: Reservation,
    result: Result,
    use: Callable[[Reservation, dict[str, str]], int],
    files: tuple[Sequence[str], Sequence[str]],
    env: dict[str, str],
) -> None:
    puts, gets = files
    for name in puts:
        board.put(name, "")
    # From here on CMD may have begun: what goes wrong now is not "never ran".
    result.end("infra", INFRA)
    code = use(board, env)
    result.end("exited", 128 - code if code < 0 else code)
    for name in gets:
        try:
            board.get(name, ".")
        except (BorutaError, OSError) as error:
            if isinstance(error, BoardLost):
                raise
            tell(f"boruta: --get {name}: {error}")
            if result.status == 0:
                result.end("exited", 1, f"--get {name}: {error}")


def _failed(result: Result, error: BorutaError) -> None:
    if error.details.get("reason_code") == "time_up":
        result.end("time_up", TIME_UP, error.message)
    elif result.outcome == "never_ran" and not isinstance(error, InfraError):
        result.end("never_ran", NEVER_RAN, error.message)
    else:
        result.end("infra", INFRA, error.message)
    tell(f"boruta: {error.message}   [{error.code}]")


def _variables(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            raise UsageError(f"-e {word!r}: want NAME=VALUE")
        found[name] = value
    return found


@contextmanager
def _warned(boruta: Client, req_id: int) -> Iterator[None]:
    """A line on stderr some time before the job's end."""

    def warn(change: Any) -> None:
        info: ReqInfo | None = getattr(change, "request", None)
        if info is not None and info.job is not None:
            tell(
                f"boruta: the job ends at {short(info.job.timeout)}; "
                f"boruta prolong {req_id} gives it more time"
            )

    watching = boruta.subscribe(warn, kinds=["job_ending"], requests=[req_id])
    try:
        yield
    finally:
        watching.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does; a second signal leaves at once.

    The board is then freed by the lease of this client's session.
    """
    seen = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if seen.is_set():
            os._exit(INTERRUPTED)
        seen.set()
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_local(board: Reservation, cmd: str | tuple[str, ...], env: dict[str, str]) -> int:
    """Runs CMD on this machine; it is ended if the board is lost."""
    variables = {**os.environ, **env, "BORUTA_REQUEST": str(board.id)}
    try:
        child = subprocess.Popen(
            cmd if isinstance(cmd, str) else list(cmd), shell=isinstance(cmd, str), env=variables
        )
    except OSError as error:
        tell(f"boruta: {error.filename or cmd}: {error.strerror}")
        return 127 if isinstance(error, FileNotFoundError) else 126
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(0.5)
            if board.lost is not None:
                raise board.lost
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(LOCAL_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
