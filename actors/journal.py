"""The way to the store: a transaction goes in, its outcome comes back once.

The store answers at once, from memory, and writes behind (DESIGN, "Decisions"): what was decided is
decided in its order, and a crash leaves a beginning of it. So whatever goes out of this process --
an answer, an order to an agent, a piece of news -- waits until the changes that it rests on are
written. While the store is unwell nothing new is taken on, and what is told is told as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from actors.runtime import Dispatcher, Future
from boruta.domain.ports import Store
from boruta.domain.rows import Conflict, JobRow, RequestRow, Transaction, Write
from boruta.domain.types import ReqID, WorkerUUID

Key: TypeAlias = ReqID | WorkerUUID
_PRUNED_AT = 1024


class Journal:
    """Commits what actors decide, and says when it is written.

    The outcome comes by a call-back, so that an actor is written once for whatever store.
    """

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._touched: dict[Key, int] = {}  # the last change of each row that is not yet written
        self._prune_at = _PRUNED_AT
        self._waiting: set[Future] = set()
        self._readers: set[Future] = set()
        self.commits = 0
        self.conflicts = 0

    def submit(
        self,
        transaction: Transaction,
        then: Callable[[Conflict | None], None],
        by: str = "",
    ) -> None:
        """Commits `transaction`, for the history on behalf of `by`.

        `then` gets None, or the row that stood in the way.
        """
        store = self._store
        conflict = store.commit(transaction, by)
        if conflict is None:
            self.commits += 1
            if store.written < store.position:
                self._touch(transaction)
        else:
            self.conflicts += 1
        then(conflict)

    def _touch(self, transaction: Transaction) -> None:
        touched, position = self._touched, self._store.position
        for change in transaction:
            if not isinstance(change, Write):
                touched[change.id] = position
            elif isinstance(change.row, JobRow):
                touched[change.row.request_id] = position
            elif isinstance(change.row, RequestRow):
                touched[change.row.id] = position
            else:
                touched[change.row.uuid] = position
        if len(touched) > self._prune_at:
            written = self._store.written
            self._touched = {key: at for key, at in touched.items() if at > written}
            self._prune_at = max(_PRUNED_AT, 2 * len(self._touched))

    def is_written(self, key: Key) -> bool:
        """Whether everything that is known of this request or board outlives a crash."""
        return self._touched.get(key, 0) <= self._store.written

    def after(self, key: Key, then: Callable[[], None], and_of: Key | None = None) -> None:
        """Calls `then` once all that is known of this request or board is written; mostly now.

        Args:
            key: the request or board.
            then: what is to be done.
            and_of: another one, whose changes must be written too.
        """
        position = self._touched.get(key, 0)
        if and_of is not None:
            position = max(position, self._touched.get(and_of, 0))
        if position <= self._store.written:
            then()
        else:
            self._store.when_written(position, then)

    def written(self, key: Key) -> Future | None:
        """What to await until all that is known of `key` is written; None: it is.

        It gets the StoreUnavailable if the store falls ill before.
        """
        if self.is_written(key):
            return None
        future = Future(self._dispatcher)
        if self._store.unwell is not None:
            future.answer_error(self._store.unwell)
            return future
        return self._answered_at(self._touched[key], future, self._waiting)

    def settled(self, key: Key | None = None) -> Future | None:
        """What to await before something is shown, of `key` or of anything; None: nothing.

        It is answered when all of it is written, or the store falls ill.
        """
        store = self._store
        position = store.position if key is None else self._touched.get(key, 0)
        if position <= store.written or store.unwell is not None:
            return None
        return self._answered_at(position, Future(self._dispatcher), self._readers)

    def _answered_at(self, position: int, future: Future, among: set[Future]) -> Future:
        """Has it answered when so much is written; until then it is one of those that wait."""
        among.add(future)

        def told() -> None:
            among.discard(future)
            future.answer(None)

        self._store.when_written(position, told)
        return future

    def health_changed(self) -> None:
        """Nobody waits for a store that is unwell: it may be so for hours."""
        unwell = self._store.unwell
        if unwell is not None:
            for reader in tuple(self._readers):
                reader.answer(None)
            for future in tuple(self._waiting):
                future.answer_error(unwell)
            self._readers.clear()
            self._waiting.clear()
