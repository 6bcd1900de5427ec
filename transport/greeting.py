"""`hello`: who a peer is, what he may call, what his session takes to its next connection."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from boruta.domain import defaults
from boruta.domain.errors import (
    BadRequest,
    BorutaError,
    Busy,
    NotPermitted,
    UnsupportedProtocol,
)
from boruta.domain.ports import Front
from boruta.domain.types import Caller, Role
from transport.addresses import Network
from transport.calls import Acquires, Answer, Body, Closes, UserCalls
from transport.events import LOST, Frames, Watching
from transport.peers import Peer
from transport.registering import AgentCalls, Agents
from transport.remote_dryad import RemoteDryad
from transport.router import Router
from transport.sockets import local_of
from transport.wire import HELLO, PROTOCOLS, USER_CALLS, WORKER_CALLS, CallType

log = logging.getLogger("boruta.wire")
_AGAIN_S: Final = 1.0  # after the engine failed at it
_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "user": frozenset({Role.USER, Role.ADMIN}),
    "worker": frozenset({Role.WORKER, Role.ADMIN}),
}


class Calls(Protocol):
    """What a role may call."""

    def answer(self, kind: str, body: Body) -> Answer:
        """The answer to a checked call, or what gives it."""
        ...


class Guest(Protocol):
    """A peer that has said hello."""

    types: Mapping[str, CallType]

    @property
    def calls(self) -> Calls:
        """What it may call."""
        ...

    def greeted(self) -> None:
        """The reply to its hello has gone."""
        ...

    def heard(self) -> None:
        """It sent a heartbeat."""
        ...

    def lost(self) -> None:
        """Its connection is over."""
        ...


class Greeter:
    """Makes guests of peers.

    Args:
        front: the engine.
        router: the socket.
        networks: where boards may be.
        software: what the server calls itself.
        clock: monotonic seconds.
        info: facts of the server, for a caller.
    """

    def __init__(
        self,
        front: Front,
        router: Router,
        networks: tuple[Network, ...],
        software: str,
        clock: Callable[[], float],
        info: Callable[[Caller], Body],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._front = front
        self._router = router
        self._software = software
        self._clock = clock
        self._info = info
        self._loop = loop
        # Tells this life of the server from others.
        self._epoch = secrets.randbits(48)
        self._agents = Agents(front, networks, router.cut)
        self._frames = Frames()
        self._closes = Closes()
        self._acquires = Acquires()
        self._sessions: dict[tuple[str, bytes], UserGuest] = {}
        self._of_key: Counter[str] = Counter()  # sessions of users
        # What a session without a connection watched; for as long as its lease.
        self._kept: dict[tuple[str, bytes], tuple[Body, asyncio.TimerHandle]] = {}

    @property
    def users(self) -> int:
        """Connected sessions of users."""
        return len(self._sessions)

    @property
    def workers(self) -> int:
        """Registered agents."""
        return len(self._agents)

    def hello(self, peer: Peer, body: Mapping[str, Any]) -> tuple[Guest, Body]:
        """The guest that a peer becomes, and the reply.

        Raises:
            UnsupportedProtocol: no common version; the peer is cut after the reply.
            NotPermitted: the key may not take this role.
            BadRequest: a field is missing or wrong.
        """
        offered = body.get("protocols")
        if isinstance(offered, list) and not any(one in PROTOCOLS for one in offered):
            self._router.cut_soon(peer, "no common protocol")
            raise UnsupportedProtocol(
                f"protocols: this server speaks {', '.join(map(str, PROTOCOLS))}",
                protocols=list(PROTOCOLS),
            )
        said = HELLO.body(body, "body")
        role = said["role"]
        allowed = _ROLES.get(role)
        if allowed is None:
            raise BadRequest(f"role: want user or worker, got {role!r:.40}", field="body.role")
        if peer.caller.role not in allowed:
            raise NotPermitted(
                f"the key of {peer.caller.name} is a {peer.caller.role}'s: it may not be a {role}",
                role=str(peer.caller.role),
            )
        peer.caller = replace(peer.caller, session=said["session"])
        kept = False
        guest: Guest
        if role == "user":
            guest, kept = self._user(peer)
        else:
            guest = AgentGuest(self._agents, peer, self._port(peer))
        peer.role = role
        beat = defaults.USER_HEARTBEAT_S if role == "user" else defaults.HEARTBEAT_S
        return guest, {
            "protocol": max(one for one in said["protocols"] if one in PROTOCOLS),
            "server": self._software,
            "epoch": self._epoch,
            "session_kept": kept,
            "heartbeat_s": beat,
            "name": peer.caller.name,
            "role": str(peer.caller.role),
        }

    def _port(self, peer: Peer) -> RemoteDryad:
        return RemoteDryad(peer, self._router.send, self._router.cut_soon, self._clock)

    def _user(self, peer: Peer) -> tuple[UserGuest, bool]:
        caller = peer.caller
        old = self._sessions.get(peer.session)
        if old is None:
            self._check_may_have_another(peer)
        else:
            self._forget(old)
            # Its session lives on here: nothing of it is lost with the old connection.
            old.replaced = True
            self._keep(old)
            self._router.cut(old.peer, "its session has a new connection")
        session_kept = self._front.session_opened(caller)
        here = local_of(peer.fd)
        watching = Watching(
            self._front.feed(caller),
            self._frames,
            lambda frame: self._router.try_send(peer, frame),
        )
        peer.on_room = watching.flush
        calls = UserCalls(
            self._front, caller, "" if here is None else here[0], peer.serial,
            self._closes, self._acquires, watching, lambda: self._info(caller),
        )
        guest = UserGuest(self, peer, calls)
        self._sessions[peer.session] = guest
        self._of_key[caller.name] += 1
        return guest, session_kept

    def _check_may_have_another(self, peer: Peer) -> None:
        name, most = peer.caller.name, defaults.CONNECTIONS_A_KEY
        if peer.caller.role is Role.USER and self._of_key[name] >= most:
            self._router.cut_soon(peer, "too many connections of this key")
            raise Busy(
                f"{name} has {most} connections, which is the limit; close some first",
                retry_after_s=5.0,
            )

    def _forget(self, guest: UserGuest) -> None:
        del self._sessions[guest.peer.session]
        name = guest.peer.caller.name
        self._of_key[name] -= 1
        if not self._of_key[name]:
            del self._of_key[name]

    # --- subscriptions outlive a connection for as long as the session does
    def _keep(self, guest: UserGuest) -> None:
        wanted = guest.calls.watching.wanted
        if wanted is not None:
            key = guest.peer.session
            timer = self._loop.call_later(defaults.CLIENT_LEASE_S, self._kept.pop, key, None)
            self._kept[key] = wanted, timer

    def resume(self, guest: UserGuest) -> None:
        """Goes on with what the session watched; what it missed is a gap to it."""
        kept = self._kept.pop(guest.peer.session, None)
        if kept is None:
            return
        wanted, timer = kept
        timer.cancel()
        try:
            guest.calls.watching.subscribe({**wanted, "after_seq": LOST})
            guest.calls.watching.release()
        except BorutaError:
            pass  # too many by this key meanwhile; the client subscribes again and is told

    def lost(self, guest: UserGuest) -> None:
        """A user's connection is over."""
        if not guest.replaced:
            self._forget(guest)
            self._keep(guest)
            self._tell_lost(guest)
        guest.calls.watching.close()

    def _tell_lost(self, guest: UserGuest) -> None:
        if guest.peer.session in self._sessions:
            return  # it came back meanwhile
        try:
            self._front.session_lost(guest.peer.caller)
        except Exception:
            log.exception("lost_failed peer=%s", guest.peer)
            self._loop.call_later(_AGAIN_S, self._tell_lost, guest)  # else it lives for ever

    def close(self) -> None:
        """No timer is left."""
        for _, timer in self._kept.values():
            timer.cancel()
        self._kept.clear()


class UserGuest:
    """A user's connection."""

    types: Mapping[str, CallType] = USER_CALLS

    def __init__(self, greeter: Greeter, peer: Peer, calls: UserCalls) -> None:
        self._greeter = greeter
        self.peer = peer
        self.calls = calls
        self.replaced = False

    def greeted(self) -> None:
        """The reply to its hello has gone."""
        self._greeter.resume(self)

    def heard(self) -> None:
        """It sent a heartbeat; any frame is life, so there is nothing to do."""

    def lost(self) -> None:
        """Its connection is over; its session's lease begins to run."""
        self._greeter.lost(self)


class AgentGuest:
    """An agent's connection."""

    types: Mapping[str, CallType] = WORKER_CALLS

    def __init__(self, agents: Agents, peer: Peer, port: RemoteDryad) -> None:
        self._agents = agents
        self.calls = AgentCalls(agents, peer, port)

    def greeted(self) -> None:
        """The reply to its hello has gone."""

    def heard(self) -> None:
        """It sent a heartbeat."""
        self._agents.heard(self.calls)

    def lost(self) -> None:
        """Its connection is over."""
        self._agents.lost(self.calls)
