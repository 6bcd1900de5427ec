"""Takes the holders' account from the machine: for good, and only when nothing of it is left."""

from __future__ import annotations

import os
from collections.abc import Iterator

from boruta.domain.errors import Busy, InfraError
from dryad.sessions import account, leaving, traces
from dryad.sessions.account import Account


def remove(name: str) -> Iterator[str]:
    """Removes the account with all that is its own, if dryad made it; blocks; tells what it did.

    Its uid may be given out again from then on, and who gets it would own what was left.

    Raises:
        Busy: an agent lets its holders in by it.
        InfraError: something of it is left, so it stays.
    """
    try:
        known = account.look_up(name)
    except InfraError:
        return  # there is none
    if not account.is_ours(name):
        yield f"account {name}: dryad did not make it, so it stays"
        return
    try:
        lock = account.lock(name)  # of another data directory, perhaps: its holder is not killed
    except Busy as error:
        raise Busy(f"account {name}: {error}; end that agent first") from None
    try:
        if left := _empty(known):
            raise InfraError(f"account {name}: stays, for this is left of it: {'; '.join(left)}")
        account.remove(name)
    finally:
        os.close(lock)
    yield f"account {name}: removed, with its home"


def _empty(known: Account) -> list[str]:
    # What others would start for it later goes before the last look at its processes.
    trouble = traces.stop_what_comes_later(known)
    leaving.stop_user_manager(known)
    trouble += [f"process {pid}" for pid in leaving.kill_all(known)]
    return trouble + traces.remove_all(known)
