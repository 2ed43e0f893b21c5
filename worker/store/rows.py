"""What every statement over recipients' rows has in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CTE, literal_column

from worker.store import database
from worker.store.database import Database
from worker.store.tables import message_attempt, message_result

row = message_result.c

# The state where rows are asked for by their ids, written so that no index over the rows of a state
# fits: while its statistics are old, PostgreSQL believes that there are none, and would walk them.
state = row.state.concat(literal_column("''"))


def locked(selected: Any) -> CTE:
    """The rows as a fenced subquery. Without MATERIALIZED PostgreSQL may run it more than once and
    take more rows than the limit says."""
    cte: CTE = selected.with_for_update(skip_locked=True).cte("locked")
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def storable(text: str | None) -> str | None:
    """A provider's words, without what PostgreSQL and UTF-8 cannot hold: one such text must not
    keep a whole batch of results from being recorded."""
    if text is None:
        return None
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def keep_attempts(db: Database, ended_at: datetime | None = None) -> Any:
    """Attempts are only added. A record that is written again after a lost reply is the same. They
    ended just now, unless it is said when."""
    when = db.after(0) if ended_at is None else ended_at
    return database.insert(db, message_attempt).values(ended_at=when).on_conflict_do_nothing()
