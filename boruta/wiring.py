"""The only place that puts actors, transport and store together."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import LoopDispatcher
from actors.system import System
from boruta.config import ServerConfig
from boruta.domain.defaults import HISTORY_PAGE
from boruta.domain.history import Event
from boruta.domain.request import Limits
from boruta.domain.types import Caller, ReqID, WorkerUUID
from boruta.session_keys import session_key
from boruta.storing import Stored
from boruta.version import SOFTWARE
from transport.server import Server
from transport.tunnels.tcp import Tunnels

log = logging.getLogger("boruta.server")
_SUCCEEDED_S: Final = 0.3  # until another server, which waits already, leads
FLUSH_S: Final = 10.0  # a stopping server waits so long for its database


def rules_of(config: ServerConfig) -> Rules:
    """What a lab has set, as the engine takes it."""
    requests, workers = config.requests, config.workers
    return Rules(
        limits=Limits(
            job_timeout_s=requests.job_timeout,
            max_job_timeout_s=requests.max_job_timeout,
            prolongs=requests.prolongs,
            prolong_total_s=requests.prolong_total,
        ),
        unservable=requests.unservable,
        default_deadline_s=requests.default_deadline,
        initial=workers.initial,
        auto_recover=workers.auto_recover,
        grace_s=workers.grace,
        check_every_s=workers.check_every,
        per_key=workers.per_key,
        access_host=config.server.access_host,
    )


@dataclass(frozen=True, slots=True)
class Edge:
    """How the engine is reached from outside.

    `bind` is a ZeroMQ address; the keys are Z85 text; `admit` answers with whoever has a public
    key, or None.
    """

    bind: str
    public_key: str
    secret_key: str
    admit: Callable[[str], Caller | None]
    insecure: bool = False
    board_networks: Sequence[str] = ()
    tunnel_host: str = "127.0.0.1"
    tunnel_ports: range | None = None
    access_host: str = ""


class Engine:
    """A whole server on the running loop: actors, tunnels, the ZeroMQ side.

    Args:
        dispatcher: where the actors run, on the running loop.
        edge: how it is reached.
        rules: what the lab has set.
        stored: what outlives it; closed by `stop`.
        facts: more of what `server.info` tells.
    """

    def __init__(
        self,
        dispatcher: LoopDispatcher,
        edge: Edge,
        rules: Rules,
        stored: Stored,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.dispatcher = dispatcher
        self._stored = stored
        self.tunnels = Tunnels(loop, edge.tunnel_host, edge.tunnel_ports, edge.access_host or None)
        self.system = System(
            self.dispatcher,
            stored.store,
            self.tunnels,
            session_key,
            random.random,
            rules,
            life=secrets.token_hex(4),
        )
        self.front = EngineFront(
            self.system,
            {"software": SOFTWARE, "pid": os.getpid(), **(facts or {})},
            self._history if stored.store.survives else None,
        )
        self.server = Server(
            self.front,
            bind=edge.bind,
            public_key=edge.public_key,
            secret_key=edge.secret_key,
            admit=edge.admit,
            insecure=edge.insecure,
            software=SOFTWARE,
            board_networks=edge.board_networks,
            loop=loop,
            may_speak=None if stored.lead is None else lambda: stored.leads,
        )

    def start(self) -> str:
        """Starts everything; the address under which it is reached."""
        self.system.start()
        self.server.start()
        return self.server.url

    @property
    def stopped_from_outside(self) -> bool:
        """Whether somebody else stopped our actors, by `pykka.ActorRegistry.stop_all`.

        A matcher that failed is started anew in the next turn, so this is to be asked between two.
        """
        system, matcher = self.system, self.system.directory.matcher
        expected = system.closing or system.matcher_rests
        return not expected and matcher is not None and not matcher.is_alive()

    @property
    def lead_is_over(self) -> bool:
        """Whether another server may lead on this database by now."""
        lead = self._stored.lead
        return lead is not None and not self.system.closing and lead.is_over

    @property
    def has_successor(self) -> bool:
        """Whether another server waits to lead."""
        lead = self._stored.lead
        return lead is not None and lead.others > 0

    async def stop(self, reason: str = "the server is stopping", grace_s: float = 1.0) -> None:
        """Tells the peers, then closes everything; idempotent."""
        if self.system.closing:
            return
        if self.has_successor:
            self.server.announce_stop(reason, _SUCCEEDED_S)
        else:
            self.server.announce_stop(reason)
        self.system.stop()
        self.tunnels.close_all()
        try:
            # Whoever waits for something to be written still gets his answer.
            await self._close_store()
        finally:
            await self.server.stop(grace_s)

    async def _history(
        self,
        *,
        request: ReqID | None = None,
        worker: WorkerUUID | None = None,
        before: int | None = None,
        limit: int = HISTORY_PAGE,
    ) -> Sequence[Event]:
        read, most = self._stored.store.history, min(limit, HISTORY_PAGE)
        return await asyncio.get_running_loop().run_in_executor(
            None, read, request, worker, before, most
        )

    async def _close_store(self) -> None:
        if not self._stored.store.survives:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._stored.close, FLUSH_S)
        except RuntimeError:  # the interpreter ends, and has no threads to give any more
            self._stored.close(FLUSH_S)
