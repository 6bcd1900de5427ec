"""Verbs that run something on a board that is held: ssh, exec, ssh-config."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boruta.cli.options import RequestId, client, connection
from boruta.cli.result import shell_status
from boruta.domain.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.domain.types import AccessInfo
    from boruta.reservation import Reservation


_ID = "boruta.cli.id"


def which(words: list[str]) -> int:
    """The request: the first word if it is all digits (it is taken off), else $BORUTA_REQUEST."""
    if words and is_id(words[0]):
        return RequestId().convert(words.pop(0), None, None)
    given = os.environ.get("BORUTA_REQUEST", "")
    if not is_id(given):
        raise UsageError("which request? want an ID, or BORUTA_REQUEST set (boruta run --local)")
    return RequestId().convert(given, None, None)


def which_of(id: int | None) -> int:
    """The request that was given, else $BORUTA_REQUEST."""
    return which([]) if id is None else id


def is_id(word: str) -> bool:
    """An argument is a request's id if it is all digits."""
    return word.isascii() and word.isdecimal()


@contextmanager
def held(req_id: int) -> Iterator[Reservation]:
    """The board of a request; one that waits is waited for, and why is shown."""
    with client() as boruta:
        _served(boruta, req_id)
        with boruta.attach(req_id) as board:
            yield board


def _served(boruta: Client, req_id: int) -> None:
    from boruta.cli.waiting import until_served

    until_served(boruta, req_id)


def access_of(req_id: int) -> AccessInfo:
    """How to reach the board of a request; one that waits is waited for."""
    with client() as boruta:
        _served(boruta, req_id)
        return boruta.acquire_worker(req_id)


class OfBoard(click.Command):
    """`[OPTIONS] [ID] [OPTIONS] [--] CMD...`: from CMD's first word on all is CMD's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses our options; keeps the id for `target` and leaves CMD in `words`."""
        rest = list(args)
        ours = self._options(ctx, rest)
        if rest and is_id(rest[0]):
            ctx.meta[_ID] = rest.pop(0)
            ours += self._options(ctx, rest)
        if rest and rest[0] == "--":
            rest.pop(0)
        return super().parse_args(ctx, [*ours, "--", *rest])

    def _options(self, ctx: click.Context, rest: list[str]) -> list[str]:
        """Takes the options off the front of the words, with their values."""
        valued = {
            name
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        found: list[str] = []
        while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
            word = rest.pop(0)
            found.append(word)
            if word in valued and rest:
                found.append(rest.pop(0))
        return found


def target() -> int:
    """The request that the words of an `OfBoard` name, else $BORUTA_REQUEST."""
    given = click.get_current_context().meta.get(_ID)
    return which([] if given is None else [given])


@click.command(cls=OfBoard, epilog="Example: boruta ssh 17")
@connection
@click.argument("words", nargs=-1, metavar="[ID] [[--] CMD...]", type=click.UNPROCESSED)
def ssh(words: tuple[str, ...]) -> int:
    """Log in with the OpenSSH client; with CMD run it. ID defaults to $BORUTA_REQUEST."""
    from boruta.ssh import find_openssh, ssh_files

    req_id = target()
    program = find_openssh()
    if program is None:
        if not words:
            with held(req_id) as board:
                return board.shell()
        raise NotFoundError(f"no ssh program here; boruta exec {req_id} -- CMD needs none")
    with ssh_files(access_of(req_id)) as files:
        code = subprocess.call(files.ssh(*words, program=program))
    return shell_status(code)


@click.command("exec", cls=OfBoard, epilog="Example: boruta exec 17 -- make -C src test")
@connection
@click.option("-e", "--env", "env", multiple=True, metavar="K=V", help="Set for CMD.")
@click.argument("words", nargs=-1, metavar="[ID] -- CMD...", type=click.UNPROCESSED)
def exec_(env: tuple[str, ...], words: tuple[str, ...]) -> int:
    """Run CMD on the board; the exit status is CMD's own (128+N for a signal).

    One CMD word is a shell line, several are a command and its arguments. ID defaults to
    $BORUTA_REQUEST.
    """
    from boruta.cli.run import stdin, variables

    req_id = target()
    if not words:
        raise UsageError("exec: no command given (boruta exec ID -- CMD...)")
    found = variables(env) or None
    with held(req_id) as board:
        command: Any = words[0] if len(words) == 1 else words
        code = board.stream(command, stdin=stdin(), env=found)
    return shell_status(code)


@click.command("ssh-config", epilog="Example: boruta ssh-config 17 > cfg; scp -F cfg f board-17:")
@connection
@click.argument("id", required=False, type=RequestId())
@click.option("--alias", metavar="NAME", help="The host's name for ssh; default board-ID.")
@click.option("--dir", "directory", metavar="DIR", help="Where the key is written (mode 0600).")
def ssh_config(id: int | None, alias: str | None, directory: str | None) -> None:
    """Print lines for plain OpenSSH, scp, rsync and Ansible.

    The job's key and the board's host key are written into DIR, by default a new directory under
    the runtime directory; the key opens nothing once the job is over.
    """
    from boruta.ssh import ssh_config_lines, write_files

    req_id = which_of(id)
    access = access_of(req_id)
    place = Path(directory) if directory else _key_place(req_id)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("key", "known_hosts"):
        (place / name).unlink(missing_ok=True)
    files = write_files(access, place.absolute())
    try:
        click.echo(ssh_config_lines(access, alias or f"board-{req_id}", files), nl=False)
    except ValueError as error:
        raise UsageError(f"--alias: {error}") from None


def _key_place(req_id: int) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "boruta" / f"request-{req_id}"
    return Path(tempfile.mkdtemp(prefix=f"boruta-request-{req_id}-"))
