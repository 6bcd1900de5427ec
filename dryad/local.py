"""A server on this machine, found by its DATA: where it listens, and the key of who can read it."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from boruta.domain.errors import BadConfig, BorutaError
from boruta.guarded import check_private
from boruta.pairs import load_pair
from dryad.logs import event

if TYPE_CHECKING:
    from transport.client import Address, KeyPair

_log = logging.getLogger("dryad.local")

LOOK_EVERY_S: Final = 0.5  # a server that starts, or comes back somewhere else


class LocalServer(NamedTuple):
    """A server that says that it runs."""

    address: Address
    keys: KeyPair
    insecure: bool


def look(data: Path) -> LocalServer | None:
    """The server that runs on `data`; None if none says so.

    Raises:
        NotPermitted: others can read DATA or the key.
        BadConfig: what stands there cannot be used.
    """
    from transport.client import Address

    path = data / "server.json"
    if data.exists() and not data.is_dir():
        raise BadConfig(f"{data}: the data directory cannot be used: it is a file")
    try:
        check_private(data, "data directory")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{path}: not what a server writes there") from None
    try:
        found = json.loads(text)
        url, server_key = str(found["url"]), str(found["server_key"])
        insecure = bool(found.get("insecure", False))
    except (ValueError, KeyError, TypeError):
        raise BadConfig(f"{path}: not what a server writes there") from None
    keys = load_pair(data / "keys" / "local.key_secret")
    return LocalServer(Address(url, server_key), keys, insecure)


async def wait_for(data: Path) -> LocalServer:
    """The server that runs on `data`, as soon as there is one.

    Raises:
        NotPermitted: others can read DATA or the key.
        BadConfig: what stands there cannot be used.
    """
    said = False
    while True:
        found = look(data)
        if found is not None:
            return found
        if not said:
            event(
                _log,
                logging.WARNING,
                "waiting_for_server",
                data=data,
                start_one_with=f"boruta server --data {data}",
            )
            said = True
        await asyncio.sleep(LOOK_EVERY_S)


async def next_one(data: Path, known: LocalServer) -> LocalServer:
    """The server that runs on `data` once it is another one, or somewhere else."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            found = look(data)
        except BorutaError as error:
            event(_log, logging.DEBUG, "server_not_found", data=data, error=error)
            continue
        if found is not None and found != known:
            return found
