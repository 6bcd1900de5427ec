"""Verbs for the hardware of a board that is held: power, mux, current, led, text, console."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import click

from boruta.cli.options import RequestId, connection
from boruta.cli.result import shell_status
from boruta.cli.ssh import access_of, held, which_of
from boruta.domain.errors import NotFoundError

_of = click.option(
    "-r", "--request", "request", type=RequestId(), metavar="ID", help="Default: $BORUTA_REQUEST."
)


def _order(request: int | None, *words: str) -> int:
    """Has `board` on the board do it, and passes on what it says."""
    with held(which_of(request)) as board:
        code = board.stream(["board", *words])
    return shell_status(code)


@click.command(epilog="Example: boruta power tick 2 -r 17")
@connection
@_of
@click.argument("to", required=False, type=click.Choice(["on", "off", "tick"]))
@click.argument("seconds", required=False)
def power(request: int | None, to: str | None, seconds: str | None) -> int:
    """Switch the target's power; alone: print how it is.

    tick takes it for 1 second, or so many SECONDS; it is on afterwards.
    """
    return _order(request, "power", *_given(to, seconds))


@click.command(epilog="Example: boruta mux dut -r 17")
@connection
@_of
@click.argument("to", required=False, type=click.Choice(["ts", "dut"]))
def mux(request: int | None, to: str | None) -> int:
    """Give the card to the board (ts) or to the target (dut); alone: print whose it is."""
    return _order(request, "mux", *_given(to))


@click.command(epilog="Example: boruta current --record 10 --every 0.1 -r 17 > mA.csv")
@connection
@_of
@click.option("--record", metavar="SECONDS", help="Print a line of seconds,mA again and again.")
@click.option("--every", metavar="SECONDS", help="Between two lines; 1 if left out.")
def current(request: int | None, record: str | None, every: str | None) -> int:
    """Print what the target takes, in mA."""
    words = ["--record", record] if record is not None else []
    if every is not None:
        words += ["--every", every]
    return _order(request, "current", *words)


@click.command(epilog="Example: boruta led 1 0 255 0 -r 17")
@connection
@_of
@click.argument("number")
@click.argument("colour", nargs=3, metavar="RED GREEN BLUE")
def led(request: int | None, number: str, colour: Sequence[str]) -> int:
    """Set LED 1 or 2 of the board; each colour is 0 to 255."""
    return _order(request, "led", number, *colour)


@click.command(epilog="Example: boruta text booting -r 17")
@connection
@_of
@click.argument("words", nargs=-1)
def text(request: int | None, words: Sequence[str]) -> int:
    """Show WORDS on the board's display; none: clear it."""
    return _order(request, "text", *words)


@click.command(epilog="Example: boruta console 17")
@connection
@click.option("--read", is_flag=True, help="Look on only; one at a time may write.")
@click.option("--log", is_flag=True, help="What was said since the job began; then go on.")
@click.argument("id", required=False, type=RequestId())
def console(id: int | None, read: bool, log: bool) -> int:
    """Open the target's serial line. Ctrl-] ends it. ID defaults to $BORUTA_REQUEST."""
    import sys

    from boruta.ssh import find_openssh, ssh_files

    req_id = which_of(id)
    words = ["board", "console", *(["--read"] if read else []), *(["--log"] if log else [])]
    program = find_openssh()
    if program is None:
        raise NotFoundError("no ssh program here, which a console needs")
    terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    with ssh_files(access_of(req_id)) as files:
        code = subprocess.call(files.ssh(*words, options=terminal, program=program))
    return shell_status(code)


def _given(*words: str | None) -> list[str]:
    return [word for word in words if word is not None]
