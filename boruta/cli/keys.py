"""`boruta key`: who is admitted to the server of a data directory, whether it runs or not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from boruta.cli.options import data_dir, data_option

if TYPE_CHECKING:
    from boruta.keys import KeyRing

F = TypeVar("F", bound=Callable[..., Any])


def _rights(command: F) -> F:
    role = click.option("--role", required=True, help="worker, user or admin.")
    group = click.option(
        "--group", "groups", multiple=True, metavar="G", help="Worker groups; none: any."
    )
    return role(group(command))


def _ring(data: Path | None, *, make: bool) -> KeyRing:
    from boruta.keys import KeyRing

    # What the server would log of a file that admits nobody, `key list` says itself.
    logging.getLogger("boruta.keys").addHandler(logging.NullHandler())
    return KeyRing.open(data_dir(data), make=make)


@click.group(epilog="Example: boruta key new alice --role user --group lab --out keys")
def key() -> None:
    """Admit keys to the server on this machine, list them, take them away."""


@key.command()
@click.argument("name")
@_rights
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where NAME.key and NAME.key_secret go; else here.",
)
@data_option
def new(name: str, role: str, groups: tuple[str, ...], out: Path, data: Path | None) -> None:
    """Make a pair for NAME and admit it."""
    from boruta.domain.types import Role

    ring = _ring(data, make=True)
    if role in set(Role):
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    public_file, secret_file = ring.new(name, role, groups, out)
    click.echo(secret_file)
    click.echo(
        f"{name} is admitted as {role}. Give {secret_file} to its owner alone; "
        f"{public_file} is its public half. The server's key: {ring.server.public}",
        err=True,
    )


@key.command()
@click.argument("name")
@_rights
@click.argument("file")  # no Path, which would take the second of two slashes out of a key
@data_option
def add(name: str, role: str, groups: tuple[str, ...], file: str, data: Path | None) -> None:
    """Admit the public key in FILE, made elsewhere, as NAME. FILE may be the key itself."""
    from boruta.keys import read_server_key

    peer = _ring(data, make=True).add(name, role, groups, read_server_key(file))
    click.echo(f"{peer.name} is admitted as {peer.role}", err=True)


@key.command(epilog="Example: boruta key invite board-17 --server tcp://boruta.lab:7175")
@click.argument("name")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="ADDR",
    help="Where boards reach it, tcp://HOST:PORT; else this machine's name. Repeat it for more.",
)
@data_option
def invite(name: str, servers: tuple[str, ...], data: Path | None) -> None:
    """Print what `dryad enroll TOKEN` needs on the board NAME. Nothing in it is secret."""
    import socket

    from boruta.connecting import read_address
    from boruta.invitation import Invitation, write
    from boruta.peers import check_name

    check_name(name)
    addresses = [read_address(one, "--server") for one in servers or (socket.getfqdn(),)]
    click.echo(write(Invitation(name, tuple(addresses), _ring(data, make=True).server.public)))
    click.echo(f"on the board, as root: dryad enroll TOKEN ({', '.join(addresses)})", err=True)


@key.command("list")
@click.option("-o", "--output", type=click.Choice(["table", "json", "id"]), default="table")
@data_option
def list_keys(output: str, data: Path | None) -> None:
    """List the admitted keys, and key files that admit nobody."""
    ring = _ring(data, make=False)
    peers, broken = ring.peers(), ring.broken()
    if output == "id":
        for peer in peers:
            click.echo(peer.name)
        return
    if output == "json":
        found = [
            {"name": p.name, "role": p.role.value, "groups": list(p.groups), "public_key": p.public}
            for p in peers
        ]
        click.echo(json.dumps(found))
    else:
        rows = [("NAME", "ROLE", "GROUPS", "PUBLIC KEY")]
        rows += [(p.name, p.role.value, ",".join(p.groups) or "any", p.public) for p in peers]
        for row in rows:
            click.echo("{:<20} {:<7} {:<20} {}".format(*row).rstrip())
    for name, why in broken.items():
        click.echo(f"boruta: key {name} admits nobody: {why}", err=True)


@key.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path | None) -> None:
    """Admit NAME no more: cut its connections, end what it holds."""
    _ring(data, make=False).remove(name)
    click.echo(f"{name} is not admitted any more", err=True)


@key.command(epilog="Example: boruta key share standby.json")
@click.argument("file", type=click.Path(path_type=Path))
@data_option
def share(file: Path, data: Path | None) -> None:
    """Write the server's own keys to FILE, for `boruta server --join FILE` on another machine.

    Whoever has FILE can act as this server: carry it over a safe way, then remove it.
    """
    from boruta.cli.talk import tell
    from boruta.sharing import share as write

    write(data_dir(data), file)
    tell(f"{file}: whoever has it can act as this server; remove it when the other has joined")
