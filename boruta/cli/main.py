"""The `boruta` command: finds the verb, and turns errors into a line and an exit status."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import click

from boruta.cli.entry import BROKEN_PIPE, INTERRUPTED
from boruta.cli.options import connection
from boruta.domain.errors import BorutaError
from boruta.streams import forgive_encoding, open_closed
from boruta.version import VERSION


class Verb(NamedTuple):
    """Where a verb is, and what `boruta --help` says of it: listing imports none of them."""

    module: str
    name: str
    help: str


VERBS: Final[dict[str, Verb]] = {
    "demo": Verb("demo", "demo", "Show a farm at work: a server and three simulated boards."),
    "server": Verb("server", "server", "Run a server in the foreground."),
    "run": Verb("run", "run", "Get a board, run CMD on it, give it back."),
    "shell": Verb("run", "shell", "Get a board, open a shell on it, give it back."),
    "request": Verb("requests", "request", "Queue a request for a board; prints its id."),
    "requests": Verb("requests", "requests", "List requests."),
    "show": Verb("requests", "show", "Show one request; one that waits says why."),
    "wait": Verb("requests", "wait", "Wait until a request no longer waits."),
    "acquire": Verb("requests", "acquire", "Wait for the board; print how to reach it."),
    "prolong": Verb("requests", "prolong", "Set a job's end to now plus its job time."),
    "close": Verb("requests", "close", "Cancel what waits, end what runs (release, cancel)."),
    "update": Verb("requests", "update", "Change a request that waits."),
    "ssh": Verb("ssh", "ssh", "Log in to a board that is held, with OpenSSH."),
    "exec": Verb("ssh", "exec_", "Run CMD on a board that is held."),
    "put": Verb("files", "put", "Copy files to a board that is held."),
    "get": Verb("files", "get", "Copy files from a board that is held."),
    "forward": Verb("files", "forward", "Make ports of a board reachable here."),
    "power": Verb("board", "power", "Switch the power of a board's target."),
    "mux": Verb("board", "mux", "Give a board's card to the board or to its target."),
    "current": Verb("board", "current", "Print what a board's target takes, in mA."),
    "console": Verb("board", "console", "Open the serial line of a board's target."),
    "led": Verb("board", "led", "Set an LED of a board."),
    "text": Verb("board", "text", "Show words on a board's display."),
    "ssh-config": Verb("ssh", "ssh_config", "Print lines for OpenSSH, scp, rsync, Ansible."),
    "workers": Verb("workers", "workers", "List workers: states, and who holds them until when."),
    "worker": Verb("worker", "worker", "Look at one worker, or (admin) change it."),
    "watch": Verb("watch", "watch", "Show each change as it happens."),
    "who": Verb("watch", "who", "Show who holds which board, until when and for what."),
    "history": Verb("history", "history", "Show who did what to a request or worker, and why."),
    "stats": Verb("stats", "stats", "Show how the farm is used: queue, waits, holds, turn-over."),
    "plan": Verb("plan", "plan", "Show what more boards would change, by a simulation."),
    "key": Verb("keys", "key", "Admit keys to the server on this machine."),
    "backup": Verb("store", "backup", "Copy the server's database, also while it runs."),
    "restore": Verb("store", "restore", "Put a backup in the place of the database."),
    "check-store": Verb("store", "check_store", "Tell what is wrong with a database."),
    "version": Verb("version", "version", "The version of this program."),
}
ALIASES: Final = {"release": "close", "cancel": "close"}


class NobodyReads(Exception):
    """Whoever read our output has left."""


class Verbs(click.Group):
    """A group that imports a verb when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the day's work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command."""
        found = VERBS.get(ALIASES.get(cmd_name, cmd_name))
        if found is None:
            return None
        command = getattr(importlib.import_module(f"boruta.cli.{found.module}"), found.name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb. click would end the process where nobody reads our output any more."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise NobodyReads from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the words begin with; an unknown one is told what there is."""
        if args and ALIASES.get(args[0], args[0]) not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(_unknown(args[0]), ctx)
        return super().resolve_command(ctx, args)


def _unknown(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, [*VERBS, *ALIASES], 1)
    if near:
        return f"no verb {word!r}; did you mean {near[0]!r}?"
    return f"no verb {word!r}; there are: {', '.join(VERBS)}"


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog="Example: boruta run -c arch=armv7l -- uname -a",
)
@click.version_option(VERSION, prog_name="boruta", message="%(prog)s %(version)s")
@connection
def boruta() -> None:
    """Runs a farm of boards: asks for one, uses it over SSH, gives it back.

    The server is found by --server, BORUTA_SERVER, a profile of config.toml, or the data directory
    of a server on this machine, in this order.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status."""
    open_closed()
    forgive_encoding()
    sys.exit(_status(args))


def _status(args: Sequence[str] | None) -> int:
    try:
        result = boruta.main(args, prog_name="boruta", standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:
        return _tell(error)
    except KeyboardInterrupt:
        _say("boruta: interrupted")
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _tell(error: Exception) -> int:
    """Says what went wrong; the exit status. Never a traceback, unless BORUTA_DEBUG is set."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.UsageError() if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 on
            error.show()
            return 2
        case click.ClickException():
            _say(f"boruta: {error.format_message()}   [bad_request]")
            ctx = getattr(error, "ctx", None)
            if ctx is not None:
                _say(f"        {ctx.command_path} --help tells what is allowed")
            return 2
        case click.Abort():
            _say("boruta: interrupted")
            return INTERRUPTED
        case BorutaError():
            _debug()
            _say(f"boruta: {error.message or type(error).__name__}   [{error.code}]")
            return error.exit_status
        case NobodyReads() | BrokenPipeError():
            _silence()
            return BROKEN_PIPE
        case OSError():
            _debug()
            _silence()
            named = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            if error.errno == errno.ENOSPC and not error.filename:
                named = "what it writes to is full: "
            _say(f"boruta: {named}{error.strerror or error}   [internal]")
            return 1
    _debug()
    _say(
        f"boruta: a defect of Boruta's: {type(error).__name__}: {error}; "
        "BORUTA_DEBUG=1 shows where   [internal]"
    )
    return 1


def _say(text: str) -> None:
    from boruta.cli.talk import tell

    tell(text)


def _debug() -> None:
    if os.environ.get("BORUTA_DEBUG"):
        import traceback

        traceback.print_exc()


def _silence() -> None:
    """What stdout does not take is dropped, or the interpreter would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
