"""Finds the server to talk to, and the keys to do it with.

A flag beats the environment, which beats the profile, which beats a server on this machine: its
data directory has `server.json` and `keys/local.key_secret`, and who can read them is admin.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from boruta import places
from boruta.domain import defaults
from boruta.domain.errors import BadConfig, TimedOut, Unreachable
from boruta.profiles import ClientConfig, Profile, load_client_config
from boruta.version import SOFTWARE

if TYPE_CHECKING:
    from boruta import aio
    from transport.client import Address, KeyPair, Link

NO_KEY: Final = "none"  # instead of a server key: no encryption, for a server with --insecure
CALL_WITHIN_S: Final = 60.0  # longer than the longest command to a board, and than a restart
_START: Final = "start one with: boruta server"


class Found(NamedTuple):
    """Where to connect, with which keys, and how that was found."""

    servers: list[Address]
    keys: KeyPair | None
    insecure: bool
    origin: str


class _Local(NamedTuple):
    """A server that runs on this machine, as its data directory says."""

    data: Path
    url: str
    server_key: str


def find(
    url: str | Sequence[str] | None,
    server_key: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    profile: str | None,
    data: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
) -> Found:
    """What to connect to.

    Args:
        url: address(es) given by the caller, ``tcp://HOST:PORT`` or ``HOST[:PORT]``.
        server_key: 40 Z85 characters, a file, or ``none`` for a server with ``--insecure``.
        key: the file of the caller's own key.
        profile: a name in config.toml.
        data: a server's data directory; it alone is then looked at.
        environ: BORUTA_SERVER, BORUTA_SERVER_KEY, BORUTA_KEY, BORUTA_PROFILE and the XDG names.

    Raises:
        Unreachable: there is no server to be found; the text says where was looked.
        BadConfig: a value or a file that cannot be used.
        NotPermitted: a key file that others can read.
    """
    if data is not None and not url:
        return _local_only(Path(data), key)
    chosen = _profile(profile, environ)
    said = chosen if profile else None  # a profile named by the caller beats the environment
    origin = "the address given"
    servers = _listed(url)
    if not servers and said is not None:
        servers, origin = list(said.server), f"profile {said.name!r}"
    if not servers and environ.get("BORUTA_SERVER"):
        servers, origin = _listed(environ["BORUTA_SERVER"]), "BORUTA_SERVER"
    if not servers and chosen is not None:
        servers, origin = list(chosen.server), f"profile {chosen.name!r}"
    if not servers:
        return _nobody_said(key, environ)
    urls = [read_address(one, origin) for one in servers]
    matching = _of_same_server(chosen, load_client_config(environ), urls)
    local = _peek(Path(data) if data is not None else places.data_dir(environ))
    here = local is not None and local.url in urls
    text = _first(
        server_key,
        said.server_key if said is not None else "",
        environ.get("BORUTA_SERVER_KEY"),
        matching.server_key if matching is not None else "",
        local.server_key if local is not None and here else "",
    )
    if not text:
        raise BadConfig(
            f"{urls[0]} ({origin}): its public key is not known; give --server-key, "
            "BORUTA_SERVER_KEY or server_key in a profile "
            "(it stands in DATA/keys/server.key on the server)"
        )
    mine = _first(
        key,
        said.key if said is not None else "",
        environ.get("BORUTA_KEY"),
        matching.key if matching is not None else "",
        _local_key(local.data) if local is not None and here else "",
    )
    return _assemble(urls, text, mine, origin)


def _assemble(urls: Sequence[str], server_key: str, mine: str, origin: str) -> Found:
    from boruta.pairs import load_pair, read_server_key
    from transport.client import Address

    if server_key == NO_KEY:
        return Found([Address(url, "") for url in urls], None, True, origin)
    if not mine:
        raise BadConfig(
            f"{urls[0]} ({origin}): you have no key for it; an admin makes one with "
            "`boruta key new NAME --role user`, then give --key, BORUTA_KEY or key in a profile"
        )
    public = read_server_key(server_key)
    keys = load_pair(Path(mine).expanduser())
    return Found([Address(url, public) for url in urls], keys, False, origin)


# --- who says what
def _profile(name: str | None, environ: Mapping[str, str]) -> Profile | None:
    config = load_client_config(environ)
    return config.profile(name or environ.get("BORUTA_PROFILE") or None)


def _of_same_server(
    chosen: Profile | None, config: ClientConfig, urls: Sequence[str]
) -> Profile | None:
    """The profile that knows this server: keys of another server are of no use here."""
    profiles = ([] if chosen is None else [chosen]) + list(config.profiles.values())
    for profile in profiles:
        if any(read_address(one, f"profile {profile.name!r}") in urls for one in profile.server):
            return profile
    return None


def _first(*values: str | os.PathLike[str] | None) -> str:
    return next((os.fspath(value) for value in values if value), "")


def _listed(url: str | Sequence[str] | None) -> list[str]:
    if url is None:
        return []
    listed = url.split(",") if isinstance(url, str) else url
    return [one.strip() for one in listed if one.strip()]


def read_address(text: str, origin: str) -> str:
    """A server's address in full; the port may be left out.

    Raises:
        BadConfig: it is none; the text says what is allowed.
    """
    rest = text.removeprefix("tcp://")
    host, _, port = rest.rpartition(":")
    if not host or rest.endswith("]"):
        host, port = rest, str(defaults.ZMQ_PORT)
    bad = not host or "/" in host or (":" in host and not host.startswith("["))
    if "://" in rest or bad or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadConfig(
            f"{text!r} ({origin}): want tcp://HOST:PORT or HOST, as tcp://boruta.lab:7175"
        )
    return f"tcp://{host}:{int(port)}"


# --- a server on this machine
def _local_only(data: Path, key: str | os.PathLike[str] | None) -> Found:
    local = _running(data)
    if local is None:
        raise Unreachable(
            f"no server runs on {data} (there is no {places.server_json(data)}); "
            f"start one with: boruta server --data {data}"
        )
    mine = _first(key) or _local_key(data)
    return _assemble([local.url], local.server_key or NO_KEY, mine, f"{data}")


def _nobody_said(key: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Found:
    data = places.data_dir(environ)
    if _running(data) is not None:
        return _local_only(data, key)
    raise Unreachable(
        "no server is known: neither --server, BORUTA_SERVER nor a profile in "
        f"{places.client_config_path(environ)} names one, and none runs here "
        f"(there is no {places.server_json(data)}); {_START}"
    )


def _running(data: Path) -> _Local | None:
    """The server that runs on this data directory; None if there is no sign of one.

    Raises:
        Unreachable: it was killed, and its sign is left.
        BadConfig: the sign cannot be read.
    """
    path = places.server_json(data)
    try:
        said: Any = json.loads(path.read_bytes())
        pid, url = said["pid"], said["url"]
        server_key = said.get("server_key") or ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise BadConfig(
            f"{path}: you may not read it; a server of another user needs a key of yours: "
            "--server, --server-key and --key, or a profile"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadConfig(f"{path}: not what a server writes ({error})") from None
    if not isinstance(pid, int) or not isinstance(url, str) or not isinstance(server_key, str):
        raise BadConfig(f"{path}: not what a server writes")
    if not _alive(pid):
        raise Unreachable(
            f"the server on {data} is not running: {path} names process {pid}, which is gone; "
            f"start it with: boruta server --data {data}"
        )
    return _Local(data, url, "" if said.get("insecure") else server_key)


def _peek(data: Path) -> _Local | None:
    try:
        return _running(data)
    except (Unreachable, BadConfig):
        return None  # another server is asked for; this one's state is of no interest


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _local_key(data: Path) -> str:
    return str(places.keys_dir(data) / "local.key_secret")


# --- connecting
class _Patient:
    """A link whose calls end also where the server stays away: nobody waits for ever."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def call(
        self, kind: str, body: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        # An acquire waits as long as it is meant to; the other calls have their answer at once.
        if timeout is not None or kind == "requests.acquire":
            return await self._link.call(kind, body, timeout)
        try:
            return await self._link.call(kind, body, CALL_WITHIN_S)
        except TimedOut as late:
            raise Unreachable(f"the server is out of reach: {late.message}") from None


async def open_client(found: Found, timeout: float | None) -> aio.Client:
    """A client over a new connection.

    Raises:
        Unreachable: nothing answered within `timeout` seconds; the text says what to do.
        NotPermitted: the server does not admit the key.
    """
    from boruta import aio
    from transport.client import Link
    from transport.remote_requests import (
        RemoteFeed,
        RemoteHistory,
        RemoteRequests,
        RemoteWorkers,
    )

    link = Link(found.servers, found.keys, role="user", software=SOFTWARE, insecure=found.insecure)
    try:
        await link.open(timeout)
    except BaseException as error:
        await link.close()
        if isinstance(error, Unreachable):
            raise Unreachable(
                f"{error.message} (address from {found.origin}); is `boruta server` running there?",
                **error.details,
            ) from None
        raise
    patient = cast("Link", _Patient(link))
    requests = RemoteRequests(patient)
    return aio.Client(
        requests,
        RemoteWorkers(patient),
        feed=RemoteFeed(link),
        history=RemoteHistory(patient),
        info=requests.info,
        on_close=link.close,
    )
