"""A server on the running loop, from its data directory to its last word: what `boruta server` and
`Farm` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from boruta import places
from boruta.addresses import announced, dialled, host_of, is_loopback, plain, read_bind
from boruta.config import ServerConfig, load_server_config
from boruta.domain.errors import BadConfig, BorutaError, NotLeader, StoreUnavailable
from boruta.guarded import make_private_dir, write_private
from boruta.imports import check_imports as check_imports
from boruta.keys import KeyRing
from boruta.lock import DataLock
from boruta.peers import KeyChanges
from boruta.standby import Standby

if TYPE_CHECKING:
    from boruta.sharing import PeerSync
    from boruta.wiring import Engine

log = logging.getLogger("boruta.server")
# Embedded, what we log goes where the host sends it, and nowhere if it does not say.
logging.getLogger("boruta").addHandler(logging.NullHandler())

KEYS_EVERY_S: Final = 0.4  # so that a change is acted on within 0.5 s
# Of the time that looking at the key files takes, at most a tenth of the loop's: 10,000 peers are
# looked at each 0.5 s.
KEYS_SHARE: Final = 10
_NEWS_S: Final = 2.0  # within so long a leader knows that another server waits


def farm_config(
    config: ServerConfig | str | os.PathLike[str] | None, data: Path, bind: str, *, kept: bool
) -> ServerConfig:
    """The configuration of a `Farm`.

    Args:
        config: one that is made already, a path of a boruta.toml, or None for the defaults. What
            lies in /etc or the user's home is not looked at.
        data: the data directory; stands above the config's.
        bind: the ZeroMQ address; stands above the config's.
        kept: whether the data directory outlives the farm; if not, and the config says nothing,
            nothing is written.

    Raises:
        BadConfig: it cannot be used.
    """
    if config is None:
        config = ServerConfig()
    elif not isinstance(config, ServerConfig):
        config = load_server_config(Path(config), os.environ)
    try:
        bind = read_bind(bind)
    except ValueError as error:
        raise BadConfig(f"bind: {error}") from None
    database = config.server.database or ("sqlite:" if kept else "memory:")
    server = replace(config.server, data=data, bind=bind, database=database)
    return replace(config, server=server)


def _left_of(all_of_them: Iterable[str], does: Callable[[str], None]) -> tuple[str, ...]:
    """Does it to each; those at which it failed."""
    left = []
    for one in all_of_them:
        try:
            does(one)
        except Exception:
            log.exception("keys_failed key=%s", one)
            left.append(one)
    return tuple(left)


class Running:
    """A started server; made by `open`, on the loop that it runs on."""

    def __init__(
        self,
        config: ServerConfig,
        lock: DataLock,
        keys: KeyRing,
        engine: Engine,
        url: str,
        sync: PeerSync | None = None,
    ) -> None:
        self.config = config
        self.keys = keys
        self.engine = engine
        self.url = url
        self.stopped = asyncio.Event()  # set when the engine has stopped, for whatever reason
        self._hands_over = False
        self.deposed: NotLeader | None = None  # why it had to stop
        self._lock = lock
        self._sync = sync  # with the other servers of the same database
        self._to_cut: tuple[str, ...] = ()  # public keys
        self._to_end: tuple[str, ...] = ()  # names
        self._closing: asyncio.Task[None] | None = None
        self._watch = asyncio.get_running_loop().create_task(self._look(), name="boruta-keys")

    @classmethod
    async def open(cls, config: ServerConfig) -> Self:
        """Starts a server.

        Raises:
            BadConfig: something of the configuration cannot be used.
            NotPermitted: others can read or write the data directory or a key.
            ActionRefused: another server works in this data directory.
            BorutaError: the address is taken.
        """
        check_imports()
        from actors.runtime import LoopDispatcher
        from boruta.storing import Opening
        from boruta.wiring import Edge, Engine, rules_of

        loop = asyncio.get_running_loop()
        data, bind = config.server.data, config.server.bind
        make_private_dir(data, "data directory")
        with contextlib.ExitStack() as undo:
            lock = DataLock(data)
            undo.callback(lock.release)
            keys = KeyRing.open(data)
            dispatcher = LoopDispatcher(loop)
            reached = announced(bind, config.server.access_host)
            wanted = Opening(
                config.server.database, data, reached, keys.local.public, dispatcher, loop
            )
            with contextlib.closing(Standby(config, keys)) as standby:
                stored = await wanted.open(standby.seen)
            undo.callback(stored.close, 0.0)
            sync = None
            if stored.lead is not None:
                from boruta.sharing import PeerSync
                from boruta.store.peers import SharedPeers

                sync = PeerSync(keys, SharedPeers(stored.lead.backend), dispatcher)
                await sync.take_over()
            edge = Edge(
                bind=bind,
                public_key=keys.server.public,
                secret_key=keys.server.secret,
                admit=keys.admit,
                insecure=config.server.insecure,
                board_networks=config.server.board_networks,
                tunnel_host=host_of(bind),
                tunnel_ports=config.server.tunnel_ports,
                access_host=config.server.access_host,
            )
            engine = Engine(dispatcher, edge, rules_of(config), stored)
            try:
                bound = plain(engine.start())
                running = cls(config, lock, keys, engine, dialled(bound), sync)
            except BaseException:
                with contextlib.suppress(BorutaError):
                    await engine.stop("the server could not start", 0.0)
                raise
            engine.system.on_deposed = running._depose
            undo.pop_all()
        running._announce(bound)
        return running

    def _announce(self, bound: str) -> None:
        described = {
            "pid": os.getpid(),
            "url": self.url,
            "server_key": self.keys.server.public,
            "insecure": self.config.server.insecure,
        }
        try:
            write_private(places.server_json(self.config.server.data), json.dumps(described) + "\n")
        except OSError as error:
            log.error(
                "server_json_unwritten error=%r: local commands do not find this server", error
            )
        if self.config.server.insecure:
            log.warning(
                "insecure bind=%s: NO ENCRYPTION, EVERY PEER IS AN ADMIN: whoever reaches this "
                "address may lend, take and stop every board",
                bound,
            )
        elif not is_loopback(bound):
            log.info("open bind=%s: other machines reach it; keys in %s are admitted",
                     bound, places.keys_dir(self.config.server.data) / "peers")  # fmt: skip

    # --- keys
    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        pause = KEYS_EVERY_S
        while True:
            await asyncio.sleep(pause)
            began = loop.time()
            self.look_at_keys()
            pause = max(KEYS_EVERY_S, KEYS_SHARE * (loop.time() - began))
            if self.engine.lead_is_over:
                self._depose(NotLeader("the lease ran out, and another server waits"))
            if await self.surely_stopped():
                log.error("stopped_from_outside: somebody else stopped our actors; closing")
                loop.call_soon(self._close_soon, "its actors were stopped by the host program")
                return

    async def surely_stopped(self) -> bool:
        """Whether somebody else stopped our actors: a failed one is there again in a few turns."""
        for _ in range(5):
            if not self.engine.stopped_from_outside:
                return False
            await asyncio.sleep(0)
        return self.engine.stopped_from_outside

    def look_at_keys(self) -> None:
        """Acts on what has changed among the admitted keys since the last look."""
        try:
            changes = self.keys.poll()
        except Exception:
            # Whatever it is, the next look must come.
            log.exception("keys_failed")
            changes = KeyChanges()
        # The files show a change once: what fails is done at the next look.
        self._to_cut = _left_of((*self._to_cut, *changes.cut), self._cut)
        self._to_end = _left_of((*self._to_end, *changes.removed), self._end)
        if self._sync is not None and changes:
            self._sync.changed()
        for name in changes.added:
            log.info("key_added name=%s", name)

    def _cut(self, public: str) -> None:
        cut = self.engine.server.revoke(public)
        log.info("key_revoked key=%s connections=%d", public, cut)

    def _end(self, name: str) -> None:
        log.info("key_removed name=%s", name)
        self.engine.front.key_removed(name)

    # --- rules
    def apply(self, config: ServerConfig) -> list[str]:
        """Takes over what can change while the server runs.

        Returns:
            Keys that differ and need a restart.
        """
        from boruta.wiring import rules_of

        fixed = [
            f"server.{name}"
            for name in config.server.__slots__
            if getattr(config.server, name) != getattr(self.config.server, name)
        ]
        live = replace(
            self.config, requests=config.requests, workers=config.workers, log=config.log
        )
        self.engine.system.directory.rules = rules_of(live)
        self.config = live
        return fixed

    # --- the end
    def _depose(self, why: NotLeader) -> None:
        if self.deposed is not None:
            return
        log.error("deposed reason=%r: stepping down", why.message)
        self.deposed = why
        self._begin_close("another server has taken over", 0.2)

    def not_ready(self) -> str:
        """Why no request is taken now; empty if they are."""
        if self._closing is not None:
            return "stopping"
        try:
            self.engine.system.directory.check_store()
        except StoreUnavailable as error:
            return f"{error.code}: {error.message}"
        return ""

    @property
    def steps_down(self) -> bool:
        """Whether it stops so that another server leads, not for good."""
        return self.deposed is not None or self._hands_over

    def hand_over(self, *, looks_again: bool = True) -> None:
        """Lets a server that waits on the same database lead; refused if there is none."""
        if not self.engine.has_successor:
            if looks_again:  # it may have come since the lease was renewed
                later = partial(self.hand_over, looks_again=False)
                asyncio.get_running_loop().call_later(_NEWS_S, later)
            else:
                log.error("hand_over_refused reason=%r", "no other server waits on this database")
            return
        log.info("hand_over")
        self._hands_over = True
        self._begin_close("the server hands over", 0.2)

    def _close_soon(self, reason: str) -> None:
        self._begin_close(reason, 0.2)

    def _begin_close(self, reason: str, grace_s: float) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(reason, grace_s), name="boruta-close"
            )
        return self._closing

    async def close(self, reason: str = "the server is stopping", grace_s: float = 1.0) -> None:
        """Tells the peers, stops everything, frees the data directory; idempotent."""
        await asyncio.shield(self._begin_close(reason, grace_s))

    async def _close(self, reason: str, grace_s: float) -> None:
        self._watch.cancel()
        if self._sync is not None:
            self._sync.close()
        try:
            await self.engine.stop(reason, grace_s)
        finally:
            self.forget()
            self.stopped.set()

    def forget(self) -> None:
        """Takes server.json and the lock away; the last thing, also where there is no time."""
        with contextlib.suppress(OSError):
            places.server_json(self.config.server.data).unlink()
        self._lock.release()
