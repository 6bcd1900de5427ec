"""PostgreSQL's statements, each with all its rows as one value: a batch is few of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from boruta.store.net import Values
from boruta.store.schema import metadata
from boruta.store.statements import WAS, Statement, Statements, column_of, quoted

_TYPES: Final = {
    sa.BigInteger: "bigint",
    sa.Text: "text",
    sa.LargeBinary: "bytea",
    sa.Double: "double precision",
}


class ManyAtOnce(Statements):
    """Each takes one value, the rows as `as_json` makes them."""

    def _insert(self, table: str, names: Sequence[str]) -> Statement:
        columns = ", ".join(map(quoted, names))
        text = (
            f"INSERT INTO {table} ({columns}, changed_xid) "
            f"SELECT {columns}, {self._xid} FROM {_rows(table, names)}"
        )
        return Statement(text, tuple(names), f"INSERT INTO {table}")

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
        sets = [f"{quoted(name)} = r.{quoted(name)}" for name in names]
        sets += [fixed] * bool(fixed) + [f"changed_xid = {self._xid}"] * xid
        given = (*names, *where)
        text = f"UPDATE {table} SET {', '.join(sets)} FROM {_rows(table, given)}{_on(table, where)}"
        return Statement(text, given, f"UPDATE {table}", strict)

    def _delete(self, table: str, where: Sequence[str], *, strict: bool = True) -> Statement:
        text = f"DELETE FROM {table} USING {_rows(table, where)}{_on(table, where)}"
        return Statement(text, tuple(where), f"DELETE FROM {table}", strict)


def _on(table: str, names: Sequence[str]) -> str:
    same = (f"{table}.{column_of(name)} = r.{quoted(name)}" for name in names)
    return " WHERE " * bool(names) + " AND ".join(same)


def _rows(table: str, names: Sequence[str]) -> str:
    columns = (f"{quoted(name)} {_type_of(table, name)}" for name in names)
    return f"json_to_recordset(%s::json) AS r({', '.join(columns)})"


def _type_of(table: str, name: str) -> str:
    column = metadata.tables[table].c["rev" if name == WAS else name]
    return next(type_ for kind, type_ in _TYPES.items() if isinstance(column.type, kind))


def as_json(names: tuple[str, ...], rows: Sequence[Values]) -> str:
    """The rows as PostgreSQL's json_to_recordset reads them."""
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_bytea)


def _bytea(value: Any) -> str:
    return "\\x" + bytes(value).hex()
