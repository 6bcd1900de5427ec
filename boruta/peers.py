"""The peer files of a data directory: who is admitted, and what has changed since the last look."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from boruta.certificates import read_certificate
from boruta.domain.errors import BadRequest, NotPermitted
from boruta.domain.types import Groups, Role
from boruta.guarded import check_mode

log = logging.getLogger("boruta.keys")

LOCAL: Final = "local"  # who can read DATA; an admin
_RESERVED: Final = frozenset({LOCAL, "server"})
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
# The file may be as good as ever; a server out of descriptors must not throw its users out.
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO})


@dataclass(frozen=True, slots=True)
class Peer:
    """An admitted key: whose it is and what it may do."""

    name: str
    role: Role
    groups: Groups
    public: str


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What became of the peers since the last look.

    `cut` has the public keys whose connections must end: gone, or with other rights now. `removed`
    has the names whose files are gone; one that is only broken is cut and keeps what it holds.
    """

    added: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.cut or self.removed)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A peer file at the last look: what tells a changed one, and what was in it."""

    mark: tuple[int, ...]
    peer: Peer | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Admitted:
    by_key: dict[str, Peer] = field(default_factory=dict)
    by_name: dict[str, Peer] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


class PeerFiles:
    """The files `NAME.key` of one directory.

    Args:
        directory: where they lie.
        own: public keys that are the server's own, with what they are.
    """

    def __init__(self, directory: Path, own: Mapping[str, str]) -> None:
        self._directory = directory
        self._own = dict(own)
        self._seen: dict[str, _Seen] = {}
        self._now = _Admitted()

    @property
    def by_key(self) -> Mapping[str, Peer]:
        """Who is admitted, by public key."""
        return self._now.by_key

    @property
    def by_name(self) -> Mapping[str, Peer]:
        """Who is admitted, by name."""
        return self._now.by_name

    @property
    def broken(self) -> Mapping[str, str]:
        """Files that admit nobody, by name, and why."""
        return self._now.broken

    @property
    def names(self) -> frozenset[str]:
        """All that have a file, broken ones too."""
        return frozenset(self._seen)

    def holder(self, public: str) -> str | None:
        """Who has this public key in a file of his, admitted or not; or what it is of ours."""
        if public in self._own:
            return self._own[public]
        found = (
            one.peer.name for one in self._seen.values() if one.peer and one.peer.public == public
        )
        return next(found, None)

    def path(self, name: str) -> Path:
        """The file of this name."""
        return self._directory / f"{name}.key"

    def poll(self) -> KeyChanges:
        """Looks at the files again; those that did not change are not read."""
        try:
            listed = self._listed()
        except OSError as error:
            log.error("keys_unreadable path=%s error=%r", self._directory, error.strerror)
            return KeyChanges()
        seen = {}
        for name, mark, path in listed:
            old = self._seen.get(name)
            if old is not None and old.mark == mark:
                seen[name] = old
                continue
            try:
                seen[name] = _look(name, mark, path)
            except OSError as error:
                log.error("key_unreadable name=%s error=%r", name, error.strerror)
                if old is not None:
                    seen[name] = old
        return self._take(seen)

    def _take(self, seen: dict[str, _Seen]) -> KeyChanges:
        were, before = self._seen, self._now
        self._seen, self._now = seen, self._admitted(seen)
        now = self._now
        for name, why in now.broken.items():
            if before.broken.get(name) != why:
                log.error("key_refused name=%s admits=nobody why=%r", name, why)
        return KeyChanges(
            added=tuple(name for name in now.by_name if name not in before.by_name),
            cut=tuple(key for key, peer in before.by_key.items() if now.by_key.get(key) != peer),
            removed=tuple(name for name in were if name not in seen),
        )

    def _listed(self) -> list[tuple[str, tuple[int, ...], Path]]:
        found = []
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.endswith(".key"):
                        continue
                    try:
                        there = entry.stat()
                    except FileNotFoundError:
                        continue  # removed since, or a link to nowhere: admits nobody
                    mark = (there.st_mtime_ns, there.st_ctime_ns, there.st_size, there.st_ino)
                    found.append((entry.name.removesuffix(".key"), mark, Path(entry.path)))
        except FileNotFoundError:
            return []
        return sorted(found)

    def _admitted(self, seen: Mapping[str, _Seen]) -> _Admitted:
        found = _Admitted()
        holders: dict[str, list[Peer]] = {}
        for name, one in seen.items():
            if one.peer is None:
                found.broken[name] = one.why
            else:
                holders.setdefault(one.peer.public, []).append(one.peer)
        for public, peers in holders.items():
            names = [peer.name for peer in peers]
            if public in self._own:
                names.append(self._own[public])
            for peer in peers:
                # Whose rights would count? Nobody's, until a person has said so.
                if len(names) > 1:
                    others = ", ".join(name for name in names if name != peer.name)
                    found.broken[peer.name] = f"the same key as {others}"
                else:
                    found.by_key[public] = found.by_name[peer.name] = peer
        return found


def _look(name: str, mark: tuple[int, ...], path: Path) -> _Seen:
    try:
        check_name(name)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # to read a pipe would hold the server up for ever
            raise ValueError("no regular file")
        check_mode(found, path, "key file")
        certificate = read_certificate(path)
        role, groups = certificate.rights()
    except (BadRequest, NotPermitted, ValueError) as error:
        return _Seen(mark, None, str(error))
    except OSError as error:
        if error.errno in _PASSING:
            raise
        return _Seen(mark, None, f"cannot be read: {error.strerror}")
    return _Seen(mark, Peer(name, role, groups, certificate.public))


def check_name(name: str) -> None:
    """Makes sure that a peer may have this name.

    Raises:
        BadRequest: it may not.
    """
    if name in _RESERVED:
        raise BadRequest(f"key name {name!r}: the server's own; use another one")
    if not _NAME.fullmatch(name):
        raise BadRequest(f"key name {name!r}: want 1 to 64 of A-Z a-z 0-9 . _ - and no leading dot")
