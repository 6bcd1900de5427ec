"""`boruta version`."""

from __future__ import annotations

import click

from boruta.version import VERSION


@click.command(epilog="Example: boruta version")
def version() -> None:
    """The version of this program."""
    click.echo(f"boruta {VERSION}")
