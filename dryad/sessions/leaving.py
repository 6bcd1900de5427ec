"""Ends every process of an account, wherever it hides; run as root.

`kill(-1)` by a process of the same uid reaches all of them in one call, so that no storm of forks
outruns it. What has changed its effective uid (a set-uid program) is found by its real one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from dryad.logs import event
from dryad.sessions.account import Account
from dryad.sessions.keeper import all_pids, parent_and_state

_log = logging.getLogger("dryad.sessions")

ROUNDS: Final = 50
PAUSE_S: Final = 0.02
_HELPER_WITHIN_S: Final = 2.0
RUNTIME: Final = Path("/run/user")


def processes(uid: int) -> list[int]:
    """Every process, zombies left out, one of whose uids (real, effective, saved, file's) it is."""
    found = []
    for pid in all_pids():
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                text = file.read()
        except OSError:  # gone meanwhile
            continue
        line = text.partition(b"\nUid:")[2].partition(b"\n")[0]
        if str(uid).encode() in line.split():
            known = parent_and_state(pid)
            if known is not None and known[1] not in "ZX":
                found.append(pid)
    return found


def kill_all(account: Account) -> list[int]:
    """Kills every process of the account; blocks for about a second at the most.

    Returns:
        Those that are left, none as a rule.
    """
    left = processes(account.uid)
    for _ in range(ROUNDS):
        if not left:
            break
        _kill_as(account)
        for pid in processes(account.uid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        left = processes(account.uid)
        if left:
            time.sleep(PAUSE_S)
    return left


def stop_user_manager(account: Account) -> None:
    """Ends the account's systemd, if it has one.

    One that lingers lives without a login, and outside the holder's control group; `traces` has
    removed what would start it at the next boot.
    """
    if not (RUNTIME / str(account.uid)).exists():
        return
    for words in (
        ["systemctl", "stop", f"user@{account.uid}.service"],
        ["systemctl", "stop", f"user-{account.uid}.slice"],
    ):
        try:
            subprocess.run(
                words, capture_output=True, timeout=_HELPER_WITHIN_S, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            # Not fatal: its processes are killed by their uid in any case.
            event(_log, logging.WARNING, "user_manager_not_stopped", error=error)


def _kill_as(account: Account) -> None:
    # A shell of its own: what runs as the holder's uid can be killed and stopped by his programs.
    try:
        subprocess.run(
            ["/bin/sh", "-c", "kill -KILL -1"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            env={},
            cwd="/",
            capture_output=True,
            timeout=_HELPER_WITHIN_S,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        event(_log, logging.WARNING, "kill_helper_failed", error=error)
