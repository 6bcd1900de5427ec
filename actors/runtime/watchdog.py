"""Reports whoever holds the dispatcher's thread."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

log = logging.getLogger("boruta.runtime")

SLOW_S = 0.05  # heartbeats and sockets wait as long
SLOW_KEPT = 100  # the newest ones; all are counted and logged


class SlowTurn(NamedTuple):
    """One message that took too long.

    Attributes:
        actor: the actor's class, or "call" for a plain function.
        message: the message's type, or the function's name.
        seconds: how long it took.
    """

    actor: str
    message: str
    seconds: float


class Watchdog:
    """Keeps what took longer than `limit_s` on one dispatcher.

    Args:
        limit_s: seconds that one message may take.
    """

    def __init__(self, limit_s: float = SLOW_S) -> None:
        self.limit_s = limit_s
        self.count = 0
        self.worst_s = 0.0
        self.slow_turns: deque[SlowTurn] = deque(maxlen=SLOW_KEPT)

    def report(self, actor: str, message: str, seconds: float) -> None:
        """One turn was too long."""
        self.count += 1
        self.worst_s = max(self.worst_s, seconds)
        self.slow_turns.append(SlowTurn(actor, message, seconds))
        log.warning("slow_turn actor=%s message=%s seconds=%.3f", actor, message, seconds)
