"""Limits, and the worker processes that share them"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "rate_limit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer()),
        sa.Column("seconds", sa.Integer()),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.Column("modified_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limit")),
        sa.UniqueConstraint("owner", "what", name=op.f("uq_rate_limit_owner_what")),
    )
    op.create_table(
        "worker_process",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_process")),
    )


def downgrade() -> None:
    op.drop_table("worker_process")
    op.drop_table("rate_limit")
