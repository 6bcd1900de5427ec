"""How an agent lets a holder in and makes sure that he is out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sessions(Protocol):
    """A way to log in to the board: one key at a time, nothing kept from one to the next.

    Attributes:
        username: the only name that may log in.
    """

    username: str

    async def start(self) -> str:
        """Listens; the actual address as ``host:port``.

        Raises:
            BadAddress: it is no address, or it cannot be bound.
        """
        ...

    @property
    def host_keys(self) -> tuple[str, ...]:
        """Public key lines without host and comment (``ssh-ed25519 AAAA...``)."""
        ...

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """Ends what was, makes a fresh home, and lets `key` in from now on.

        Args:
            epoch: the board epoch that the key stands for.
            key: an OpenSSH public key line.
            on_login: called once, on the loop, at the first login.

        Raises:
            BadRequest: `key` is no public key.
            SessionAlive: something of the former holder survives.
        """
        ...

    async def end(self) -> None:
        """The key opens nothing, connections are closed, processes dead, the home is gone.

        Idempotent; a call while another one runs joins it.

        Raises:
            SessionAlive: something survives; calling again tries again.
        """
        ...

    @property
    def active(self) -> bool:
        """Somebody has logged in since `let_in` and has not been ended yet."""
        ...

    async def stop(self) -> None:
        """Ends the session and stops listening."""
        ...
