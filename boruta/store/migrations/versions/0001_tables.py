"""The tables, with the unique indexes that refuse what must never be (SAFETY, D)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns(kind: Any, names: str) -> list[sa.Column[Any]]:
    """Columns of one type; a name with `?` may be NULL."""
    return [
        sa.Column(name.rstrip("?"), kind, nullable=name.endswith("?")) for name in names.split()
    ]


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    """Makes all tables."""
    number, text, blob = sa.BigInteger, sa.Text, sa.LargeBinary
    op.create_table(
        "meta",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        *_columns(number, "schema"),
        *_columns(text, "cluster_id store_key_id"),
        *_columns(number, "position last_id last_seq"),
    )
    op.create_table(
        "leader",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        *_columns(number, "epoch"),
        *_columns(text, "server_id"),
        *_columns(number, "lease_until?"),
    )
    op.create_table(
        "servers",
        sa.Column("id", text, primary_key=True),
        *_columns(number, "epoch"),
        *_columns(text, "address"),
        *_columns(number, "lease_until? started_at"),
        *_columns(text, "software"),
    )
    op.create_table(
        "workers",
        sa.Column("uuid", text, primary_key=True),
        *_columns(number, "rev"),
        *_columns(text, "state caps groups"),
        *_columns(number, "server_epoch board_epoch"),
        *_columns(text, "owner_key"),
        *_columns(blob, "session"),
        *_columns(text, "reason reason_code"),
        *_columns(number, "failures short_jobs failed_at? since?"),
        *_columns(text, "ssh_address username host_keys"),
        *_columns(blob, "prepared_key_enc"),
        *_columns(text, "store_key_id"),
        *_columns(number, "drain request_id?"),
        *_columns(text, "server_id"),
        *_columns(number, "retry_at? changed_xid?"),
    )
    op.create_table(
        "requests",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        *_columns(number, "rev"),
        *_columns(text, "state"),
        *_columns(number, "priority queue_seq"),
        *_columns(text, "caps caps_hash"),
        *_columns(number, "valid_after deadline"),
        *_columns(sa.Double, "job_timeout_s"),
        *_columns(number, "created"),
        *_columns(text, "owner_name owner_groups note token?"),
        *_columns(blob, "body_hash session"),
        *_columns(number, "bound"),
        *_columns(text, "reason reason_code"),
        *_columns(number, "started? ended?"),
        *_columns(text, "groups? close_wanted_by?"),
        *_columns(number, "close_wanted_at? changed_xid?"),
    )
    op.create_index("requests_token", "requests", ["owner_name", "token"], unique=True)
    op.create_index(
        "requests_waiting",
        "requests",
        ["priority", "queue_seq"],
        sqlite_where=sa.text("state = 'WAITING'"),
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.create_table(
        "jobs",
        sa.Column("request_id", ID, primary_key=True, autoincrement=False),
        *_columns(number, "rev"),
        *_columns(text, "worker_uuid"),
        *_columns(number, "board_epoch started ends_at end_rev"),
        *_columns(blob, "key_enc"),
        *_columns(text, "store_key_id username host_keys tunnel_host"),
        *_columns(number, "tunnel_port acquired_at? prolongs"),
        *_columns(text, "prolonged_by?"),
        *_columns(number, "ended_at?"),
        *_columns(text, "end_reason server_id"),
        *_columns(number, "tunnel_open known changed_xid?"),
    )
    _unique("jobs_epoch", "jobs", ["worker_uuid", "board_epoch"], "known = 1")
    _unique("jobs_live", "jobs", ["worker_uuid"], "ended_at IS NULL")
    _unique("jobs_tunnel", "jobs", ["tunnel_host", "tunnel_port"], "tunnel_open = 1")
    op.create_table(
        "peers",
        sa.Column("public_key", text, primary_key=True),
        sa.Column("name", text, nullable=False, unique=True),
        *_columns(text, "role groups"),
        *_columns(number, "removed_at?"),
    )
    op.create_table(
        "events",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        *_columns(number, "at"),
        *_columns(text, "kind"),
        *_columns(number, "request_id?"),
        *_columns(text, "worker_uuid?"),
        *_columns(number, "epoch?"),
        *_columns(text, "old_state new_state by reason server_id"),
        *_columns(number, "changed_xid?"),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Which transaction wrote a row, for servers that share the database (SAFETY, E2).
        for table in ("workers", "requests", "jobs", "events"):
            op.execute(
                f"ALTER TABLE {table} ALTER COLUMN changed_xid "
                "SET DEFAULT pg_current_xact_id()::text::bigint"
            )
