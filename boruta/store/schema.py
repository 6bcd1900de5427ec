"""The tables, the same for SQLite and PostgreSQL (SAFETY, D).

Only types that both drivers pass on as they are: whole numbers, floats, text, bytes. A time is a
whole number of microseconds since 1970, UTC. Lists and maps are JSON.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

SCHEMA: Final = 2  # the newest migration in boruta/store/migrations/versions

metadata = sa.MetaData()
# In SQLite only a column of exactly this type is the row's own number.
_ID: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _int(name: str, *, null: bool = False, **more: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null, **more)


def _text(name: str, *, null: bool = False, **more: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, **more)


def _blob(name: str, *, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=null)


# One row each.
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    _int("schema"),
    _text("cluster_id"),
    _text("store_key_id"),
    _int("position"),  # of the last transaction of the log that is in the tables
    _int("last_id"),
    _int("last_seq"),
)
leader = sa.Table(
    "leader",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    _int("epoch"),
    _text("server_id"),
    _int("lease_until", null=True),
)
servers = sa.Table(
    "servers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _int("epoch"),
    _text("address"),
    _int("lease_until", null=True),
    _int("started_at"),
    _text("software"),
)
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("uuid", sa.Text, primary_key=True),
    _int("rev"),
    _text("state"),
    _text("caps"),
    _text("groups"),
    _int("server_epoch"),
    _int("board_epoch"),
    _text("owner_key"),
    _blob("session"),
    _text("reason"),
    _text("reason_code"),
    _int("failures"),
    _int("short_jobs"),
    _int("failed_at", null=True),
    _int("since", null=True),
    _text("ssh_address"),
    _text("username"),
    _text("host_keys"),
    _blob("prepared_key_enc"),
    _text("store_key_id"),
    _int("drain"),
    _int("request_id", null=True),
    _text("server_id"),
    _int("retry_at", null=True),
    _int("changed_xid", null=True),
)
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    _int("rev"),
    _text("state"),
    _int("priority"),
    _int("queue_seq"),
    _text("caps"),
    _text("caps_hash"),
    _int("valid_after"),
    _int("deadline"),
    sa.Column("job_timeout_s", sa.Double, nullable=False),
    _int("created"),
    _text("owner_name"),
    _text("owner_groups"),
    _text("note"),
    _text("token", null=True),
    _blob("body_hash"),
    _blob("session"),
    _int("bound"),
    _text("reason"),
    _text("reason_code"),
    _int("started", null=True),
    _int("ended", null=True),
    _text("groups", null=True),
    _text("close_wanted_by", null=True),
    _int("close_wanted_at", null=True),
    _int("changed_xid", null=True),
    sa.Index("requests_token", "owner_name", "token", unique=True),
    sa.Index(
        "requests_waiting",
        "priority",
        "queue_seq",
        sqlite_where=sa.text("state = 'WAITING'"),
        postgresql_where=sa.text("state = 'WAITING'"),
    ),
)
# `tunnel_open` ends with the request, since a tunnel is closed then although the session on a board
# out of reach may live on (A4): its port may serve another job. `known` ends when the worker is
# deregistered, since a board that is set up anew counts its epochs from the start.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("request_id", _ID, primary_key=True, autoincrement=False),
    _int("rev"),
    _text("worker_uuid"),
    _int("board_epoch"),
    _int("started"),
    _int("ends_at"),
    _int("end_rev"),
    _blob("key_enc"),
    _text("store_key_id"),
    _text("username"),
    _text("host_keys"),
    _text("tunnel_host"),
    _int("tunnel_port"),
    _int("acquired_at", null=True),
    _int("prolongs"),
    _text("prolonged_by", null=True),
    _int("ended_at", null=True),
    _text("end_reason"),
    _text("server_id"),
    _int("tunnel_open"),
    _int("known"),
    _int("changed_xid", null=True),
    sa.Index(
        "jobs_epoch",
        "worker_uuid",
        "board_epoch",
        unique=True,
        sqlite_where=sa.text("known = 1"),
        postgresql_where=sa.text("known = 1"),
    ),
    sa.Index(
        "jobs_live",
        "worker_uuid",
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index(
        "jobs_tunnel",
        "tunnel_host",
        "tunnel_port",
        unique=True,
        sqlite_where=sa.text("tunnel_open = 1"),
        postgresql_where=sa.text("tunnel_open = 1"),
    ),
)
peers = sa.Table(
    "peers",
    metadata,
    sa.Column("public_key", sa.Text, primary_key=True),
    _text("name", unique=True),
    _text("role"),
    _text("groups"),
    _int("removed_at", null=True),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    _int("at"),
    _text("kind"),
    _int("request_id", null=True),
    _text("worker_uuid", null=True),
    _int("epoch", null=True),
    _text("old_state"),
    _text("new_state"),
    _text("by"),
    _text("reason"),
    _text("server_id"),
    _int("changed_xid", null=True),
    sa.Index("events_request", "request_id"),
    sa.Index("events_worker", "worker_uuid"),
    sqlite_autoincrement=True,  # no id comes again, also after retention took the newest
)
