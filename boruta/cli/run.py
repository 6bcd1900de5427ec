"""`run` and `shell`: a board for one command, given back whatever happens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from boruta.cli.entry import INTERRUPTED
from boruta.cli.options import Duration, client, connection, request_options, request_words
from boruta.cli.output import stamp
from boruta.cli.result import (
    INFRA,
    Result,
    failed,
    local_fault,
    not_served,
)
from boruta.cli.talk import tell
from boruta.cli.waiting import Same, told, until_changed
from boruta.domain.errors import BoardLost, BorutaError, UsageError
from boruta.domain.types import ReqInfo, ReqState

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.reservation import Reservation

RELEASE_WITHIN_S: Final = 5.0  # a server out of reach frees the board by the session's lease
LOGIN_SHELL: Final = 'exec "${SHELL:-/bin/sh}" -l'
Use = Callable[["Reservation", dict[str, str]], int]


class Wanted(NamedTuple):
    """What the options say."""

    request: dict[str, Any]
    puts: Sequence[str]
    gets: Sequence[str]
    env: dict[str, str]
    wait: float | None
    wait_anyway: bool


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


@click.command(
    # What comes after CMD's first word is CMD's own, also without `--`.
    context_settings={"allow_interspersed_args": False},
    epilog="Example: boruta run -c arch=armv7l --put image.bin --get log.txt -- ./flash image.bin",
)
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
            from boruta.cli.local import run_local

            return run_local(board, words, env)
        return board.stream(words, stdin=stdin(), env=env or None)

    return _held(use, **given)


@click.command(epilog="Example: boruta shell -c arch=armv7l --for 2h --note bisecting")
@connection
@request_options
@_with_run_options
@request_words
def shell(**given: Any) -> int:
    """Get a board, open a shell on it, give it back when the shell ends.

    Without a terminal the shell reads its commands from the input, as `sh` does.
    """

    def use(board: Reservation, env: dict[str, str]) -> int:
        job = board.info.job
        until = "" if job is None else f" until {stamp(job.timeout)}"
        tell(f"board {board.worker_uuid} is yours{until}; it goes back when this shell ends")
        if not has_terminal():
            return board.stream(LOGIN_SHELL, stdin=stdin(), env=env or None)
        return board.shell()

    return _held(use, **given)


def has_terminal() -> bool:
    """Whether somebody types."""
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        return False  # closed, or not a real one


def stdin() -> int | None:
    """Where CMD reads from; None where there is nothing to be read."""
    try:
        number = sys.stdin.fileno()
        # A background job that reads its terminal is stopped by the system, board and all.
        if os.isatty(number) and os.tcgetpgrp(number) != os.getpgrp():
            return None
    except (AttributeError, OSError, ValueError):
        return None  # closed, or not a real one
    return number


def _held(
    use: Use,
    *,
    wanted: dict[str, Any],
    puts: Sequence[str],
    gets: Sequence[str],
    env: Sequence[str],
    wait: float | None,
    wait_anyway: bool,
    result_file: str | None,
) -> int:
    words = Wanted(wanted, puts, gets, variables(env), wait, wait_anyway)
    for name in puts:
        if not Path(name).exists():
            raise UsageError(f"--put: {name!r} is not there")
    result = Result()
    if result_file is not None:
        # Before a board is taken for what could not be told; and so it reads if we are killed.
        Result("infra", INFRA, "boruta run has not ended").write(result_file)

    def leave() -> None:
        result.end("interrupted", INTERRUPTED, "interrupted twice; the lease frees the board")
        if result_file is not None:
            result.write(result_file)
        os._exit(INTERRUPTED)

    try:
        with _interruptible(leave), client() as boruta:
            _serve(boruta, result, use, words)
    except KeyboardInterrupt:
        result.end("interrupted", INTERRUPTED, "interrupted")
        tell("boruta: interrupted")
    except BorutaError as error:
        failed(result, error)
    except OSError as error:
        local_fault(result, error)
    finally:
        if result_file is not None:
            result.write(result_file)
    return result.status


def _serve(boruta: Client, result: Result, use: Use, words: Wanted) -> None:
    unservable = "wait" if words.wait_anyway else "refuse"
    req_id = boruta.new_request(**words.request, bound=True, unservable=unservable)
    result.request = req_id
    same = Same(boruta, req_id)
    try:
        info = until_changed(same, boruta, lambda now: now.state is not ReqState.WAIT, words.wait)
        if info.state is not ReqState.INPROGRESS:
            not_served(result, info)
            return
        result.worker = None if info.job is None else info.job.worker_uuid
        with boruta.attach(req_id) as board, _warned(boruta, req_id):
            _use(board, result, use, words)
    finally:
        _release(boruta, same)


def _release(boruta: Client, same: Same) -> None:
    def close() -> None:
        with suppress(BorutaError):
            if not same.look().state.ended:
                boruta.close_request(same.id)

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(RELEASE_WITHIN_S)


def _use(board: Reservation, result: Result, use: Use, words: Wanted) -> None:
    for name in words.puts:
        board.put(name, "")
    result.started()
    result.exited(use(board, words.env))
    for name in words.gets:
        try:
            board.get(name, ".")
        except BoardLost:
            raise
        except (BorutaError, OSError) as error:
            tell(f"boruta: --get {name}: {error}")
            if result.status == 0:
                # CMD did what it should; 1 would be its own word.
                result.end("infra", INFRA, f"CMD did well, but --get {name}: {error}")


def variables(words: Sequence[str]) -> dict[str, str]:
    """What `-e K=V` sets.

    Raises:
        UsageError: it is no NAME=VALUE.
    """
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
                f"boruta: the job ends at {stamp(info.job.timeout)}; "
                f"boruta prolong {req_id} gives it more time"
            )

    with told(boruta, warn, kinds=["job_ending"], requests=[req_id]):
        yield


@contextmanager
def _interruptible(leave: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does; a second signal leaves at once.

    The board is then freed by the lease of this client's session.
    """
    seen = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if seen.is_set():
            leave()
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
