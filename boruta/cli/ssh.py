"""Verbs that use a board that is held: ssh, exec, put, get, forward, ssh-config."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import click

from boruta.cli.options import client, connection
from boruta.cli.requests import tell
from boruta.domain.errors import NotFoundError, UsageError


def which(words: list[str]) -> int:
    """The request: the first word if it is all digits (it is taken off), else $BORUTA_REQUEST."""
    if words and words[0].isdecimal():
        return int(words.pop(0))
    given = os.environ.get("BORUTA_REQUEST", "")
    if not given.isdecimal():
        raise UsageError("which request? want an ID, or BORUTA_REQUEST set (boruta run --local)")
    return int(given)


@click.command(context_settings={"ignore_unknown_options": True})
@connection
@click.argument("words", nargs=-1, metavar="[ID] [CMD...]", type=click.UNPROCESSED)
def ssh(words: tuple[str, ...]) -> int:
    """Log in with the OpenSSH client; with CMD run it. ID defaults to $BORUTA_REQUEST."""
    from boruta.ssh import find_openssh, ssh_files

    rest = list(words)
    req_id = which(rest)
    if rest and rest[0] == "--":
        rest.pop(0)
    program = find_openssh()
    if program is None:
        if not rest:
            with client() as boruta, boruta.attach(req_id) as board:
                return board.shell()
        raise NotFoundError(f"no ssh program here; boruta exec {req_id} -- CMD needs none")
    with client() as boruta:
        access = boruta.acquire_worker(req_id)
    with ssh_files(access) as files:
        return subprocess.call(files.ssh(*rest, program=program))


@click.command("exec", context_settings={"ignore_unknown_options": True})
@connection
@click.option("-e", "--env", "env", multiple=True, metavar="K=V", help="Set for CMD.")
@click.argument("words", nargs=-1, metavar="[ID] -- CMD...", type=click.UNPROCESSED)
def exec_(env: tuple[str, ...], words: tuple[str, ...]) -> int:
    """Run CMD on the board; the exit status is CMD's own (128+N for a signal)."""
    from boruta.cli.run import _stdin, _variables

    rest = list(words)
    req_id = which(rest)
    if rest and rest[0] == "--":
        rest.pop(0)
    if not rest:
        raise UsageError("exec: no command given (boruta exec ID -- CMD...)")
    with client() as boruta, boruta.attach(req_id) as board:
        command: Any = rest[0] if len(rest) == 1 else rest
        code = board.stream(command, stdin=_stdin(), env=_variables(env) or None)
    return 128 - code if code < 0 else code


@click.command()
@connection
@click.argument("words", nargs=-1, metavar="[ID] LOCAL... REMOTE")
def put(words: tuple[str, ...]) -> None:
    """Copy files or directories to the board. REMOTE counts from the home; . is the home."""
    rest = list(words)
    req_id = which(rest)
    if not rest:
        raise UsageError("put: want LOCAL... REMOTE")
    *sources, target = rest if len(rest) > 1 else [rest[0], ""]
    for source in sources:
        if not Path(source).exists():
            raise UsageError(f"put: {source!r} is not there")
    with client() as boruta, boruta.attach(req_id) as board:
        for source in sources:
            board.put(source, "" if target == "." else target)


@click.command()
@connection
@click.argument("words", nargs=-1, metavar="[ID] REMOTE... LOCAL")
def get(words: tuple[str, ...]) -> None:
    """Copy files or directories from the board. LOCAL defaults to the directory you are in."""
    rest = list(words)
    req_id = which(rest)
    if not rest:
        raise UsageError("get: want REMOTE... LOCAL")
    *sources, target = rest if len(rest) > 1 else [rest[0], "."]
    with client() as boruta, boruta.attach(req_id) as board:
        for source in sources:
            board.get(source, target)


@click.command()
@connection
@click.argument("words", nargs=-1, metavar="[ID] [LOCAL:][HOST:]PORT...")
def forward(words: tuple[str, ...]) -> None:
    """Make ports of the board's side reachable on this machine's loopback, until Ctrl-C."""
    rest = list(words)
    req_id, ports = _ports(rest)
    with client() as boruta, boruta.attach(req_id) as board:
        opened = [
            board.forward(port, host or "localhost", local_port=here) for here, host, port in ports
        ]
        for (_, host, port), here in zip(ports, opened, strict=True):
            click.echo(f"127.0.0.1:{int(here)} -> {host or 'localhost'}:{port}")
        sys.stdout.flush()
        pause = threading.Event()
        try:
            while not pause.wait(0.5):
                if board.lost is not None:
                    raise board.lost
        except KeyboardInterrupt:
            tell("forwarding ends; the board stays yours")


def _ports(words: list[str]) -> tuple[int, list[tuple[int, str, int]]]:
    # A lone number is a port: with BORUTA_REQUEST set an ID need not be given.
    if len(words) > 1 or "BORUTA_REQUEST" not in os.environ:
        req_id = which(words)
    else:
        req_id = int(os.environ["BORUTA_REQUEST"])
    if not words:
        raise UsageError("forward: no port given (want [LOCAL:][HOST:]PORT)")
    return req_id, [_port(word) for word in words]


def _port(word: str) -> tuple[int, str, int]:
    parts = word.split(":")
    try:
        match parts:
            case [port]:
                return 0, "", int(port)
            case [first, port] if first.isdecimal():
                return int(first), "", int(port)
            case [host, port]:
                return 0, host, int(port)
            case [local, host, port]:
                return int(local), host, int(port)
    except ValueError:
        pass
    raise UsageError(f"forward: {word!r}: want [LOCAL:][HOST:]PORT")


@click.command("ssh-config")
@connection
@click.argument("id", required=False, type=click.IntRange(min=0))
@click.option("--alias", metavar="NAME", help="The host's name for ssh; default board-ID.")
@click.option("--dir", "directory", metavar="DIR", help="Where the key is written (mode 0600).")
def ssh_config(id: int | None, alias: str | None, directory: str | None) -> None:
    """Print lines for plain OpenSSH, scp, rsync and Ansible.

    The job's key and the board's host key are written into DIR, by default a new directory under
    the runtime directory; the key opens nothing once the job is over.
    """
    from boruta.ssh import ssh_config_lines, write_files

    req_id = which([] if id is None else [str(id)])
    with client() as boruta:
        access = boruta.acquire_worker(req_id)
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
