"""Finds processes by the mark in their environment: the net for a keeper that was killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from dryad.sessions.keeper import all_pids, kill_round, parent_and_state

MARK = "BORUTA_SESSION"
_PAUSE_S = 0.02  # between two rounds


def marked(token: str, seen: Callable[[int, str], None] | None = None) -> dict[int, str]:
    """Every other process whose environment at its start had the session's mark.

    Args:
        token: the mark.
        seen: told of each as soon as it is found.
    """
    mark = f"{MARK}={token}".encode()
    found = {}
    for pid in all_pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:  # gone, or another user's
            continue
        if mark in environ.split(b"\0") and pid != os.getpid():
            known = parent_and_state(pid)
            if known is not None and known[1] not in "ZX":
                found[pid] = known[1]
                if seen is not None:
                    seen(pid, known[1])
    return found


def sweep(token: str, rounds: int = 100) -> list[int]:
    """Kills all that bears the mark; blocks for at most a few seconds.

    Args:
        token: the session's.
        rounds: how often to look before giving up, 20 ms apart.

    Returns:
        The processes that are left, none as a rule.
    """
    pause = threading.Event()
    for round_ in range(rounds):
        if not kill_round(lambda seen: marked(token, seen), freeze=round_ < 5):
            return []
        pause.wait(_PAUSE_S)
    return sorted(marked(token))
