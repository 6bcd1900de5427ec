"""PostgreSQL's statements, each with all its rows as one value: a batch is few of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from boruta.store.net import Values
from boruta.store.schema import metadata
from boruta.store.statements import Statements, column_of, quoted

_TYPES: Final = {
    sa.BigInteger: "bigint",
    sa.Text: "text",
    sa.LargeBinary: "bytea",
    sa.Double: "double precision",
}


class ManyAtOnce(Statements):
    """Each takes one value, the rows as `as_json` makes them."""

    def _value(self, name: str) -> str:
        return f"r.{quoted(name)}"

    def _from(self, word: str, table: str, names: Sequence[str]) -> str:
        return f" {word} {_rows(table, names)}"

    def _new(self, table: str, names: Sequence[str]) -> str:
        columns = ", ".join(map(self._value, names))
        return f"SELECT {columns}, {self._xid} FROM {_rows(table, names)}"


def _rows(table: str, names: Sequence[str]) -> str:
    columns = (f"{quoted(name)} {_type_of(table, name)}" for name in names)
    return f"json_to_recordset(%s::json) AS r({', '.join(columns)})"


def _type_of(table: str, name: str) -> str:
    column = metadata.tables[table].c[column_of(name)]
    return next(type_ for kind, type_ in _TYPES.items() if isinstance(column.type, kind))


def as_json(names: tuple[str, ...], rows: Sequence[Values]) -> str:
    """The rows as PostgreSQL's json_to_recordset reads them."""
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_bytea)


def _bytea(value: Any) -> str:
    return "\\x" + bytes(value).hex()
