"""Frames to peers: never waits for one, keeps a little for a slow one, gives up on a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import zmq

from boruta.domain import defaults
from transport.peers import OUTBOX_BYTES, OUTBOX_FRAMES, Peer
from transport.sockets import Socket

_RETRY_S: Final = 0.01
# The layer below pyzmq's own `send`, and plain numbers: an enum's | and its way there cost as much
# as the send does.
_send: Final = zmq.backend.Socket.send
_NOW: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class Outbound:
    """The sending half of a ROUTER.

    Args:
        socket: the ROUTER, ROUTER_MANDATORY.
        kick: called after each send: ZMQ_FD is edge-triggered.
        cut: ends a connection.
        gone: ZeroMQ knows the connection no more; called soon.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: Socket,
        clock: Callable[[], float],
        kick: Callable[[], None],
        cut: Callable[[Peer, str], None],
        gone: Callable[[Peer], None],
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._clock = clock
        self._kick = kick
        self._cut = cut
        self._gone = gone
        self._stuck: set[Peer] = set()  # peers that wait for room
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False
        self.blocked = 0

    def send(self, peer: Peer, frame: bytes) -> None:
        """Sends, or keeps the frame while the peer is slow; one that never reads is cut."""
        if peer.gone or (not peer.outbox and self._put(peer, frame)):
            return
        peer.outbox.append(frame)
        peer.outbox_bytes += len(frame)
        if len(peer.outbox) > OUTBOX_FRAMES or peer.outbox_bytes > OUTBOX_BYTES:
            self._cut(peer, "it does not read what it asked for")
        else:
            self._wait_for_room(peer)

    def try_send(self, peer: Peer, frame: bytes) -> bool:
        """Sends if there is room; else `on_room` is called when there is."""
        if peer.gone or (not peer.outbox and self._put(peer, frame)):
            return True
        self._wait_for_room(peer)
        return False

    def _put(self, peer: Peer, frame: bytes) -> bool:
        if self._closed:
            return True
        try:
            _send(self._socket, peer.routing_id, _MORE)
            _send(self._socket, frame, _NOW)
        except zmq.Again:
            self.blocked += 1
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._loop.call_soon(self._gone, peer)
            return True
        finally:
            self._kick()
        return True

    def _wait_for_room(self, peer: Peer) -> None:
        if peer not in self._stuck:
            self._stuck.add(peer)
            peer.moved_at = self._clock()
        if self._retry is None:
            self._retry = self._loop.call_later(_RETRY_S, self._retry_stuck)

    def _retry_stuck(self) -> None:
        self._retry = None
        for peer in list(self._stuck):
            blocked = self.blocked
            while peer.outbox and not peer.gone and self._put(peer, peer.outbox[0]):
                peer.outbox_bytes -= len(peer.outbox.popleft())
                peer.moved_at = self._clock()
            if peer.gone:
                self._stuck.discard(peer)
            elif not peer.outbox:
                peer.on_room()
                if self.blocked == blocked:
                    self._stuck.discard(peer)
        if self._stuck and self._retry is None:
            self._retry = self._loop.call_later(_RETRY_S, self._retry_stuck)

    def tick(self, now: float) -> None:
        """Cuts who has taken nothing for too long."""
        for peer in list(self._stuck):
            if peer.outbox and now - peer.moved_at >= defaults.PEER_GONE_S:
                self._cut(peer, "it reads nothing")

    def awoke(self, now: float) -> None:
        """This process did not run for a while: no slowness of theirs counts."""
        for peer in self._stuck:
            peer.moved_at = now

    def forget(self, peer: Peer) -> None:
        """Its connection is over."""
        peer.outbox.clear()
        peer.outbox_bytes = 0
        self._stuck.discard(peer)

    def close(self) -> None:
        """Sends no more."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
