"""What providers say later of messages that they took"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("message_result", sa.Column("reported", sa.SmallInteger()))


def downgrade() -> None:
    op.drop_column("message_result", "reported")
