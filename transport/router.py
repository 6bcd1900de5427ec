"""The server's socket: frames of known peers in, frames out, and the end of a connection at once.

Nothing here knows what the frames say.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any, Final

import zmq

from boruta.domain import defaults
from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.types import Caller, Role
from transport import sockets
from transport.door import Door
from transport.flood import FloodWatch
from transport.outbound import Outbound
from transport.peers import Peer, PeerTable
from transport.session import Conversation
from transport.zap import Admission

log = logging.getLogger("boruta.wire")
ANYONE: Final = Caller("insecure", Role.ADMIN)
_BATCH: Final = 200
# pyzmq's own getsockopt makes enums of what it is asked; plain numbers are found faster, too.
_option: Final[Callable[..., Any]] = zmq.backend.Socket.get
_NOW: Final = int(zmq.NOBLOCK)
_EVENTS_NOW: Final = int(zmq.EVENTS)
_READABLE: Final = int(zmq.POLLIN)
_HAS_MORE: Final = int(zmq.RCVMORE)
_DRAIN_MOST: Final = 50_000  # frames taken at once before a peer is judged
_FORGET_CUT_S: Final = 30.0
_COMPLAIN_S: Final = 10.0  # the same trouble is logged no more often
_CLOSED_WITHIN_S: Final = (0.01, 0.05, 0.25, 1.0)  # of the news that a connection is over
_SPARE_FILES: Final = 32  # without a free file descriptor ZeroMQ spins at 100 % of a core
# A connection that never says anything. Each other one on its way in costs about a millisecond of
# handshake first: 10,000 agents that come back at once must not be cut for it.
_SAID_NOTHING_S: Final = defaults.HELLO_WITHIN_S
_EACH_OTHER_S: Final = 0.005
_EVENTS: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_ACCEPT_FAILED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Router:
    """The ROUTER socket with its admission and its monitor.

    Args:
        on_frame: a frame of a peer.
        on_lost: a peer's connection is over; called once.
        may_speak: asked before each frame that goes out: a server that was replaced while it stood
            still says nothing (SAFETY, A12).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        door: Door,
        clock: Callable[[], float],
        on_frame: Callable[[Peer, bytes, float], None],
        on_lost: Callable[[Peer, BorutaError], None],
        may_speak: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._door = door
        self._clock = clock
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._may_speak = may_speak
        self.peers = PeerTable()
        self.url = ""
        self.counts: dict[str, int] = dict.fromkeys(
            ("accepted", "cut", "handshakes_failed", "frames", "strangers"), 0
        )
        self._serials = itertools.count(1)
        self._silent: dict[int, float] = {}  # fd -> accepted at; those that said nothing yet
        self._flood = FloodWatch()
        self._files = sockets.files_allowed()
        self._complained_at = -_COMPLAIN_S
        self._admission: Admission | None = None
        self._open = False

    # --- start and end
    def start(self) -> None:
        """Binds.

        Raises:
            BadAddress: no address to bind.
            Unavailable: the port is taken, or not for us.
        """
        if self._files < 1024:
            log.warning("few_files allowed=%d: each peer takes one (ulimit -n)", self._files)
        self._context = sockets.new_context()
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            if not self._door.insecure:
                self._admission = Admission(self._loop, self._context, self._door.admit)
            self._door.prepare(self._socket)
            self._monitor = sockets.Monitor(
                self._loop, self._context, self._socket, _EVENTS, self._on_event
            )
            try:
                self.url = self._door.bind_to(self._socket)
            except BaseException:
                self._monitor.close()
                raise
        except BaseException:
            if self._admission is not None:
                self._admission.close()
            self._context.destroy(linger=0)
            raise
        self._pump = sockets.Pump(self._loop, self._socket, self._drain)
        self._outbound = Outbound(
            self._loop, self._socket, self._clock, self._pump.kick, self.cut, self._unknown
        )
        self._open = True

    def close(self) -> None:
        """Closes every connection and the socket."""
        if not self._open:
            return
        self._open = False
        self._outbound.close()
        for peer in self.peers:
            self._over(peer, Unreachable("the server has stopped"))
        self._pump.close()
        self._monitor.close()
        if self._admission is not None:
            self._admission.close()
        self._socket.close(0)
        self._context.destroy(linger=0)

    # --- in
    def drain_all(self) -> None:
        """Takes all that came, so that nobody is judged by what lies unread."""
        self._monitor.drain()
        self._take_all()

    def _take_all(self) -> None:
        for _ in range(_DRAIN_MOST // _BATCH):
            if not self._drain():
                return

    def _drain(self) -> bool:
        socket, get, now = self._socket, self.peers.get, self._clock()
        recv, option = socket.recv, _option
        for _ in range(_BATCH):
            # Asked first: the exception of a socket that is empty costs three times as much.
            if not self._open or not option(socket, _EVENTS_NOW) & _READABLE:
                return False
            try:
                routing_id = recv(_NOW)
            except zmq.Again:
                return False
            self.counts["frames"] += 1
            peer = get(routing_id)
            if peer is None:
                first = recv(_NOW, copy=False)
                frame, several = first.bytes, first.more
                peer = self._meet(routing_id, first, now)
            else:
                frame, several = recv(_NOW), bool(option(socket, _HAS_MORE))
            while several:
                recv(_NOW)
                several = bool(option(socket, _HAS_MORE))
                if not several and peer is not None:
                    self.cut(peer, "a message of several parts")
            if peer is None or peer.gone:
                continue
            self._on_frame(peer, frame, now)
        return True

    def _meet(self, routing_id: bytes, frame: zmq.Frame, now: float) -> Peer | None:
        """Who a routing id is, looked up once; None if he is gone already or may not be here."""
        try:
            fd = int(frame.get(zmq.SRCFD))
            key = "" if self._door.insecure else str(frame.get("User-Id"))
        except zmq.ZMQError:
            self.counts["strangers"] += 1
            return None
        remote = sockets.remote_of(fd)
        if remote is None:
            return None
        self._silent.pop(fd, None)
        caller = ANYONE if self._door.insecure else self._admitted(key)
        if caller is None:
            self.counts["strangers"] += 1
            sockets.shut(fd, remote)
            return None
        peer = Peer(
            next(self._serials), routing_id, key, caller, fd, remote,
            Conversation(now, gone_s=defaults.PEER_GONE_S), now,
        )
        dead = self.peers.add(peer)
        if dead is not None:
            self._over(dead, Unreachable("the connection is gone"))
        return peer

    def _admitted(self, key: str) -> Caller | None:
        try:
            return self._door.admit(key)
        except Exception:
            log.exception("admission_failed")
            return None

    # --- out
    def send(self, peer: Peer, frame: bytes) -> None:
        """Sends, or keeps the frame while the peer is slow; one that never reads is cut."""
        if self._may_speak is not None and not self._may_speak():
            self.cut(peer, "another server may have taken over")
        else:
            self._outbound.send(peer, frame)

    def try_send(self, peer: Peer, frame: bytes) -> bool:
        """Sends if there is room; else the peer's `on_room` is called when there is."""
        if self._may_speak is not None and not self._may_speak():
            return False
        return self._outbound.try_send(peer, frame)

    # --- the end of a connection
    def cut(self, peer: Peer, reason: str) -> None:
        """Ends a connection now: what it sent or was to get is dropped."""
        if peer.gone:
            return
        self.counts["cut"] += 1
        log.info("cut peer=%s reason=%r", peer, reason)
        sockets.shut(peer.fd, peer.remote)
        peer.cut_at = self._clock()
        self._end(peer, Unreachable(f"the connection was cut: {reason}"))
        self.peers.retire(peer)

    def cut_soon(self, peer: Peer, reason: str) -> None:
        """The same, after what was just said to it has had time to go."""
        self._loop.call_later(0.25, self.cut, peer, reason)

    def _over(self, peer: Peer, error: BorutaError) -> None:
        self._end(peer, error)
        self.peers.remove(peer)

    def _unknown(self, peer: Peer) -> None:
        self._over(peer, Unreachable("the connection is gone"))

    def _end(self, peer: Peer, error: BorutaError) -> None:
        if peer.gone:
            return
        peer.gone = True
        self._outbound.forget(peer)
        peer.conversation.end(error)
        self._on_lost(peer, error)

    def _on_event(self, event: int, value: int) -> None:
        if event == zmq.EVENT_ACCEPTED:
            self._accepted(value)
        elif event == zmq.EVENT_DISCONNECTED:
            self._disconnected(value)
        elif event == zmq.EVENT_ACCEPT_FAILED:
            self._complain(f"accept_failed errno={value}: out of file descriptors? (ulimit -n)")
        else:
            self.counts["handshakes_failed"] += 1

    def _accepted(self, fd: int) -> None:
        self.counts["accepted"] += 1
        remote = sockets.remote_of(fd)
        if remote is None:
            return
        known = self.peers.by_fd(fd)
        if known is not None and not known.gone and known.remote == remote:
            return  # its first frame came before the news of it
        if fd >= self._files - _SPARE_FILES:
            self._complain(f"no_files_left allowed={self._files}: peers are turned away")
            sockets.shut(fd, remote)
            return
        self._silent[fd] = self._clock()

    def _complain(self, text: str) -> None:
        now = self._clock()
        if now - self._complained_at >= _COMPLAIN_S:
            self._complained_at = now
            log.error("%s", text)

    def _disconnected(self, fd: int) -> None:
        self._silent.pop(fd, None)
        self._take_all()  # what it said before it left counts
        peer = self.peers.by_fd(fd)
        if peer is not None:
            self._look_whether_over(peer, *_CLOSED_WITHIN_S)

    def _look_whether_over(self, peer: Peer, *again_after_s: float) -> None:
        # The fd may be another connection's by now, whose first frame came before this news; and
        # ZeroMQ tells before it closes the fd, which then still looks as if nothing had happened.
        if peer.gone or not self._open:
            return
        if sockets.remote_of(peer.fd) != peer.remote:
            self._over(peer, Unreachable("the connection is gone"))
        elif again_after_s:
            delay, *rest = again_after_s
            self._loop.call_later(delay, self._look_whether_over, peer, *rest)

    def stats(self) -> dict[str, int]:
        """Plain counts."""
        return {
            **self.counts,
            "blocked_sends": self._outbound.blocked if self._open else 0,
            "refused_keys": 0 if self._admission is None else self._admission.refused,
        }

    def tick(self, now: float) -> None:
        """Cuts who came in and said nothing, and who does not read; forgets who is long gone."""
        allowed = _SAID_NOTHING_S + _EACH_OTHER_S * len(self._silent)
        for fd, since in list(self._silent.items()):
            if now - since >= allowed or self._flood.is_endless(fd):
                del self._silent[fd]
                remote = sockets.remote_of(fd)
                if remote is not None and sockets.shut(fd, remote):
                    self.counts["cut"] += 1
        for peer in self._flood.endless(self.peers):
            self.cut(peer, "a message that never ends")
        self._outbound.tick(now)
        self.peers.forget_cut(now - _FORGET_CUT_S)

    def awoke(self, gap: float) -> None:
        """This process did not run for a while: no silence of theirs counts."""
        now = self._clock()
        self._silent = dict.fromkeys(self._silent, now)
        self._outbound.awoke(now)
