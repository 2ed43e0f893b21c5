"""Keeping the database small: what has served its time is deleted, a bounded batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import CTE, Connection, Executable, Table, delete, func, or_, select, tuple_

from worker.store import database
from worker.store.database import Database
from worker.store.tables import (
    State,
    code_limit,
    idempotency,
    message_attempt,
    message_request,
    message_result,
    one_time_code,
    recent_message,
)

_PASSING = (idempotency, recent_message, one_time_code, code_limit)
"""The tables whose rows are of no use once their `expires_at` has passed."""

_FIRST = UUID(int=0)

row = message_result.c
_request = message_request.c
_original = message_result.alias("original")


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many requests a batch deleted, how many messages with them, and the request that it
    looked at last: None if there was none to look at any more."""

    requests: int = 0
    messages: int = 0
    mark: UUID | None = None

    @property
    def reached(self) -> datetime | None:
        """When that request was accepted."""
        if self.mark is None:
            return None
        return datetime.fromtimestamp((self.mark.int >> 80) / 1000, UTC)


def forget(db: Database, *, limit: int = 5000) -> int:
    """Delete the idempotency keys and the fingerprints of messages whose window has ended, the
    one-time codes that are expired and the counts of codes whose hour is over, so many of each at
    most, and return how many there were. Several may do this at once; none does another's work."""
    forgotten = 0
    for table in _PASSING:
        with db.engine.begin() as connection:
            forgotten += len(connection.execute(_delete_expired(db, table, limit)).all())
    return forgotten


def prune(
    db: Database,
    before: datetime,
    *,
    mark: UUID | None = None,
    limit: int = 500,
    dry_run: bool = False,
) -> Pruned:
    """Delete requests whose messages were all settled, and heard of for the last time, before then:
    with all of their messages and attempts, or not at all.

    It looks at the next requests after `mark`, the oldest first, that have `limit` messages, or at
    one that has more; so a batch costs the same however many there are that have to stay. Several
    may do this at once; none does another's work, nor waits for it.

    A message that was sent instead of a failed one stays for as long as that one does, which could
    be sent yet again otherwise. With `dry_run` nothing is deleted and such messages are counted.
    """
    ids = _looked_at(db, before, mark, limit)
    if not ids:
        return Pruned()
    with db.writing(dry_run=dry_run) as connection:
        settled = _settled(db, connection, ids, before, lock=not dry_run)
        if not settled:
            return Pruned(mark=ids[-1])
        if dry_run:
            return Pruned(len(settled), _count(db, connection, settled), ids[-1])
        going = _whose_originals_go(db, connection, settled)
        return Pruned(len(going), _delete(db, connection, going), ids[-1])


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


def _looked_at(db: Database, before: datetime, mark: UUID | None, limit: int) -> Sequence[UUID]:
    """The requests of the next messages, in order. Their ids begin with the time, so those of what
    was accepted later are not even looked at."""
    messages = (
        select(row.request_id)
        .where(row.request_id > (mark or _FIRST), row.request_id < _first_id(before))
        .order_by(row.request_id)
        .limit(limit)
        .subquery()
    )
    requests = select(messages.c.request_id).distinct().order_by(messages.c.request_id)
    with _in_order(db) as connection:
        return connection.execute(requests).scalars().all()


@contextlib.contextmanager
def _in_order(db: Database) -> Iterator[Connection]:
    """A connection to read with the next of an index's rows: PostgreSQL, whose statistics say that
    there are few, would rather gather all and sort them."""
    if db.engine.dialect.name != "postgresql":
        with db.reading() as connection:
            yield connection
        return
    with db.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan TO off")
        yield connection


def _settled(
    db: Database, connection: Connection, ids: Sequence[UUID], before: datetime, *, lock: bool
) -> set[UUID]:
    """Those of the requests that nothing is to be done for and nothing was heard of since then, but
    for what others delete at the moment. What is settled stays so: a receipt that comes just now,
    so late, goes with its message."""
    # Counted for each: PostgreSQL, whose statistics are old, might join the whole table otherwise.
    others = (
        select(func.count())
        .where(
            row.request_id == _request.request_id,
            or_(row.state != State.DONE, row.updated_at >= before),
        )
        .scalar_subquery()
    )
    statement = (
        select(_request.request_id)
        .where(database.among(db, _request.request_id), others == 0)
        .order_by(_request.request_id)
    )
    if lock:
        statement = statement.with_for_update(skip_locked=True, of=message_request)
    return set(connection.execute(statement, database.as_ids(db, ids)).scalars())


def _whose_originals_go(db: Database, connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Those of the requests that are no replay, or only of what is gone or goes with them."""
    replayed = (
        select(_original.c.request_id).where(_original.c.id == row.replay_of).scalar_subquery()
    )
    found = (
        select(row.request_id, replayed.label("original"))
        .where(database.among(db, row.request_id))
        .subquery()
    )
    links = connection.execute(
        select(found).distinct().where(found.c.original.is_not(None)), database.as_ids(db, ids)
    ).all()
    going = set(ids)
    # A replay that stays keeps the replays of what failed of it.
    while stays := {new for new, old in links if new in going and old not in going}:
        going -= stays
    return going


def _count(db: Database, connection: Connection, ids: Collection[UUID]) -> int:
    count = select(func.count()).where(database.among(db, row.request_id))
    return connection.execute(count, database.as_ids(db, ids)).scalar_one()


def _delete(db: Database, connection: Connection, ids: Collection[UUID]) -> int:
    """Delete these requests, and say how many messages they had."""
    of_request = database.as_ids(db, ids)
    messages = (
        connection.execute(
            delete(message_result).where(database.among(db, row.request_id)).returning(row.id),
            of_request,
        )
        .scalars()
        .all()
    )
    connection.execute(
        delete(message_attempt).where(database.among(db, message_attempt.c.result_id)),
        database.as_ids(db, messages),
    )
    connection.execute(
        delete(message_request).where(database.among(db, _request.request_id)), of_request
    )
    return len(messages)


def _first_id(when: datetime) -> UUID:
    """The least id (UUID, version 7) that a request of then or later has."""
    return UUID(int=max(0, int(when.timestamp() * 1000)) << 80)
