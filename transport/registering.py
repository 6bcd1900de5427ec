"""What an agent may call: it registers its board, once a connection, and reports it as failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from boruta.domain import defaults
from boruta.domain.errors import ActionRefused, NotPermitted, Unreachable, UUIDInUse
from boruta.domain.ports import DryadPort, Front
from boruta.domain.types import WorkerUUID
from transport import agent_maps
from transport.addresses import Network, dialled
from transport.calls import Answer, Body
from transport.peers import Peer

log = logging.getLogger("boruta.wire")
_AGAIN_S: Final = 1.0  # after the engine failed at it


class Agents:
    """Which connection speaks for which board.

    Args:
        front: the engine.
        networks: where boards may be, beside their own address.
        cut: ends a connection.
    """

    def __init__(
        self, front: Front, networks: tuple[Network, ...], cut: Callable[[Peer, str], None]
    ) -> None:
        self._front = front
        self._networks = networks
        self._cut = cut
        self._live: dict[WorkerUUID, AgentCalls] = {}
        self._locks: dict[WorkerUUID, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._live)

    async def register(self, calls: AgentCalls, body: Body) -> Body:
        """Registers; one at a time for each board.

        Raises:
            UUIDInUse: another agent that is alive, or another key, has it.
        """
        peer = calls.peer
        ssh_address = dialled(body["ssh_address"], peer.remote[0], self._networks)
        said = agent_maps.registration_from(body, ssh_address, peer.caller.session)
        uuid = said.caps.get_worker_uuid()
        lock, users = self._locks.get(uuid, (asyncio.Lock(), 0))
        self._locks[uuid] = lock, users + 1
        try:
            async with lock:
                await self._make_way(uuid, calls)
                if _is_gone(peer):
                    raise Unreachable("the connection is gone")
                self._live[uuid] = calls
                calls.uuid = uuid
                try:
                    done = await self._front.superviser(peer.caller).register(said, calls.port)
                except BaseException:
                    self._forget(calls)
                    raise
                if _is_gone(peer):
                    # Lost while the engine took it in: it may have missed the first word of that.
                    self._front.worker_lost(uuid, calls.port)
                log.info("registered worker=%s peer=%s ssh=%s", uuid, peer, ssh_address)
                return agent_maps.registered_map(done)
        finally:
            lock, users = self._locks[uuid]
            if users > 1:
                self._locks[uuid] = lock, users - 1
            else:
                del self._locks[uuid]

    async def _make_way(self, uuid: WorkerUUID, calls: AgentCalls) -> None:
        old = self._live.get(uuid)
        if old is None or old.peer.gone:
            return
        mine, theirs = calls.peer, old.peer
        if theirs.caller.name != mine.caller.name:
            raise UUIDInUse(
                f"worker {uuid} is connected with the key of {theirs.caller.name}: a UUID belongs "
                "to the first key that registered it",
                worker_uuid=uuid,
            )
        # The same process comes back: its old connection is dead, whatever it looks like from here.
        if theirs.caller.session != mine.caller.session and await _answers(old.port):
            raise UUIDInUse(
                f"worker {uuid} is alive at {theirs.remote[0]}: two agents have one UUID; stop "
                "one of them, or give it another UUID",
                worker_uuid=uuid,
            )
        self._cut(theirs, f"worker {uuid} has a new connection")

    def lost(self, calls: AgentCalls) -> None:
        """An agent's connection is over."""
        uuid = calls.uuid
        if uuid is not None:
            self._forget(calls)
            self._tell_lost(uuid, calls.port)

    def _tell_lost(self, uuid: WorkerUUID, port: DryadPort) -> None:
        try:
            self._front.worker_lost(uuid, port)
        except Exception:
            # Else the board is taken for one that is there. A later connection is another port.
            log.exception("lost_failed worker=%s", uuid)
            asyncio.get_running_loop().call_later(_AGAIN_S, self._tell_lost, uuid, port)

    def heard(self, calls: AgentCalls) -> None:
        """An agent gave a sign of life."""
        if calls.uuid is not None:
            self._front.worker_heard(calls.uuid, calls.port)

    def _forget(self, calls: AgentCalls) -> None:
        if calls.uuid is not None and self._live.get(calls.uuid) is calls:
            del self._live[calls.uuid]
        calls.uuid = None

    async def set_fail(self, calls: AgentCalls, body: Body) -> Body:
        """Reports a board as failed."""
        if calls.uuid is not None and body["worker_uuid"] != calls.uuid:
            raise NotPermitted(f"this connection speaks for worker {calls.uuid} alone")
        await self._front.superviser(calls.peer.caller).set_fail(
            body["worker_uuid"], body["reason"]
        )
        return {}


def _is_gone(peer: Peer) -> bool:
    return peer.gone


async def _answers(port: DryadPort) -> bool:
    found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def answered(alive: bool) -> None:
        if not found.done():
            found.set_result(alive)

    port.ping(defaults.PING_WITHIN_S, answered)
    return await found


class AgentCalls:
    """The calls of one connection of an agent."""

    def __init__(self, agents: Agents, peer: Peer, port: DryadPort) -> None:
        self._agents = agents
        self.peer = peer
        self.port = port
        self.uuid: WorkerUUID | None = None
        self._registered = False

    def answer(self, kind: str, body: dict[str, Any]) -> Answer:
        """The answer to a call whose body was checked, or what gives it."""
        if kind == "ping":
            return {}
        if kind == "superviser.set_fail":
            return self._agents.set_fail(self, body)
        if self._registered:
            raise ActionRefused("this connection has registered already: connect anew")
        self._registered = True
        return self._register(body)

    async def _register(self, body: Body) -> Body:
        try:
            return await self._agents.register(self, body)
        except BaseException:
            self._registered = False
            raise
