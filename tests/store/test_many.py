"""PostgreSQL's statements of many rows: values go through unharmed, rows are found by index."""

from __future__ import annotations

import pytest

from boruta.store.many import ManyAtOnce, as_json
from boruta.store.net import Values
from boruta.store.postgres import CONNECT, PostgresBackend
from boruta.store.statements import Statement
from tests.store.kit import PostgresPlace, a_busy_farm
from tests.store.postgres import Postgres


def _statements() -> list[Statement]:
    made = ManyAtOnce(PostgresBackend.xid)
    return [
        made._drop_job,
        made._close_tunnel,
        *made._updates.values(),
        *made._deletes.values(),
    ]


@pytest.mark.parametrize("statement", _statements(), ids=lambda statement: str(statement.what))
def test_rows_are_found_by_their_index_however_few_there_were_when_it_was_planned(
    pg: PostgresPlace, postgres: Postgres, database: str, statement: Statement
) -> None:
    import psycopg

    store = pg.open()
    a_busy_farm(store)
    pg.written(store)
    rows: list[Values] = [(None,) * len(statement.names)]
    with psycopg.connect(postgres.url(database), **CONNECT) as connection:
        connection.execute("ANALYZE")
        found = connection.execute(
            "EXPLAIN " + statement.text, (as_json(statement.names, rows),)
        ).fetchall()
    plan = "\n".join(line for (line,) in found)
    assert "Index" in plan
    assert "Seq Scan on" not in plan, plan


def test_values_of_each_type_come_back_as_they_were(postgres: Postgres, database: str) -> None:
    import psycopg

    names = ("at", "kind", "request_id", "reason")
    rows: list[Values] = [
        (2**62, "é\U0001f680 \"'\\ \n\t%s %%", None, ""),
        (-1, "\x01\x1f\x7f\ud7ff\uffff", 0, "\\x00"),
    ]
    many = "json_to_recordset(%s::json) AS r(at bigint, kind text, request_id bigint, reason text)"
    blobs = "json_to_recordset(%s::json) AS r(body bytea, timeout double precision)"
    with psycopg.connect(postgres.url(database)) as connection:
        found = connection.execute(f"SELECT * FROM {many}", (as_json(names, rows),)).fetchall()
        more = connection.execute(
            f"SELECT * FROM {blobs}", (as_json(("body", "timeout"), [(bytes(range(256)), 0.1)]),)
        ).fetchall()
    assert found == rows
    assert more == [(bytes(range(256)), 0.1)]
