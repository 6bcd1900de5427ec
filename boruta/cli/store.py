"""`boruta backup`, `restore`, `check-store`: the database of a data directory on this machine."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from boruta.cli.options import data_dir, data_option


@click.command(epilog="Example: boruta backup /srv/backups/boruta-$(date +%F).db")
@click.argument("file", type=click.Path(path_type=Path))
@data_option
def backup(file: Path, data: Path | None) -> None:
    """Copy the database to FILE, which must not exist yet; the server may run.

    The copy holds no keys of the server: DATA/keys is to be kept too, at another place.
    """
    from boruta.store.backup import backup as copy

    place = data_dir(data)
    size = copy(place, file)
    click.echo(file)
    click.echo(f"{size} bytes; {place / 'keys'} is not in it: keep it too, elsewhere", err=True)


@click.command(epilog="Example: boruta restore /srv/backups/boruta-2026-01-31.db")
@click.argument("file", type=click.Path(path_type=Path))
@data_option
def restore(file: Path, data: Path | None) -> None:
    """Put the backup FILE in the place of the database; the server must be stopped.

    The database that was there is kept in DATA/backups.
    """
    from boruta.store.backup import restore as put_back

    kept = put_back(file, data_dir(data), lambda: datetime.now(UTC))
    if kept is not None:
        click.echo(f"what was there is now {kept}", err=True)
    click.echo("restored; ids and epochs go on far beyond those of the backup", err=True)


@click.command("check-store", epilog="Example: boruta check-store")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@data_option
def check_store(file: Path | None, output: str, data: Path | None) -> None:
    """Tell what is wrong with the database, or with the backup FILE; nothing is changed.

    Exit status 1 if something is; the server may run meanwhile.
    """
    from boruta import places
    from boruta.domain.errors import NotFoundError
    from boruta.store.check import check
    from boruta.store.seal import Seal

    place = data_dir(data)
    path = places.database_file(place) if file is None else file
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file", path=str(path))
    key = places.keys_dir(place) / "store.key"
    findings = check(path, Seal.of(key) if key.exists() else None)
    if output == "json":
        told = [{"code": one.code, "text": one.text, "bad": one.bad} for one in findings]
        click.echo(json.dumps(told))
    else:
        for one in findings:
            click.echo(f"{'WRONG' if one.bad else 'note':<5}  {one.code:<14} {one.text}")
    bad = sum(one.bad for one in findings)
    click.echo(f"{path}: {bad} wrong" if bad else f"{path}: nothing is wrong", err=True)
    sys.exit(1 if bad else 0)
