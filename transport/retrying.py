"""How long a link waits before it tries again, and where."""

from __future__ import annotations

import contextlib
import random
from typing import Final

from boruta.domain.defaults import RECONNECT_S
from boruta.domain.errors import BorutaError, NotLeader
from transport.dealer import Address

# One that said nothing is not gone to again within so long, whoever names it as the leader: a try
# takes up to 15 s, and a server that stands by takes over from it within 10 s.
MUTE_S: Final = 10.0
_ANOTHER_S: Final = 0.6  # users are few, and one of several servers is there soon


def delay_s(failures: int, told_s: float | None, others: bool) -> float:
    """Seconds until the next try, with jitter.

    Args:
        failures: tries in a row that failed.
        told_s: what the server asked for, if it did.
        others: whether a user knows of another server.
    """
    least, most = RECONNECT_S
    if others:
        most = _ANOTHER_S
    if told_s is not None:
        return min(most, max(least, told_s)) * random.uniform(0.7, 1.0)
    return random.uniform(least, min(most, least * 2.0 ** min(failures, 10)))


def leader_told(error: BorutaError, by: Address) -> Address | None:
    """Where a server that does not lead sends us, if it knows; they all have the same key."""
    servers = error.details.get("servers") if isinstance(error, NotLeader) else None
    for url in servers if isinstance(servers, list) else ():
        found = Address(str(url), by.server_key)
        with contextlib.suppress(BorutaError):
            found.parts()
            return None if found == by else found
    return None
