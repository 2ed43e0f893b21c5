"""What a database is asked, seen as it is asked: statements, transactions, and rows looked at."""

import contextlib
import json
from collections import Counter

from sqlalchemy import event


@contextlib.contextmanager
def counting(db):
    """The statements that a database is sent and the transactions that it commits, in the block."""
    counts = Counter()

    def statement(_connection, _cursor, sql, *_):
        if not sql.startswith("BEGIN"):
            counts["statements"] += 1

    def commit(_):
        counts["transactions"] += 1

    event.listen(db.engine, "before_cursor_execute", statement)
    event.listen(db.engine, "commit", commit)
    try:
        yield counts
    finally:
        event.remove(db.engine, "before_cursor_execute", statement)
        event.remove(db.engine, "commit", commit)


@contextlib.contextmanager
def visited(db):
    """How many rows PostgreSQL looked at for each statement of the block: they are explained as
    they are executed."""
    counts = []

    def explain(_connection, cursor, statement, parameters, *_):
        if statement.startswith(("WITH", "UPDATE", "SELECT", "INSERT", "DELETE")):
            with cursor.connection.transaction(force_rollback=True):
                cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)
                (found,) = cursor.fetchone()
            counts.append(rows_of(json.loads(found) if isinstance(found, str) else found))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield counts
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)


def rows_of(found):
    def of(node):
        kept = node["Actual Rows"] + sum(
            count for name, count in node.items() if name.startswith("Rows Removed")
        )
        return max([kept * node["Actual Loops"], *map(of, node.get("Plans", ()))])

    return of(found[0]["Plan"])
