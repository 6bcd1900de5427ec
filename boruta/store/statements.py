"""The text of each statement that writes a row; made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from boruta.domain.rows import Row
from boruta.store.columns import TABLES
from boruta.store.net import MORE_COLUMNS

_EVENT_COLUMNS: Final = (
    "at", "kind", "request_id", "worker_uuid", "epoch", "old_state", "new_state", "by", "reason",
    "server_id",
)  # fmt: skip


class Statements:
    """What is run with one tuple a row: `?` stands for each of its values.

    Args:
        xid: what `changed_xid` becomes (SAFETY, E2).
    """

    def __init__(self, xid: str) -> None:
        self._xid = xid
        self.event = self._insert("events", _EVENT_COLUMNS)
        self.insert = {kind: self._insert_of(kind) for kind in TABLES}
        self.update = {kind: self._update_of(kind) for kind in TABLES}
        self.delete = {kind: self._delete_of(kind) for kind in TABLES}

    def _insert_of(self, kind: type[Row]) -> str:
        return self._insert(TABLES[kind].table, (*TABLES[kind].names, *MORE_COLUMNS[kind]))

    def _update_of(self, kind: type[Row]) -> str:
        key, *others = map(quoted, TABLES[kind].names)
        values = ", ".join(f"{name} = ?" for name in others)
        return (
            f"UPDATE {TABLES[kind].table} SET {values}, changed_xid = {self._xid} "
            f"WHERE {key} = ? AND rev = ?"
        )

    def _delete_of(self, kind: type[Row]) -> str:
        key = quoted(TABLES[kind].names[0])
        return f"DELETE FROM {TABLES[kind].table} WHERE {key} = ? AND rev = ?"

    def _insert(self, table: str, names: Sequence[str]) -> str:
        return (
            f"INSERT INTO {table} ({', '.join(map(quoted, names))}, changed_xid) "
            f"VALUES ({', '.join('?' * len(names))}, {self._xid})"
        )


def quoted(name: str) -> str:
    """The name of a column, also where it is a word that the database keeps for itself."""
    return f'"{name}"' if name in ("groups", "by") else name
