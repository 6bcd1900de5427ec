"""A port of the board's side on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncssh


class Forward(int):
    """The local port, on this machine's loopback, as an int; `close` ends the forwarding."""

    _listener: asyncssh.SSHListener

    @classmethod
    def over(cls, listener: asyncssh.SSHListener) -> Self:
        """The port on which `listener` listens."""
        made = cls(listener.get_port())
        made._listener = listener
        return made

    @property
    def port(self) -> int:
        """The local port."""
        return int(self)

    async def close(self) -> None:
        """Listens no more; idempotent."""
        self._listener.close()
        await self._listener.wait_closed()
