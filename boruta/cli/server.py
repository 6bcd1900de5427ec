"""`boruta server`: runs a server in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

HAND_OVER_WITHIN_S: Final = 3.0


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
@click.option("--http", metavar="ADDR|off", help="Where /healthz and /readyz are; default off.")
@click.option("--ssh", metavar="ADDR|off", help="Only off in this version.")
@click.option("--insecure", is_flag=True, default=None, help="No keys: EVERY peer is an admin.")
@click.option(
    "--join",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the keys from what `boruta key share FILE` wrote: to stand by for another server.",
)
@click.option(
    "--hand-over", is_flag=True, help="Have the server that runs on DATA let another lead."
)
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORM", help="text or json.")
def server(config: Path | None, join: Path | None, hand_over: bool, **flags: object) -> None:
    """Run a server until SIGTERM or Ctrl-C; SIGHUP reads keys and config again.

    Without --config the files /etc/boruta/boruta.toml and ~/.config/boruta/boruta.toml count;
    flags beat both. Of several servers on one PostgreSQL one leads, the others stand by.
    """
    from boruta.config import ServerConfig, load_server_config
    from boruta.server import run

    # --data may also stand before the verb, where it is kept for all of them.
    before = click.get_current_context().find_root().ensure_object(dict).get("data")
    flags["data"] = flags["data"] or (Path(before) if before else None)

    def load() -> ServerConfig:
        return load_server_config(config, os.environ, **flags)

    loaded = load()
    if hand_over:
        sys.exit(_hand_over(loaded.server.data))
    if join is not None:
        from boruta.sharing import join as take_keys

        take_keys(loaded.server.data, join)
    sys.exit(run(loaded, load))


def _hand_over(data: Path) -> int:
    """Tells the server that runs on DATA, and waits until it has stepped down."""
    import json
    import time

    from boruta import places
    from boruta.cli.talk import tell
    from boruta.domain.errors import ActionRefused, NotFoundError
    from boruta.server import HAND_OVER

    path = places.server_json(data)
    try:
        os.kill(int(json.loads(path.read_text())["pid"]), HAND_OVER)
    except (OSError, ValueError, KeyError):
        raise NotFoundError(f"{data}: no server leads here", path=str(data)) from None
    began = time.monotonic()
    while path.exists():
        if time.monotonic() - began > HAND_OVER_WITHIN_S:
            raise ActionRefused(
                "it did not hand over: is another server there on the same database? Its log has "
                "the reason"
            )
        time.sleep(0.02)
    tell(f"handed over after {time.monotonic() - began:.1f} s")
    return 0
