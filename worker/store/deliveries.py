"""A recipient's row from claim to record: the delivery protocol, in SQL.

The rules, each of which something else relies on:

* a row is sent only by whoever claimed it, and a claim counts the attempt, so crashes count too;
* every write after the claim holds only while the lease token still matches; a result that comes
  too late is kept in `message_attempt` and changes nothing;
* batches lock rows in the order of their ids and skip what somebody else has locked, so that two
  workers with the same ring neither wait for each other nor deadlock.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Float,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

from worker.store import database, events
from worker.store.database import Database
from worker.store.rows import keep_attempts, locked, row, state, storable
from worker.store.tables import State, event, message_result


# The two that are made of every delivery are not frozen: that takes three times as long.
@dataclass(slots=True)
class Claimed:
    """A row that this worker now holds, and all that it needs to know of it."""

    held_until: float
    """When the lease ends at the earliest, on this process's monotonic clock."""
    id: UUID
    request_id: UUID
    application_id: str
    channel_type: str
    address: str = field(repr=False)
    endpoint_id: str | None
    configuration: str | None = field(repr=False)
    variables: str | None = field(repr=False)
    queue: str
    provider: str | None
    """The provider that a former attempt may have left the message with."""
    attempt: int
    lease_token: int
    created_at: datetime
    due_at: datetime
    """Since when it may be sent: later than it was created, if it had to wait."""
    expires_at: datetime
    claimed_at: datetime


@dataclass(slots=True, kw_only=True)
class Finish:
    """What is to be written of an attempt. `provider` is who has the message, or may have it;
    None if surely nobody has. `tried` is who the attempt was made with, `fault` whose fault it was
    that it failed. `delivery_status` None leaves what the last attempt came to standing; `delay` is
    in seconds and only says something of a row that goes back to QUEUED."""

    id: UUID
    lease_token: int
    state: State
    provider: str | None = None
    tried: str | None = None
    fault: str | None = None
    delivery_status: str | None = None
    status_code: int | None = None
    status_message: str | None = None
    message_id: str | None = None
    updated_token: str | None = field(default=None, repr=False)
    counted: bool = True
    delay: float = 0.0
    attempt: int = 0
    events: Sequence[events.Event] = ()
    """What event streams are told if it is recorded, in the same transaction."""


def claim(db: Database, ids: Collection[UUID], *, lease: float) -> dict[UUID, Claimed]:
    """Take the rows among `ids` that are due, for `lease` seconds. What is not in the answer is
    not ours to send: done, not due, expired, or somebody else's."""
    held_until = time.monotonic() + lease
    with db.alone() as connection:
        found = connection.execute(
            db.statement(_claim), database.as_ids(db, ids) | {"lease": lease}
        ).all()
    return {one.id: Claimed(held_until, *one) for one in found}


@dataclass(frozen=True, slots=True)
class Assignment:
    """The provider that a held message is about to be handed to."""

    id: UUID
    lease_token: int
    provider: str


def assign(db: Database, assignments: Sequence[Assignment]) -> list[bool]:
    """Write down, before it happens, whom each message is handed to, so that after a crash nobody
    hands it to another. Says of each whether it is still held."""
    rows = [
        {"id": one.id, "lease_token": one.lease_token, "provider": one.provider}
        for one in assignments
    ]
    with db.alone() as connection:
        found = connection.execute(db.statement(_assign), database.as_rows(rows))
        held = {(one.id, one.lease_token) for one in found}
    return [(one.id, one.lease_token) in held for one in assignments]


def finish(db: Database, finishes: Sequence[Finish]) -> list[bool]:
    """Record what attempts came to, and say of each whether it was recorded. Those that were not
    had lost their lease; their results are kept as late ones."""
    telling = any(one.events for one in finishes)
    # Then all that there is to do is one statement, but for what has to be kept of late ones.
    at_once = all(one.state is State.DONE for one in finishes) and (
        not telling or database.writes_within(db)
    )
    with db.alone() if at_once else db.engine.begin() as connection:
        held = _record(db, connection, finishes, telling=telling)
        recorded = [(one.id, one.lease_token) in held for one in finishes]
        history = [
            _attempt(one, late=not was_recorded)
            for one, was_recorded in zip(finishes, recorded, strict=True)
            if one.delivery_status and not (was_recorded and one.state is State.DONE)
        ]
        if history:
            connection.execute(keep_attempts(db), history)
    return recorded


