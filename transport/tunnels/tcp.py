"""TCP tunnels of the server: a port that leads to a board while its job lasts, then nowhere."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from boruta.domain.defaults import TUNNEL_CONNECTIONS
from boruta.domain.errors import BadAddress, Busy
from boruta.domain.ports import Endpoint
from transport.tunnels.bridge import Bridge, How, SockAddr, reset
from transport.tunnels.pump import Pipes

log = logging.getLogger("boruta.tunnel")
_BACKLOG: Final = 128
_ACCEPTS_A_TURN: Final = 16
_REST_S: Final = 0.25  # without file descriptors: until the next try to accept
_TAKEN: Final = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)


@dataclass(slots=True)
class Count:
    """What went through tunnels so far. Bytes are counted when a connection ends."""

    connections: int = 0
    refused: int = 0  # not open yet, or over 32
    not_dialled: int = 0
    broken: int = 0
    to_board: int = 0
    from_board: int = 0


@lru_cache(maxsize=1024)
def _listening(host: str, port: int) -> tuple[int, SockAddr]:
    """Family and socket address to listen at; asked for each job, and always the same."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0], found[0][4]  # type: ignore[return-value]


def address(target: str) -> tuple[int, SockAddr]:
    """Family and socket address of ``1.2.3.4:22`` or ``[::1]:22``.

    A name is refused: what it stands for could change after the server has checked it.

    Raises:
        BadAddress: it is something else.
    """
    # The number of a scope (fe80::1%eth0) may be another one the next time.
    return _address.__wrapped__(target) if "%" in target else _address(target)


@lru_cache(maxsize=1024)
def _address(target: str) -> tuple[int, SockAddr]:
    host, _, port = target.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
        if bracketed is not (ip.version == 6) or not 0 < number < 65536:
            raise ValueError
        # Once more by the system, for the scope of a link-local address.
        found = socket.getaddrinfo(
            str(ip), number, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, ValueError):
        raise BadAddress(
            f"tunnel: want IP:PORT or [IPv6]:PORT, got {target!r:.100}", field="ssh_address"
        ) from None
    return found[0][0], found[0][4]  # type: ignore[return-value]


class Tunnel:
    """One listening port. Connections are closed at once until it has a board."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, pipes: Pipes, count: Count
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._pipes = pipes
        self._count = count
        self._board: tuple[int, SockAddr] | None = None
        self._label = ""
        self._target = ""
        self._bridges: set[Bridge] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._told = False
        loop.add_reader(sock, self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._sock.getsockname()[1])

    @property
    def connections(self) -> int:
        """How many go through it now, those being dialled too."""
        return len(self._bridges)

    @property
    def is_open(self) -> bool:
        """Whether it leads to a board."""
        return self._board is not None

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes of the present connections, to the board and from it."""
        each = [bridge.moved for bridge in self._bridges]
        return sum(up for up, _ in each), sum(down for _, down in each)

    def open(self, target: str, label: str) -> None:
        """Leads to `target` from now on."""
        board = address(target)
        if self._board is not None:
            return
        self._board, self._target, self._label = board, target, label

    def close(self) -> None:
        """Stops listening and cuts every connection."""
        if self._rest is not None:
            self._rest.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._sock)
        self._sock.close()
        self._board = None
        for bridge in tuple(self._bridges):
            bridge.cut()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                near, _peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(error)
                    return
                continue  # that connection was gone before it was accepted
            if self._board is None or len(self._bridges) >= TUNNEL_CONNECTIONS:
                self._count.refused += 1
                reset(near)
                continue
            self._count.connections += 1
            bridge = Bridge(self._loop, near, self._pipes, self._over)
            self._bridges.add(bridge)
            bridge.start(*self._board)

    def _pause(self, error: OSError) -> None:
        # Readable and not to be accepted: the loop would spin. Those who wait stay in the backlog.
        log.warning("tunnel_rests request=%s error=%s", self._label, error)
        self._loop.remove_reader(self._sock)
        self._rest = self._loop.call_later(_REST_S, self._go_on)

    def _go_on(self) -> None:
        self._rest = None
        self._loop.add_reader(self._sock, self._accept)

    def _over(self, bridge: Bridge, how: How, error: OSError | None) -> None:
        self._bridges.discard(bridge)
        up, down = bridge.moved
        self._count.to_board += up
        self._count.from_board += down
        if how is How.BROKEN:
            self._count.broken += 1
        elif how is How.NOT_DIALLED:
            self._count.not_dialled += 1
            if not self._told:  # once a job: a holder's client may try again and again
                self._told = True
                log.warning(
                    "board_not_reached request=%s address=%s error=%s",
                    self._label,
                    self._target,
                    error,
                )


