"""A server that serves nobody: whoever calls is told why, and where to go instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from boruta.domain import defaults
from boruta.domain.errors import BorutaError
from transport.codec import Call
from transport.door import Door
from transport.peers import Peer
from transport.router import Router
from transport.session import Bad

_TICK_S: Final = 1.0


class Refuser:
    """Answers each call with an error, and cuts who made it.

    Args:
        door: where it listens, and for whom.
        loop: the running loop.
        why: the error.
    """

    def __init__(
        self, door: Door, loop: asyncio.AbstractEventLoop, why: Callable[[], BorutaError]
    ) -> None:
        self._loop = loop
        self._why = why
        self._router = Router(loop, door, loop.time, self._on_frame, lambda _peer, _error: None)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Binds.

        Raises:
            BadAddress: no address to bind.
            Unavailable: the port is taken.
        """
        self._router.start()
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    @property
    def url(self) -> str:
        """The bound address."""
        return self._router.url

    def close(self) -> None:
        """Frees the address at once; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._router.close()

    def _on_frame(self, peer: Peer, frame: bytes, now: float) -> None:
        match peer.conversation.receive(frame, now):
            case Call(id=number):
                error = self._why()
                self._router.send(peer, peer.conversation.reply(number, error))
                self._router.cut_soon(peer, error.message)
            case Bad(reply=reply, cut=cut):
                if reply is not None:
                    self._router.send(peer, reply)
                if cut:
                    self._router.cut(peer, "bad frames")
            case _:
                pass

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        now = self._loop.time()
        for peer in self._router.peers:
            if now - peer.met_at >= defaults.HELLO_WITHIN_S:
                self._router.cut(peer, f"no call within {defaults.HELLO_WITHIN_S:g} s")
        self._router.tick(now)