def _record(
    db: Database, connection: Connection, finishes: Sequence[Finish], *, telling: bool
) -> set[tuple[UUID, int]]:
    """Write them and the events of those that are still held; says which these are."""
    rows = database.as_rows([_written(one) for one in finishes])
    if telling and database.writes_within(db):
        rows |= database.as_rows([*_told(finishes)], "told")
        return {*map(tuple, connection.execute(db.statement(_finish_and_tell), rows))}
    held = {*map(tuple, connection.execute(db.statement(_finish), rows))}
    told = [each for one in finishes if (one.id, one.lease_token) in held for each in one.events]
    if told:
        events.insert_events(db, connection, told)
    return held


def _claim(db: Database) -> Executable:
    now = db.after(0)
    free = locked(
        select(row.id)
        .where(
            database.among(db, row.id),
            state == State.QUEUED,
            row.due_at <= now,
            row.expires_at > now,
        )
        .order_by(row.id)
    )
    columns = {**row, "claimed_at": now}
    return (
        update(message_result)
        .where(row.id == free.c.id)
        .values(
            state=State.SENDING,
            attempt=row.attempt + 1,
            lease_token=row.lease_token + 1,
            lease_until=db.after(bindparam("lease", type_=Float())),
            updated_at=now,
        )
        .returning(*(columns[name] for name in Claimed.__slots__ if name != "held_until"))
    )


def _assign(db: Database) -> Executable:
    chosen = database.given(db, id=Uuid(), lease_token=BigInteger(), provider=Text()).c
    return (
        update(message_result)
        .where(
            row.id == chosen.id,
            row.lease_token == chosen.lease_token,
            state == State.SENDING,
        )
        .values(provider=chosen.provider)
        .returning(row.id, row.lease_token)
    )


def _finish_and_tell(db: Database) -> Executable:
    recorded = _finish(db).cte("recorded")
    told = database.given(
        db,
        "told",
        id=Uuid(),
        lease_token=BigInteger(),
        application_id=Text(),
        record=Text(),
        position=Integer(),
    ).c
    added = insert(event).from_select(
        ["application_id", "record", "created_at"],
        select(told.application_id, told.record, db.after(0))
        .where(told.id == recorded.c.id, told.lease_token == recorded.c.lease_token)
        .order_by(told.position),
    )
    return select(recorded.c.id, recorded.c.lease_token).add_cte(added.cte("added"))


def _finish(db: Database) -> Any:
    new = database.given(
        db,
        id=Uuid(),
        lease_token=BigInteger(),
        state=Text(),
        provider=Text(),
        fault=Text(),
        delivery_status=Text(),
        status_code=Integer(),
        status_message=Text(),
        message_id=Text(),
        updated_token=Text(),
        uncounted=SmallInteger(),
        delay=Float(),
    ).c
    due_at = db.after(new.delay)
    return (
        update(message_result)
        .where(
            row.id == new.id,
            row.lease_token == new.lease_token,
            state == State.SENDING,
        )
        .values(
            state=new.state,
            provider=new.provider,
            fault=case((new.delivery_status.is_(None), row.fault), else_=new.fault),
            delivery_status=func.coalesce(new.delivery_status, row.delivery_status),
            status_code=func.coalesce(new.status_code, row.status_code),
            status_message=func.coalesce(new.status_message, row.status_message),
            message_id=func.coalesce(new.message_id, row.message_id),
            updated_token=func.coalesce(new.updated_token, row.updated_token),
            attempt=row.attempt - new.uncounted,
            lease_until=None,
            due_at=due_at,
            ring_at=due_at,
            updated_at=db.after(0),
        )
        .returning(row.id, row.lease_token)
    )


def _written(one: Finish) -> dict[str, Any]:
    return {
        "id": one.id,
        "lease_token": one.lease_token,
        "state": one.state,
        "provider": one.provider,
        "fault": one.fault,
        "delivery_status": one.delivery_status,
        "status_code": one.status_code,
        "status_message": storable(one.status_message),
        "message_id": storable(one.message_id),
        "updated_token": storable(one.updated_token),
        "uncounted": 0 if one.counted else 1,
        "delay": one.delay,
    }


def _told(finishes: Sequence[Finish]) -> Iterator[dict[str, Any]]:
    position = itertools.count()
    for one in finishes:
        for each in one.events:
            yield {
                "id": one.id,
                "lease_token": one.lease_token,
                "application_id": each.application_id,
                "record": each.record,
                "position": next(position),
            }


def _attempt(one: Finish, *, late: bool) -> dict[str, Any]:
    return {
        "result_id": one.id,
        "lease_token": one.lease_token,
        "attempt": one.attempt,
        "provider": one.tried,
        "fault": one.fault,
        "delivery_status": one.delivery_status,
        "status_code": one.status_code,
        "status_message": storable(one.status_message),
        "late": late,
    }
