"""The text of each statement that writes rows; made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from boruta.domain.rows import JobRow, RequestRow, Row, WorkerRow
from boruta.store.columns import TABLES
from boruta.store.net import MORE_COLUMNS, Net, Values

_EVENT_COLUMNS: Final = (
    "at", "kind", "request_id", "worker_uuid", "epoch", "old_state", "new_state", "by", "reason",
    "server_id",
)  # fmt: skip
_WRITTEN: Final[tuple[type[Row], ...]] = (RequestRow, JobRow, WorkerRow)
WAS: Final = "was"  # the value that a row's rev is to have before


class Statement(NamedTuple):
    """What is run with one tuple a row.

    `text` has a `?` for each of its values, unless a database says it otherwise; `names` are what
    the values are, `what` is for an error. `strict`: each tuple is to change one row.
    """

    text: str
    names: tuple[str, ...]
    what: str
    strict: bool = True


Run = tuple[Statement, Sequence[Values]]


class Statements:
    """What is run with one tuple a row.

    Args:
        xid: what `changed_xid` becomes (SAFETY, E2).
    """

    def __init__(self, xid: str) -> None:
        self._xid = xid
        self._meta = self._update("meta", ("position", "last_id", "last_seq"), ())
        self._drop_job = self._delete("jobs", ("request_id",), strict=False)
        self._close_tunnel = self._update(
            "jobs", (), ("request_id",), fixed="tunnel_open = 0", strict=False
        )
        self._forget = self._update("jobs", (), ("worker_uuid",), fixed="known = 0", strict=False)
        self._event = self._insert("events", _EVENT_COLUMNS)
        self._inserts = {kind: self._insert_of(kind) for kind in _WRITTEN}
        self._updates = {kind: self._update_of(kind) for kind in _WRITTEN}
        self._deletes = {kind: self._delete_of(kind) for kind in _WRITTEN}

    def of(self, net: Net, meta: Values, events: Sequence[Values]) -> list[Run]:
        """All that writes a batch, in its order; what has no rows is left out."""
        parts = [(kind, net.parts(kind)) for kind in _WRITTEN]
        found: list[Run] = [
            (self._meta, [meta]),
            # What makes room comes before what takes it: the unique indexes look at each row.
            (self._drop_job, net.dropped_jobs),
            *((self._deletes[kind], part.deletes) for kind, part in parts),
            (self._close_tunnel, net.closed_tunnels),
            (self._forget, net.removed_workers),
            *((self._updates[kind], part.updates) for kind, part in parts),
            *((self._inserts[kind], part.inserts) for kind, part in parts),
            (self._event, events),
        ]
        return [(statement, rows) for statement, rows in found if rows]

    def _insert_of(self, kind: type[Row]) -> Statement:
        return self._insert(TABLES[kind].table, (*TABLES[kind].names, *MORE_COLUMNS[kind]))

    def _update_of(self, kind: type[Row]) -> Statement:
        key, *others = TABLES[kind].names
        return self._update(TABLES[kind].table, others, (key, WAS), xid=True)

    def _delete_of(self, kind: type[Row]) -> Statement:
        return self._delete(TABLES[kind].table, (TABLES[kind].names[0], WAS))

    def _update(
        self,
        table: str,
        names: Sequence[str],
        where: Sequence[str],
        *,
        fixed: str = "",
        xid: bool = False,
        strict: bool = True,
    ) -> Statement:
        sets = [f"{quoted(name)} = {self._value(name)}" for name in names]
        sets += [fixed] * bool(fixed) + [f"changed_xid = {self._xid}"] * xid
        given = (*names, *where)
        text = f"UPDATE {table} SET {', '.join(sets)}{self._from('FROM', table, given)}"
        return Statement(text + self._where(table, where), given, f"UPDATE {table}", strict)

    def _delete(self, table: str, where: Sequence[str], *, strict: bool = True) -> Statement:
        text = f"DELETE FROM {table}{self._from('USING', table, where)}{self._where(table, where)}"
        return Statement(text, tuple(where), f"DELETE FROM {table}", strict)

    def _insert(self, table: str, names: Sequence[str]) -> Statement:
        columns = ", ".join(map(quoted, names))
        text = f"INSERT INTO {table} ({columns}, changed_xid) {self._new(table, names)}"
        return Statement(text, tuple(names), f"INSERT INTO {table}")

    def _where(self, table: str, names: Sequence[str]) -> str:
        same = (f"{table}.{quoted(column_of(name))} = {self._value(name)}" for name in names)
        return " WHERE " * bool(names) + " AND ".join(same)

    # --- how a database says it
    def _value(self, name: str) -> str:
        return "?"

    def _from(self, word: str, table: str, names: Sequence[str]) -> str:
        """Where the values of a change are, if not in its text."""
        return ""

    def _new(self, table: str, names: Sequence[str]) -> str:
        """The new rows."""
        return f"VALUES ({', '.join(map(self._value, names))}, {self._xid})"


def column_of(name: str) -> str:
    """The column that a value is of, or is compared with."""
    return "rev" if name == WAS else name


def quoted(name: str) -> str:
    """The name of a column, also where it is a word that the database keeps for itself."""
    return f'"{name}"' if name in ("groups", "by") else name
