"""Where the server listens, for whom, and with what options of ZeroMQ."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import zmq

from boruta.domain.errors import BadAddress, Unavailable
from boruta.domain.types import Caller
from transport.sockets import RECEIVED_KEPT, Socket, set_common
from transport.zap import DOMAIN

_SENT_KEPT: Final = 256  # frames of one peer that wait in ZeroMQ to be sent
_BACKLOG: Final = 4096  # with ZeroMQ's 100, 10,000 agents take a minute to come back
_HANDSHAKE_MS: Final = 20_000  # a backstop: who says nothing is cut before


@dataclass(frozen=True, slots=True)
class Door:
    """A bound address, and who may come in.

    Keys are Z85 text; `admit` answers with whoever has a public key, or None.
    """

    bind: str
    public_key: str
    secret_key: str = field(repr=False)
    admit: Callable[[str], Caller | None]
    insecure: bool = False

    def prepare(self, socket: Socket) -> None:
        """Sets the options of a ROUTER, before it is bound."""
        set_common(socket, self.bind)
        # Neither limit bounds the number of a message's parts (nothing in ZeroMQ does): `flood`
        # does, and a memory limit of the service stands behind it.
        socket.setsockopt(zmq.RCVHWM, RECEIVED_KEPT)
        socket.setsockopt(zmq.SNDHWM, _SENT_KEPT)
        socket.setsockopt(zmq.BACKLOG, _BACKLOG)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # No ROUTER_HANDOVER: a peer that claims another's routing id must not get his frames.
        # No HEARTBEAT_*: on this side they are quadratic in the number of peers.
        if self.insecure:
            return
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public_key.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret_key.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        # CURVE alone would let any key in if nobody answered ZAP.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def bind_to(self, socket: Socket) -> str:
        """Binds; the address as it is, with its port.

        Raises:
            BadAddress: no address to bind.
            Unavailable: the port is taken.
        """
        try:
            socket.bind(self.bind)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise Unavailable(
                    f"{self.bind} is in use by another server or program; stop it, or --bind to "
                    "another port"
                ) from None
            if error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
                raise BadAddress(f"{self.bind}: this machine has no such address") from None
            raise BadAddress(
                f"{self.bind!r} cannot be bound ({error.strerror}): want tcp://ADDRESS:PORT"
            ) from None
        found = socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(found, bytes)
        return found.rstrip(b"\0").decode()
