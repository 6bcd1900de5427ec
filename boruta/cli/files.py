"""Verbs that copy files and forward ports of a board that is held: put, get, forward."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import click

from boruta.cli.options import connection
from boruta.cli.ssh import held, is_id, which
from boruta.cli.talk import tell
from boruta.domain.errors import NotFoundError, UsageError

LOOK_S = 0.5  # so often it is looked whether the board is still held


@click.command(epilog="Example: boruta put 17 image.bin config/ .")
@connection
@click.argument("words", nargs=-1, metavar="[ID] LOCAL... REMOTE")
def put(words: tuple[str, ...]) -> None:
    """Copy files or directories to the board.

    REMOTE counts from the home; . is the home. With LOCAL alone it goes there under its own name.
    """
    rest = list(words)
    req_id = which(rest)
    if not rest:
        raise UsageError("put: nothing to copy (want LOCAL... REMOTE)")
    *sources, target = rest if len(rest) > 1 else [rest[0], ""]
    for source in sources:
        if not Path(source).exists():
            raise UsageError(f"put: {source!r} is not there")
    into = "" if target == "." else target
    with held(req_id) as board:
        if len(sources) > 1 and into and board.run(["test", "-d", _path(into)]).returncode:
            raise UsageError(f"put: {target!r} on the board is no directory to hold several")
        for source in sources:
            board.put(source, into)


def _path(text: str) -> str:
    # `test` would take it for one of its own words.
    return text if text.startswith("/") else f"./{text.removeprefix('~/')}"


@click.command(epilog="Example: boruta get 17 results/log.txt .")
@connection
@click.argument("words", nargs=-1, metavar="[ID] REMOTE... LOCAL")
def get(words: tuple[str, ...]) -> None:
    """Copy files or directories from the board. LOCAL defaults to the directory you are in."""
    rest = list(words)
    req_id = which(rest)
    if not rest:
        raise UsageError("get: nothing to copy (want REMOTE... LOCAL)")
    *sources, target = rest if len(rest) > 1 else [rest[0], "."]
    if len(sources) > 1 and not Path(target).is_dir():
        raise UsageError(f"get: {target!r} here is no directory to hold several")
    if not Path(target).absolute().parent.is_dir():
        raise UsageError(f"get: there is no directory {str(Path(target).parent)!r} here")
    with held(req_id) as board:
        for source in sources:
            try:
                board.get(source, target)
            except NotFoundError as error:
                raise NotFoundError(f"get: {source!r} {error.message}") from None


@click.command(epilog="Example: boruta forward 17 8080:80")
@connection
@click.argument("words", nargs=-1, metavar="[ID] [LOCAL:][HOST:]PORT...")
def forward(words: tuple[str, ...]) -> None:
    """Make ports of the board's side reachable on this machine's loopback, until Ctrl-C.

    With BORUTA_REQUEST set a lone number is a port. Each line says which port here leads where.
    """
    rest = list(words)
    req_id, ports = _ports(rest)
    with held(req_id) as board:
        opened = [
            board.forward(port, host or "localhost", local_port=here) for here, host, port in ports
        ]
        for (_, host, port), here in zip(ports, opened, strict=True):
            click.echo(f"127.0.0.1:{int(here)} -> {host or 'localhost'}:{port}")
        sys.stdout.flush()
        pause = threading.Event()
        try:
            while not pause.wait(LOOK_S):
                if board.lost is not None:
                    raise board.lost
        except KeyboardInterrupt:
            tell("forwarding ends; the board stays yours")


def _ports(words: list[str]) -> tuple[int, list[tuple[int, str, int]]]:
    # A lone number is a port: with BORUTA_REQUEST set an id need not be given.
    alone = len(words) < 2 and is_id(os.environ.get("BORUTA_REQUEST", ""))
    req_id = which([] if alone else words)
    if not words:
        raise UsageError("forward: no port given (want [LOCAL:][HOST:]PORT)")
    return req_id, [_port(word) for word in words]


def _port(word: str) -> tuple[int, str, int]:
    match word.split(":"):
        case [port]:
            found = ("", "", port)
        case [first, port] if is_id(first):
            found = (first, "", port)
        case [host, port]:
            found = ("", host, port)
        case [local, host, port]:
            found = (local, host, port)
        case _:
            found = ("", "", "")
    here, host, there = found
    if is_port(there) and (not here or is_port(here)):
        return int(here or 0), host, int(there)
    raise UsageError(f"forward: {word!r}: want [LOCAL:][HOST:]PORT, ports 1 to 65535")


def is_port(text: str) -> bool:
    """Whether it is the number of a TCP port."""
    return is_id(text) and len(text) < 6 and 0 < int(text) < 65536
