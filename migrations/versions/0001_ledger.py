"""The ledger: applications, requests and results"""

import sqlalchemy as sa
from alembic import op

from worker.store.clock import Utc

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "application",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON()),
        sa.Column("settings_modified_at", Utc()),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application")),
    )
    op.create_table(
        "message_attempt",
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("delivery_status", sa.String(length=20), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint(
            "result_id", "lease_token", "late", name=op.f("pk_message_attempt")
        ),
    )
    op.create_table(
        "message_result",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("endpoint_id", sa.Text()),
        sa.Column("channel_type", sa.String(length=20)),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("configuration", sa.Text()),
        sa.Column("variables", sa.Text()),
        sa.Column("queue", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.Text()),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("delivery_status", sa.String(length=20)),
        sa.Column("status_code", sa.Integer()),
        sa.Column("status_message", sa.Text()),
        sa.Column("message_id", sa.Text()),
        sa.Column("updated_token", sa.Text()),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.Column("ring_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", Utc()),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_result")),
    )
    op.create_index(
        "ix_message_result_expiry",
        "message_result",
        ["expires_at"],
        sqlite_where=sa.text("state = 'QUEUED'"),
        postgresql_where=sa.text("state = 'QUEUED'"),
    )
    op.create_index(
        "ix_message_result_lease",
        "message_result",
        ["lease_until"],
        sqlite_where=sa.text("state = 'SENDING'"),
        postgresql_where=sa.text("state = 'SENDING'"),
    )
    op.create_index(op.f("ix_message_result_request_id"), "message_result", ["request_id"])
    op.create_index(
        "ix_message_result_ring",
        "message_result",
        ["queue", "ring_at"],
        sqlite_where=sa.text("state = 'QUEUED'"),
        postgresql_where=sa.text("state = 'QUEUED'"),
    )

    op.create_table(
        "access_key",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_key")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_access_key_token_hash")),
    )
    op.create_table(
        "channel",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("channel_type", sa.String(length=20), nullable=False),
        sa.Column("providers", sa.Text(), nullable=False),
        sa.Column("provider_count", sa.SmallInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("modified_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
            name=op.f("fk_channel_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("application_id", "channel_type", name=op.f("pk_channel")),
    )
    op.create_table(
        "endpoint",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("endpoint_key", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("channel_type", sa.String(length=20)),
        sa.Column("address", sa.Text()),
        sa.Column("opt_out", sa.String(length=4), nullable=False),
        sa.Column("endpoint_status", sa.String(length=8), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("effective_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
            name=op.f("fk_endpoint_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("application_id", "endpoint_key", name=op.f("pk_endpoint")),
    )
    op.create_index(
        op.f("ix_endpoint_application_id_channel_type_address"),
        "endpoint",
        ["application_id", "channel_type", "address"],
    )
    op.create_index(
        op.f("ix_endpoint_application_id_user_id"), "endpoint", ["application_id", "user_id"]
    )

    op.create_table(
        "message_request",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200)),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text()),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_message_request")),
        sa.UniqueConstraint(
            "application_id",
            "idempotency_key",
            name=op.f("uq_message_request_application_id_idempotency_key"),
        ),
    )
    op.create_table(
        "opt_out",
        sa.Column("application_id", sa.String(length=32), nullable=False),
        sa.Column("channel_type", sa.String(length=20), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.id"],
            name=op.f("fk_opt_out_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "application_id", "channel_type", "address", name=op.f("pk_opt_out")
        ),
    )
    op.create_table(
        "template",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=5), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", "type", name=op.f("pk_template")),
    )
    op.create_table(
        "template_version",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=5), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("modified_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "type"],
            ["template.name", "template.type"],
            name=op.f("fk_template_version_name_type"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "type", "version", name=op.f("pk_template_version")),
    )


def downgrade() -> None:
    op.drop_table("template_version")
    op.drop_table("template")
    op.drop_table("access_key")
    op.drop_table("opt_out")
    op.drop_table("message_request")
    op.drop_table("endpoint")
    op.drop_table("channel")
    op.drop_table("message_result")
    op.drop_table("message_attempt")
    op.drop_table("application")