class Tunnels:
    """Ways to boards: implements `domain.interfaces.Access`; to be used on the loop's thread.

    Args:
        loop: watches the sockets; asyncio's or uvloop's.
        host: where tunnels listen, and what an Endpoint says; "" or "*" is everywhere.
        ports: allowed ports; None lets the system choose.
        access_host: what holders are told instead of the host, if anything; kept for them only.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        ports: range | None = None,
        access_host: str | None = None,
    ) -> None:
        self.host = "0.0.0.0" if host in ("", "*") else host
        self.access_host = access_host
        self._loop = loop
        self._ports = ports
        self._next = 0
        self._count = Count()
        self._pipes = Pipes()
        self._tunnels: dict[Endpoint, Tunnel] = {}

    def reserve(self) -> Endpoint:
        """Takes a port; connections are refused until `open`.

        Raises:
            Busy: no port is free.
            OSError: the host is not of this machine, or there are no file descriptors.
        """
        if self._ports is None:
            return self._listen(0)
        # In turn, so that a port just given back is not the next holder's at once.
        for step in range(len(self._ports)):
            at = (self._next + step) % len(self._ports)
            try:
                endpoint = self._listen(self._ports[at])
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                self._next = at + 1
                return endpoint
        ports = self._ports
        raise Busy(f"no tunnel port is free in {ports.start}..{ports.stop - 1} on {self.host}")

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Forwards to `target` (IP:PORT) from now on.

        An endpoint that is not reserved is of an earlier life of this server, or of another server
        that it has taken over from: it is taken again, on this machine. One that is open stays as
        it is.

        Raises:
            BadAddress: `target` is not an address and a port. Connections stay refused.
            Busy: the endpoint is not reserved and its port is taken.
        """
        tunnel = self._tunnels.get(endpoint)
        if tunnel is None:
            address(target)
            tunnel = self._tunnels[endpoint] = self._again(endpoint)
        tunnel.open(target, label)

    def close(self, endpoint: Endpoint) -> None:
        """Gives the port back and cuts every connection; idempotent."""
        tunnel = self._tunnels.pop(endpoint, None)
        if tunnel is not None:
            tunnel.close()

    def close_all(self) -> None:
        """Closes every tunnel."""
        for endpoint in tuple(self._tunnels):
            self.close(endpoint)
        self._pipes.close()

    def stats(self) -> dict[str, int]:
        """Plain numbers: tunnels, connections, bytes both ways, refusals and failures."""
        count, moved = self._count, [tunnel.moved for tunnel in self._tunnels.values()]
        return {
            "tunnels": len(self._tunnels),
            "tunnels_open": sum(tunnel.is_open for tunnel in self._tunnels.values()),
            "connections": sum(tunnel.connections for tunnel in self._tunnels.values()),
            "connections_total": count.connections,
            "refused": count.refused,
            "not_dialled": count.not_dialled,
            "broken": count.broken,
            "bytes_to_board": count.to_board + sum(up for up, _ in moved),
            "bytes_from_board": count.from_board + sum(down for _, down in moved),
        }

    def _again(self, endpoint: Endpoint) -> Tunnel:
        try:
            try:
                return self._bound(endpoint.port, endpoint.host)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL and not isinstance(error, socket.gaierror):
                    raise
                return self._bound(endpoint.port, self.host)  # that was another machine's address
        except OSError as error:
            raise Busy(f"tunnel {endpoint.host}:{endpoint.port}: {error.strerror}") from None

    def _listen(self, port: int) -> Endpoint:
        tunnel = self._bound(port, self.host)
        endpoint = Endpoint(self.host, tunnel.port)
        self._tunnels[endpoint] = tunnel
        return endpoint

    def _bound(self, port: int, host: str) -> Tunnel:
        family, where = _listening(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(where)
            sock.listen(_BACKLOG)
            return Tunnel(self._loop, sock, self._pipes, self._count)
        except BaseException:
            sock.close()
            raise
