"""Admission: ZeroMQ asks for each CURVE handshake whether the key may come in (RFC 27, ZAP).

pyzmq's own authenticators die for good when a callback raises once; this one does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils import z85

from transport.sockets import Context, Pump, batch

DOMAIN: Final = b"boruta"
ENDPOINT: Final = "inproc://zeromq.zap.01"
log = logging.getLogger("boruta.wire")


def admits(frames: list[bytes], admit: Callable[[str], object | None]) -> list[bytes]:
    """The answer to one question of ZeroMQ's; never raises.

    Args:
        frames: version, request id, domain, address, routing id, mechanism, credentials...
        admit: whoever has this public key (Z85), or None.
    """
    asked = frames[1] if len(frames) > 1 else b""
    status, text, user = b"400", b"not admitted", b""
    try:
        known = (
            len(frames) == 7
            and frames[0] == b"1.0"
            and frames[2] == DOMAIN
            and frames[5] == b"CURVE"
            and len(frames[6]) == 32
        )
        if known:
            public = z85.encode(frames[6])
            if admit(public.decode()) is not None:
                status, text, user = b"200", b"OK", public
    except Exception:
        log.exception("admission_failed")
    return [b"1.0", asked, status, text, user, b""]


class Admission:
    """Answers ZeroMQ's questions of one context on the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        admit: Callable[[str], object | None],
    ) -> None:
        self._admit = admit
        self.refused = 0
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ENDPOINT)
        self._pump = Pump(loop, self._socket, self.drain)

    def drain(self) -> bool:
        """Answers what is asked."""
        return batch(self._socket, self._answer)

    def _answer(self, frames: list[bytes]) -> None:
        answer = admits(frames, self._admit)
        if answer[2] != b"200":
            self.refused += 1
        self._socket.send_multipart(answer, zmq.NOBLOCK)

    def close(self) -> None:
        """Answers no more."""
        self._pump.close()
        self._socket.close(0)
