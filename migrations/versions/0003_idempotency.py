"""Idempotency keys have a caller and an end"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc, after

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    idempotency = op.create_table(
        "idempotency",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("caller", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "caller", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_expires_at"), "idempotency", ["expires_at"])
    _keep_keys(idempotency)
    with op.batch_alter_table("message_request") as table:
        table.drop_constraint("uq_message_request_application_id_idempotency_key", type_="unique")
        table.drop_column("idempotency_key")
        table.drop_column("fingerprint")


def _keep_keys(idempotency: sa.Table) -> None:
    """The upgrade frees nobody's key for a day, except those of callers with an access key: whose
    they were was not written down."""
    request = sa.table(
        "message_request",
        *(
            sa.column(name)
            for name in ("application_id", "idempotency_key", "request_id", "fingerprint")
        ),
    ).c
    taken = sa.select(
        request.application_id,
        sa.literal(""),
        request.idempotency_key,
        request.request_id,
        request.fingerprint,
        after(86400),
    ).where(request.idempotency_key.is_not(None))
    op.execute(sa.insert(idempotency).from_select([*idempotency.c.keys()], taken))


def downgrade() -> None:
    with op.batch_alter_table("message_request") as table:
        table.add_column(sa.Column("idempotency_key", sa.String(length=200)))
        table.add_column(
            sa.Column("fingerprint", sa.String(length=64), nullable=False, server_default="")
        )
        table.create_unique_constraint(
            "uq_message_request_application_id_idempotency_key",
            ["application_id", "idempotency_key"],
        )
    op.drop_table("idempotency")
