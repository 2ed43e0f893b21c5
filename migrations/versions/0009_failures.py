"""Failures are found, explained and sent again"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_FAILED = (
    "state = 'DONE' AND delivery_status IN ('PERMANENT_FAILURE', 'TIMEOUT', 'UNKNOWN_FAILURE')"
)


def upgrade() -> None:
    op.add_column("message_result", sa.Column("fault", sa.String(length=11)))
    op.add_column("message_result", sa.Column("replay_of", sa.Uuid()))
    op.add_column("message_attempt", sa.Column("provider", sa.Text()))
    op.add_column("message_attempt", sa.Column("fault", sa.String(length=11)))
    op.create_index(
        "ix_message_result_replay_of",
        "message_result",
        ["replay_of"],
        unique=True,
        sqlite_where=sa.text("replay_of IS NOT NULL"),
        postgresql_where=sa.text("replay_of IS NOT NULL"),
    )
    op.create_index(
        "ix_message_result_failed",
        "message_result",
        ["application_id", "updated_at", "id"],
        sqlite_where=sa.text(_FAILED),
        postgresql_where=sa.text(_FAILED),
    )


def downgrade() -> None:
    op.drop_index("ix_message_result_failed", "message_result")
    op.drop_index("ix_message_result_replay_of", "message_result")
    for table, name in (
        ("message_attempt", "fault"),
        ("message_attempt", "provider"),
        ("message_result", "replay_of"),
        ("message_result", "fault"),
    ):
        op.drop_column(table, name)
