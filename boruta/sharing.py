"""Keys that the servers of one database share: the file for `--join`, and the admitted peers."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from boruta import places
from boruta.certificates import Certificate, is_z85_key, write_certificate
from boruta.domain.errors import ActionRefused, BadConfig, BorutaError, NotFoundError
from boruta.domain.ports import Clock
from boruta.guarded import check_private, make_private_dir, write_private
from boruta.pairs import STORE_KEY_BYTES, load_pair
from boruta.peers import Peer

if TYPE_CHECKING:
    from boruta.keys import KeyRing
    from boruta.store.peers import SharedPeers

log = logging.getLogger("boruta.keys")


# --- the file for `boruta server --join`
def share(data: Path, file: Path) -> None:
    """Writes what another server needs to take over from this one: whoever has it IS this server.

    Raises:
        NotFoundError: there are no keys in DATA yet.
        ActionRefused: the file is there already.
    """
    keys = places.keys_dir(data)
    if not (keys / "store.key").exists():
        raise NotFoundError(f"{keys}: no keys yet; `boruta server` makes them", path=str(keys))
    pair = load_pair(keys / "server.key_secret")
    said = {
        "server_key": pair.public,
        "server_key_secret": pair.secret,
        "store_key": (keys / "store.key").read_bytes().hex(),
    }
    if not write_private(file, json.dumps(said, indent=1) + "\n", replace=False):
        raise ActionRefused(f"{file} is there already; move it away", path=str(file))


def join(data: Path, file: Path) -> None:
    """Puts the keys of `share` into DATA; a second time it changes nothing.

    Raises:
        BadConfig: the file cannot be used.
        ActionRefused: DATA has other keys already.
    """
    try:
        check_private(file, "file of keys")
        said = json.loads(file.read_text())
        public, secret = str(said["server_key"]), str(said["server_key_secret"])
        store_key = bytes.fromhex(said["store_key"])
        if not (is_z85_key(public) and is_z85_key(secret) and len(store_key) == STORE_KEY_BYTES):
            raise ValueError("not what `boruta key share` writes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{file}: cannot be used: {error}", file=str(file)) from None
    make_private_dir(data, "data directory")
    keys = places.keys_dir(data)
    make_private_dir(keys, "key directory")
    _same_or_new(keys / "store.key", store_key, data)
    path = keys / "server.key_secret"
    if path.exists():
        if load_pair(path).public != public:
            raise _other(path, data)
        return
    write_private(path, write_certificate(Certificate(public, secret, {})))


def _same_or_new(path: Path, content: bytes, data: Path) -> None:
    if not path.exists():
        write_private(path, content)
    elif path.read_bytes() != content:
        raise _other(path, data)


def _other(path: Path, data: Path) -> ActionRefused:
    return ActionRefused(
        f"{path}: another key is there; join with a data directory of its own, not {data}",
        path=str(path),
    )


# --- peers
class PeerSync:
    """Keeps the peer files of one server and the shared table alike.

    Args:
        ring: the keys of the data directory.
        shared: the table.
        clock: the time.
    """

    def __init__(self, ring: KeyRing, shared: SharedPeers, clock: Clock) -> None:
        self._ring, self._shared, self._clock = ring, shared, clock
        self._known: dict[str, Peer] = {}  # what the table has, by public key
        self._task: asyncio.Task[None] | None = None

    async def take_over(self) -> None:
        """Before it leads: the table decides; what only a file has is added to it.

        Raises:
            StoreUnavailable: the table cannot be read or written.
        """
        loop = asyncio.get_running_loop()
        admitted, removed = await loop.run_in_executor(None, self._shared.read)
        self._known = {peer.public: peer for peer in admitted}
        names = {peer.name for peer in admitted}
        for mine in self._ring.peers():
            other = self._known.get(mine.public)
            if mine.public in removed or (other is None and mine.name in names):
                log.warning("key_dropped name=%s: other servers do not admit it", mine.name)
                self._ring.remove(mine.name)
            elif other is not None and other != mine:
                self._ring.remove(mine.name)
        here = {peer.public for peer in self._ring.peers()}
        for peer in admitted:
            if peer.public not in here:
                try:
                    self._ring.add(peer.name, peer.role, peer.groups, peer.public)
                except BorutaError as error:
                    log.error("key_not_taken name=%s error=%r", peer.name, error.message)
        await self._push()

    def changed(self) -> None:
        """The files have changed: so will the table."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._quietly())

    async def _quietly(self) -> None:
        while True:
            try:
                await self._push()
            except BorutaError as error:
                log.warning("keys_not_shared error=%r: trying again", error.message)
                await asyncio.sleep(1.0)
            else:
                return

    async def _push(self) -> None:
        mine = {peer.public: peer for peer in self._ring.peers()}
        put = [peer for public, peer in mine.items() if self._known.get(public) != peer]
        gone = [public for public in self._known if public not in mine]
        if not put and not gone:
            return
        at = int(self._clock.utcnow().timestamp() * 1e6)
        await asyncio.get_running_loop().run_in_executor(None, self._shared.write, put, gone, at)
        self._known = mine

    def close(self) -> None:
        """Nothing more is written."""
        if self._task is not None:
            self._task.cancel()
