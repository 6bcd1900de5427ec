"""The history of one request or one board is found without reading all of it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the indexes."""
    op.create_index("events_request", "events", ["request_id"])
    op.create_index("events_worker", "events", ["worker_uuid"])
