"""How many calls of a connection and of a key are unanswered, and that these are not too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from boruta.domain import defaults
from boruta.domain.errors import Busy
from boruta.domain.types import Role
from transport.peers import Peer


class Unanswered:
    """Counts calls. A key has many connections; that of an agent, or of an admin, has no bound."""

    def __init__(self) -> None:
        self._of_key: Counter[str] = Counter()

    def check(self, peer: Peer) -> None:
        """Whether this peer may have one call more.

        Raises:
            Busy: it has, or all of its key have, as many as are allowed.
        """
        if peer.in_flight >= defaults.CALLS_AT_ONCE:
            raise Busy(f"{peer.in_flight} calls of this connection are unanswered already")
        if self._of_key[peer.caller.name] >= defaults.CALLS_AT_ONCE_A_KEY:
            raise Busy(f"too many calls of {peer.caller.name} are unanswered already")

    def add(self, peer: Peer) -> Callable[[], None]:
        """One call more; what is returned takes it away again, however often it is called."""
        counts, name = self._of_key, peer.caller.name if peer.caller.role is Role.USER else ""
        peer.in_flight += 1
        if name:
            counts[name] += 1
        there = True

        def answered() -> None:
            nonlocal there
            if not there:
                return
            there = False
            peer.in_flight -= 1
            if name:
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]

        return answered
