"""`boruta server`: runs a server in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


@click.command(epilog="Example: boruta server --data /srv/boruta --bind tcp://0.0.0.0:7175")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="F", help="This boruta.toml only."
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="Where it keeps things."
)
@click.option(
    "--database",
    metavar="URL",
    help="sqlite: (DATA/boruta.db, the default), postgresql://USER@HOST/NAME, or memory:",
)
@click.option("--bind", metavar="ADDR", help="ZeroMQ address; default tcp://127.0.0.1:7175.")
@click.option("--http", metavar="ADDR|off", help="Only off in this version.")
@click.option("--ssh", metavar="ADDR|off", help="Only off in this version.")
@click.option("--insecure", is_flag=True, default=None, help="No keys: EVERY peer is an admin.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORM", help="text or json.")
def server(config: Path | None, **flags: object) -> None:
    """Run a server until SIGTERM or Ctrl-C; SIGHUP reads keys and config again.

    Without --config the files /etc/boruta/boruta.toml and ~/.config/boruta/boruta.toml count;
    flags beat both.
    """
    from boruta.config import ServerConfig, load_server_config
    from boruta.server import run

    # --data may also stand before the verb, where it is kept for all of them.
    before = click.get_current_context().find_root().ensure_object(dict).get("data")
    flags["data"] = flags["data"] or (Path(before) if before else None)

    def load() -> ServerConfig:
        return load_server_config(config, os.environ, **flags)

    sys.exit(run(load(), load))
