"""A server that tells before it has written: it must be caught.

Run as `python -m tests.crash.early WHAT server ...`. WHAT is `answers`, which do not wait for the
disk, or `claims`: neither the holder nor the board waits for theirs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from actors.journal import Journal, Key
from actors.runtime import Future
from boruta.domain.types import ReqState
from boruta.store.database import SqlBackend

SLOW_S: Final = 0.3  # a slow disk: what is told too early is told so long before it is so


def answers_early() -> None:
    """Nobody waits for the disk before he is answered."""
    Journal.is_written = lambda self, key: True  # type: ignore[method-assign]
    Journal.written = lambda self, key: None  # type: ignore[method-assign]


def claims_early() -> None:
    """A board is opened, and its key given away, for a claim that may never be there."""
    is_written, written = Journal.is_written, Journal.written

    def runs(journal: Journal, key: object) -> bool:
        row = journal._store.request(key) if isinstance(key, int) else None
        return row is not None and row.state is ReqState.INPROGRESS

    def early_is_written(self: Journal, key: Key) -> bool:
        return runs(self, key) or is_written(self, key)

    def early_written(self: Journal, key: Key) -> Future | None:
        return None if runs(self, key) else written(self, key)

    def after(self: Journal, key: Key, then: Callable[[], None], and_of: Key | None = None) -> None:
        then()

    Journal.is_written = early_is_written  # type: ignore[method-assign]
    Journal.written = early_written  # type: ignore[method-assign]
    Journal.after = after  # type: ignore[method-assign]


def slow_disk() -> None:
    """Each batch takes its time."""
    apply = SqlBackend.apply

    def late(self: SqlBackend, *batch: Any) -> None:
        time.sleep(SLOW_S)
        apply(self, *batch)

    SqlBackend.apply = late  # type: ignore[method-assign]


def main() -> None:
    """The process."""
    {"answers": answers_early, "claims": claims_early}[sys.argv.pop(1)]()
    slow_disk()
    from boruta.cli.entry import main as boruta

    boruta()


if __name__ == "__main__":
    main()
