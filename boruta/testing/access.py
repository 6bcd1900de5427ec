"""Ways to boards that lead nowhere, and remember what was asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from boruta.domain.errors import Busy
from boruta.domain.ports import Endpoint


@dataclass(slots=True)
class FakeAccess:
    """The port `Access` without a socket.

    `full` makes `reserve` fail, `broken` makes `open` fail, as it does for endpoints that are
    `taken` by another program. `reserved` has the ports that are
    taken, `opened` where each of them leads, `log` every call in order.
    """

    host: str = "127.0.0.1"
    first_port: int = 40_000
    full: bool = False
    broken: bool = False
    taken: set[Endpoint] = field(default_factory=set)
    reserved: set[Endpoint] = field(default_factory=set)
    opened: dict[Endpoint, str] = field(default_factory=dict)
    log: list[tuple[str, Endpoint]] = field(default_factory=list)
    _next: int = 0

    def reserve(self) -> Endpoint:
        """Takes the next port; ports do not come again, so that a stale one is noticed.

        Raises:
            Busy: `full` is set.
        """
        if self.full:
            raise Busy("no port is free")
        endpoint = Endpoint(self.host, self.first_port + self._next)
        self._next += 1
        self.reserved.add(endpoint)
        self.log.append(("reserve", endpoint))
        return endpoint

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Leads to `target` from now on; one of an earlier life is reserved again.

        Raises:
            Busy: `broken` is set, or the port is taken.
        """
        if endpoint in self.opened:
            return
        if self.broken or endpoint in self.taken:
            raise Busy("the tunnel cannot be opened")
        self.reserved.add(endpoint)
        self.opened[endpoint] = target
        self.log.append(("open", endpoint))

    def close(self, endpoint: Endpoint) -> None:
        """Gives the port back; idempotent."""
        self.reserved.discard(endpoint)
        self.opened.pop(endpoint, None)
        self.log.append(("close", endpoint))

    def close_all(self) -> None:
        """Gives every port back."""
        for endpoint in tuple(self.reserved):
            self.close(endpoint)
