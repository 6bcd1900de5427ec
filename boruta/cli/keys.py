"""`boruta key`: who is admitted to the server of a data directory, whether it runs or not."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from boruta.keys import KeyRing

F = TypeVar("F", bound=Callable[..., Any])


def _data(command: F) -> F:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The server's data directory; else its usual place.",
    )(command)


def _rights(command: F) -> F:
    role = click.option("--role", required=True, help="worker, user or admin.")
    group = click.option(
        "--group", "groups", multiple=True, metavar="G", help="Worker groups; none: any."
    )
    return role(group(command))


def _ring(data: Path | None, *, make: bool) -> KeyRing:
    from boruta import places
    from boruta.keys import KeyRing

    # What the server would log of a file that admits nobody, `key list` says itself.
    logging.getLogger("boruta.keys").addHandler(logging.NullHandler())
    # --data may also stand before the verb, where it is kept for all of them.
    given = data or click.get_current_context().find_root().ensure_object(dict).get("data")
    return KeyRing.open(Path(given or places.data_dir(os.environ)).expanduser(), make=make)


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
@_data
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
@click.argument("file", type=click.Path(path_type=Path))
@_data
def add(name: str, role: str, groups: tuple[str, ...], file: Path, data: Path | None) -> None:
    """Admit the public key in FILE, made elsewhere, as NAME."""
    from boruta.keys import read_server_key

    peer = _ring(data, make=True).add(name, role, groups, read_server_key(str(file)))
    click.echo(f"{peer.name} is admitted as {peer.role}", err=True)


@key.command("list")
@click.option("-o", "--output", type=click.Choice(["table", "json", "id"]), default="table")
@_data
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
@_data
def remove(name: str, data: Path | None) -> None:
    """Admit NAME no more: cut its connections, end what it holds."""
    _ring(data, make=False).remove(name)
    click.echo(f"{name} is not admitted any more", err=True)
