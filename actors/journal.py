"""The way to the store: a transaction goes in, its outcome comes back once."""

from __future__ import annotations

from collections.abc import Callable

from boruta.domain.ports import Store
from boruta.domain.rows import Conflict, Transaction


class Journal:
    """Commits what actors decide. Nobody tells of a change before its outcome is back.

    The outcome comes by a call-back, so that an actor is written once for a store that answers
    at once and for one that a disk stands behind.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.commits = 0
        self.conflicts = 0

    def submit(self, transaction: Transaction, then: Callable[[Conflict | None], None]) -> None:
        """Commits `transaction`; `then` gets None, or the row that stood in the way."""
        conflict = self._store.commit(transaction)
        if conflict is None:
            self.commits += 1
        else:
            self.conflicts += 1
        then(conflict)
