"""The same message is not sent again at once"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "recent_message",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "fingerprint", name=op.f("pk_recent_message")),
    )
    op.create_index(op.f("ix_recent_message_expires_at"), "recent_message", ["expires_at"])


def downgrade() -> None:
    op.drop_table("recent_message")
