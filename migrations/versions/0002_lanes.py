"""Rings are fed application by application"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _index_by("queue", "application_id", "ring_at")


def downgrade() -> None:
    _index_by("queue", "ring_at")


def _index_by(*columns: str) -> None:
    op.drop_index("ix_message_result_ring", "message_result")
    op.create_index(
        "ix_message_result_ring",
        "message_result",
        [*columns],
        sqlite_where=sa.text("state = 'QUEUED'"),
        postgresql_where=sa.text("state = 'QUEUED'"),
    )
