"""One-time codes"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "one_time_code",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("reference_id", sa.String(length=48), nullable=False),
        sa.Column("destination", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text()),
        sa.Column("attempts_left", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint(
            "application_id", "reference_id", "destination", name=op.f("pk_one_time_code")
        ),
        sa.UniqueConstraint("request_id", name=op.f("uq_one_time_code_request_id")),
    )
    op.create_index(op.f("ix_one_time_code_expires_at"), "one_time_code", ["expires_at"])
    op.create_table(
        "code_limit",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("destination", sa.String(length=16), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "destination", name=op.f("pk_code_limit")),
    )
    op.create_index(op.f("ix_code_limit_expires_at"), "code_limit", ["expires_at"])


def downgrade() -> None:
    op.drop_table("code_limit")
    op.drop_table("one_time_code")
