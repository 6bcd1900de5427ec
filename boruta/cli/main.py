"""The `boruta` command: finds the verb, and turns errors into a line and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from boruta.cli.options import connection
from boruta.domain.errors import BorutaError, ShuttingDown
from boruta.version import VERSION

# verb -> (module, name of its click command); only the verb that is used is imported.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "demo"),
    "server": ("server", "server"),
    "run": ("run", "run"),
    "shell": ("run", "shell"),
    "request": ("requests", "request"),
    "requests": ("requests", "requests"),
    "show": ("requests", "show"),
    "wait": ("requests", "wait"),
    "acquire": ("requests", "acquire"),
    "prolong": ("requests", "prolong"),
    "close": ("requests", "close"),
    "update": ("requests", "update"),
    "ssh": ("ssh", "ssh"),
    "exec": ("ssh", "exec_"),
    "put": ("ssh", "put"),
    "get": ("ssh", "get"),
    "forward": ("ssh", "forward"),
    "ssh-config": ("ssh", "ssh_config"),
    "workers": ("workers", "workers"),
    "worker": ("workers", "worker"),
    "watch": ("watch", "watch"),
    "who": ("watch", "who"),
    "key": ("keys", "key"),
    "version": ("version", "version"),
}
ALIASES: Final = {"release": "close", "cancel": "close"}


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
        module, name = found
        command = getattr(importlib.import_module(f"boruta.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the words begin with; an unknown one is told what there is."""
        if args and ALIASES.get(args[0], args[0]) not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no verb {args[0]!r}; there are: {', '.join(VERBS)}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="boruta", message="%(prog)s %(version)s")
@connection
def boruta() -> None:
    """Runs a farm of boards: asks for one, uses it over SSH, gives it back.

    The server is found by --server, BORUTA_SERVER, a profile of config.toml, or the data directory
    of a server on this machine, in this order.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status."""
    sys.exit(_status(args))


def _status(args: Sequence[str] | None) -> int:
    try:
        result = boruta.main(args, prog_name="boruta", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("boruta: interrupted", err=True)
        return 130
    except ShuttingDown as error:
        return _tell(error)
    except BorutaError as error:
        return _tell(error)
    except BrokenPipeError:
        # Whoever read our output has left; nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def _tell(error: BorutaError) -> int:
    click.echo(f"boruta: {error.message or type(error).__name__}   [{error.code}]", err=True)
    return error.exit_status
