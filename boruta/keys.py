"""The keys in a data directory: the server's own, the local admin's, and the admitted peers'."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from boruta import places
from boruta.certificates import (
    Certificate,
    is_z85_key,
    read_groups,
    read_role,
    write_certificate,
)
from boruta.domain.errors import ActionRefused, BadRequest, NotFoundError, NotPermitted
from boruta.domain.types import Caller, Role
from boruta.guarded import make_private_dir, write_private
from boruta.pairs import load_pair as load_pair
from boruta.pairs import make_store_key, new_pair, own_pair
from boruta.pairs import read_server_key as read_server_key
from boruta.peers import LOCAL, KeyChanges, Peer, PeerFiles, check_name

if TYPE_CHECKING:
    from transport.client import KeyPair


class KeyRing:
    """The keys of one data directory, whether its server runs or not.

    Args:
        server: the server's own pair.
        local: the pair of whoever can read the data directory.
        files: the peers' files.
    """

    def __init__(self, server: KeyPair, local: KeyPair, files: PeerFiles) -> None:
        self.server = server
        self.local = local
        self._files = files

    @classmethod
    def open(cls, data: Path, *, make: bool = True) -> Self:
        """The keys in `data`.

        Args:
            data: the data directory.
            make: whether the directory is made if it is missing.

        Raises:
            NotFoundError: there is no such directory, and none is to be made.
            NotPermitted: others can read or write it, or a key in it.
            BadConfig: it cannot be made, or a key in it cannot be used.
        """
        if not make and not data.exists():
            raise NotFoundError(
                f"{data}: there is no data directory; `boruta server` makes it, "
                "--data DIR names another one",
                path=str(data),
            )
        keys = places.keys_dir(data)
        make_private_dir(data, "data directory")
        for directory in (keys, keys / "peers"):
            make_private_dir(directory, "key directory")
        server = own_pair(keys / "server.key_secret")
        local = own_pair(keys / "local.key_secret")
        make_store_key(keys / "store.key")
        own = {server.public: "the server itself", local.public: "the server's local admin"}
        ring = cls(server, local, PeerFiles(keys / "peers", own))
        ring.poll()
        return ring

    # --- who is admitted
    def admit(self, public: str) -> Caller | None:
        """Who has this public key; None: nobody that we know."""
        if public == self.local.public:
            return Caller(LOCAL, Role.ADMIN)
        peer = self._files.by_key.get(public)
        return None if peer is None else Caller(peer.name, peer.role, peer.groups)

    def peers(self) -> list[Peer]:
        """Those who are admitted, by name."""
        return sorted(self._files.by_name.values(), key=lambda peer: peer.name)

    def broken(self) -> Mapping[str, str]:
        """Peer files that admit nobody, by name, and why."""
        return self._files.broken

    def poll(self) -> KeyChanges:
        """Looks at the peer files again; what has changed since the last look."""
        return self._files.poll()

    # --- changes
    def new(
        self, name: str, role: Role | str, groups: Iterable[str], out: Path
    ) -> tuple[Path, Path]:
        """Makes a pair and admits it.

        Args:
            name: of the peer.
            role: what it may do.
            groups: which groups its requests may use; none: any.
            out: where `NAME.key` and `NAME.key_secret` are written.

        Returns:
            The public and the secret file.

        Raises:
            BadRequest: a name, role or group that is not allowed.
            ActionRefused: the name is taken, or one of the files is there.
        """
        peer = self._checked(name, role, groups, "")
        public_file, secret_file = out / f"{name}.key", out / f"{name}.key_secret"
        for path in (public_file, secret_file):
            if os.path.lexists(path):
                raise ActionRefused(f"{path} is there already; move it away or use --out DIR")
        public, secret = new_pair()
        metadata = _metadata(peer)
        try:
            write_private(secret_file, write_certificate(Certificate(public, secret, metadata)))
            write_private(public_file, write_certificate(Certificate(public, None, metadata)))
        except OSError as error:
            raise BadRequest(f"{out}: cannot write the key there: {error.strerror}") from None
        try:
            self._admit(Peer(name, peer.role, peer.groups, public))
        except BaseException:
            secret_file.unlink(missing_ok=True)
            public_file.unlink(missing_ok=True)
            raise
        return public_file, secret_file

    def add(self, name: str, role: Role | str, groups: Iterable[str], public: str) -> Peer:
        """Admits a public key that was made elsewhere.

        Raises:
            BadRequest: a name, role, group or key that is not allowed.
            ActionRefused: the name is taken, or the key is admitted under another one.
        """
        if not is_z85_key(public):
            raise BadRequest("a public key is 40 characters of Z85, or a file that has one")
        peer = self._checked(name, role, groups, public)
        self._admit(peer)
        return peer

    def _checked(self, name: str, role: Role | str, groups: Iterable[str], public: str) -> Peer:
        check_name(name)
        try:
            return Peer(name, read_role(str(role)), read_groups(list(groups)), public)
        except ValueError as error:
            raise BadRequest(f"key {name}: {error}") from None

    def _admit(self, peer: Peer) -> None:
        self.poll()
        self._refuse_second(peer)
        text = write_certificate(Certificate(peer.public, None, _metadata(peer)))
        path = self._files.path(peer.name)
        try:
            written = write_private(path, text, replace=False)
        except OSError as error:
            raise NotPermitted(f"{path}: cannot be written: {error.strerror}") from None
        if not written:
            raise ActionRefused(_taken(peer.name))
        self.poll()

    def _refuse_second(self, peer: Peer) -> None:
        if peer.name in self._files.names:
            raise ActionRefused(_taken(peer.name), name=peer.name)
        other = self._files.holder(peer.public)
        if other is not None:
            raise ActionRefused(
                f"key {peer.name}: the same key is admitted as {other} already", name=other
            )

    def remove(self, name: str) -> None:
        """Admits it no more; a running server cuts its connections within half a second.

        Raises:
            NotFoundError: there is no such key.
        """
        check_name(name)
        path = self._files.path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            known = ", ".join(sorted(self._files.names)) or "there are none"
            raise NotFoundError(f"key {name} not found ({known})", name=name) from None
        except OSError as error:
            raise NotPermitted(f"{path}: cannot be changed: {error.strerror}") from None
        self.poll()


def _taken(name: str) -> str:
    return f"key {name} is there already; `boruta key remove {name}` first, or use another name"


def _metadata(peer: Peer) -> dict[str, str]:
    found = {"role": peer.role.value}
    if peer.groups:
        found["groups"] = ", ".join(peer.groups)
    return found
