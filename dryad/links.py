"""What makes an agent's link to its server; a test has one of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from boruta.domain.errors import BorutaError

if TYPE_CHECKING:
    from transport.client import Address, KeyPair, Link


class MakeLink(Protocol):
    """What makes a `Link`; a test has one of its own."""

    def __call__(
        self,
        servers: Sequence[Address],
        keys: KeyPair | None,
        *,
        role: Any,
        software: str,
        session: bytes,
        insecure: bool,
        on_call: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]],
        on_up: Callable[[dict[str, Any]], Awaitable[None]],
        on_down: Callable[[BorutaError], None],
        beat_body: Callable[[], dict[str, Any]],
    ) -> Link:
        """A link that is not open yet."""
        ...


def real_link(*args: Any, **options: Any) -> Link:
    """The one over ZeroMQ, which is loaded now."""
    from transport.client import Link

    return Link(*args, **options)
