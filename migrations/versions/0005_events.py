"""Event streams and the events that they are still to be told"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "event_stream",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("modified_by", sa.Text()),
        sa.Column("modified_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
            name=op.f("fk_event_stream_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("application_id", name=op.f("pk_event_stream")),
    )
    op.create_table(
        "event",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "turn",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("until", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_turn")),
    )


def downgrade() -> None:
    op.drop_table("turn")
    op.drop_table("event")
    op.drop_table("event_stream")
