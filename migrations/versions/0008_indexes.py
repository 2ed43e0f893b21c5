"""Each index of what waits fits one kind of query and no other"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_COLUMNS = {"ring": ["queue", "application_id", "ring_at"], "expiry": ["expires_at"]}


def upgrade() -> None:
    _over("ring", "state = 'QUEUED' AND queue != ''")
    _over("expiry", "state = 'QUEUED' AND attempt >= 0")


def downgrade() -> None:
    for name in _COLUMNS:
        _over(name, "state = 'QUEUED'")


def _over(name: str, rows: str) -> None:
    index = f"ix_message_result_{name}"
    op.drop_index(index, "message_result")
    op.create_index(
        index,
        "message_result",
        _COLUMNS[name],
        sqlite_where=sa.text(rows),
        postgresql_where=sa.text(rows),
    )
