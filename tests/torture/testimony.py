"""Reading the ledgers of a run: the rows and their witness by SQL, the doubles' from their file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import select, text

from tests.torture.ledgers import Attempt, Change, Receipt, Row
from worker.store import Database
from worker.store.tables import message_attempt, message_result

TABLES = (
    *("message_result", "message_attempt", "message_request", "idempotency", "recent_message"),
    "witness",
)
"""Where all is that a run leaves behind."""


def rows(db: Database) -> list[Row]:
    """Every recipient's row."""
    row = message_result.c
    with db.reading() as connection:
        return [
            Row(
                id=str(one.id),
                request_id=str(one.request_id),
                application_id=one.application_id,
                address=one.address,
                channel=one.channel_type or "",
                state=one.state,
                status=one.delivery_status,
                code=one.status_code,
                message_id=one.message_id,
                attempt=one.attempt,
                token=one.lease_token,
                accepted_at=one.created_at.timestamp(),
                expires_at=one.expires_at.timestamp(),
            )
            for one in connection.execute(
                select(
                    row.id,
                    row.request_id,
                    row.application_id,
                    row.address,
                    row.channel_type,
                    row.state,
                    row.delivery_status,
                    row.status_code,
                    row.message_id,
                    row.attempt,
                    row.lease_token,
                    row.created_at,
                    row.expires_at,
                )
            )
        ]


def attempts(db: Database) -> list[Attempt]:
    """Every attempt on record."""
    of = message_attempt.c
    with db.reading() as connection:
        return [
            Attempt(row=str(one.result_id), token=one.lease_token, status=one.status, late=one.late)
            for one in connection.execute(
                select(of.result_id, of.lease_token, of.delivery_status.label("status"), of.late)
            )
        ]


def changes(db: Database) -> list[Change]:
    """What the witness saw (`tests.torture.witness`)."""
    with db.reading() as connection:
        return [
            Change(
                number=one.number,
                row=str(one.row_id if isinstance(one.row_id, UUID) else UUID(one.row_id)),
                at=_seconds(one.at) or 0.0,
                old_state=one.old_state,
                state=one.state,
                old_token=one.old_token,
                token=one.token,
                old_attempt=one.old_attempt,
                attempt=one.attempt,
                old_lease_until=_seconds(one.old_lease_until),
                lease_until=_seconds(one.lease_until),
                lost=bool(one.lost),
            )
            for one in connection.execute(text("SELECT * FROM witness ORDER BY number"))
        ]


def receipts(path: Path) -> list[Receipt]:
    """What the doubles wrote down. A last line that was cut off is not whole and so not read."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Receipt(**json.loads(line)) for line in lines if line.endswith("\n")]


def as_line(one: Receipt) -> str:
    """A receipt as a line of the ledger."""
    return json.dumps({name: getattr(one, name) for name in Receipt.__slots__}) + "\n"


def _seconds(value: datetime | str | None) -> float | None:
    if value is None:
        return None
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
