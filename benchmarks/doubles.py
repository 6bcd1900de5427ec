"""A board and a tunnel that cost next to nothing, so that figures are the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from actors.runtime import Dispatcher
from boruta.domain.commands import Command, CommandReply, Done, Prepare, PrepareDone, Registration
from boruta.domain.errors import BorutaError
from boruta.domain.ports import Endpoint
from boruta.domain.types import Capabilities

_PREPARED: Final = PrepareDone("boruta-user", ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",))
_DONE: Final = Done()


class ObedientBoard:
    """The port `DryadPort` of an agent that does what it is told, in a turn of its own."""

    def __init__(self, dispatcher: Dispatcher, caps: Mapping[str, str]) -> None:
        self._call_soon = dispatcher.call_soon
        self._caps = Capabilities(caps)

    def registration(self) -> Registration:
        """What it says of itself."""
        return Registration(self._caps, "127.0.0.1:7022", session=b"obedient-board-1")

    def send(
        self,
        command: Command,
        within_s: float,
        on_reply: Callable[[CommandReply | BorutaError], None],
    ) -> None:
        """Obeys."""
        self._call_soon(partial(on_reply, _PREPARED if isinstance(command, Prepare) else _DONE))

    def ping(self, within_s: float, on_reply: Callable[[bool], None]) -> None:
        """Is there."""
        self._call_soon(partial(on_reply, True))

    def cut(self, reason: str) -> None:
        """Nothing is connected."""


class FreePorts:
    """The port `Access` with as many ports as one likes, which lead nowhere."""

    def __init__(self) -> None:
        self._next = 0

    def reserve(self) -> Endpoint:
        """The next port."""
        self._next += 1
        return Endpoint("127.0.0.1", self._next)

    def open(self, endpoint: Endpoint, target: str, *, label: str) -> None:
        """Nobody comes."""

    def close(self, endpoint: Endpoint) -> None:
        """Nobody was there."""
