"""Keeping the database small: what has served its time is deleted, a bounded batch at a time."""

from __future__ import annotations

from sqlalchemy import CTE, Executable, Table, delete, select, tuple_

from worker.store.database import Database
from worker.store.tables import code_limit, idempotency, one_time_code, recent_message

_PASSING = (idempotency, recent_message, one_time_code, code_limit)
"""The tables whose rows are of no use once their `expires_at` has passed."""


def forget(db: Database, *, limit: int = 5000) -> int:
    """Delete the idempotency keys and the fingerprints of messages whose window has ended, the
    one-time codes that are expired and the counts of codes whose hour is over, so many of each at
    most, and return how many there were. Several may do this at once; none does another's work."""
    forgotten = 0
    for table in _PASSING:
        with db.engine.begin() as connection:
            forgotten += len(connection.execute(_delete_expired(db, table, limit)).all())
    return forgotten


def _delete_expired(db: Database, table: Table, limit: int) -> Executable:
    key = table.primary_key.columns
    ended: CTE = (
        select(*key)
        .where(table.c.expires_at <= db.after(0))
        .order_by(table.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("ended")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return delete(table).where(tuple_(*key).in_(select(ended))).returning(*key)
