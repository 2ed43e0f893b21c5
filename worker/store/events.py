"""Event streams, and the events that they are still to be told.

An event is written in the transaction of what it tells of, so there is none of what did not happen,
and none is missing of what did. It is deleted once the sink has it. Between the two a crash can
have it told twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, Text, delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from worker.store import database
from worker.store.database import Database
from worker.store.tables import event, event_stream, turn


@dataclass(frozen=True, slots=True)
class EventStream:
    """Where an application's events go: the ARNs that PutEventStream was given."""

    application_id: str
    destination: str
    role: str
    modified_by: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something to be told: a JSON object."""

    application_id: str
    record: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Untold:
    """An event that is still to be told. `destination` is None if the application has no stream any
    more."""

    id: int
    application_id: str
    record: str = field(repr=False)
    destination: str | None


def put_event_stream(
    db: Database, application_id: str, *, destination: str, role: str, by: str | None
) -> EventStream | None:
    """Give an application an event stream in place of any that it has; None if there is no such
    application."""
    values = {
        "destination": destination,
        "role": role,
        "modified_by": by,
        "modified_at": db.after(0),
    }
    statement = (
        database.insert(db, event_stream)
        .values(application_id=application_id, **values)
        .on_conflict_do_update(index_elements=["application_id"], set_=values)
        .returning(event_stream)
    )
    try:
        with db.engine.begin() as connection:
            return as_stream(connection.execute(statement).one())
    except IntegrityError:
        return None


def find_event_stream(db: Database, application_id: str) -> EventStream | None:
    """The application's event stream, if it has one."""
    return event_streams(db, [application_id]).get(application_id)


def event_streams(db: Database, application_ids: Collection[str]) -> dict[str, EventStream]:
    """The event streams of those of the applications that have one."""
    with db.reading() as connection:
        return streams_of(connection, application_ids)


def delete_event_stream(db: Database, application_id: str) -> EventStream | None:
    """Take an application's event stream away, and say what it was. What it has not been told by
    now, nobody is told."""
    with db.engine.begin() as connection:
        found = connection.execute(
            delete(event_stream)
            .where(event_stream.c.application_id == application_id)
            .returning(event_stream)
        ).first()
    return None if found is None else as_stream(found)


def add_events(db: Database, events: Sequence[Event]) -> None:
    """Have events told that belong to no other change."""
    with db.engine.begin() as connection:
        insert_events(db, connection, events)


def untold(db: Database, *, limit: int) -> list[Untold]:
    """The next events to be told, in the order in which they were written."""
    statement = (
        select(event.c.id, event.c.application_id, event.c.record, event_stream.c.destination)
        .join_from(
            event,
            event_stream,
            event_stream.c.application_id == event.c.application_id,
            isouter=True,
        )
        .order_by(event.c.id)
        .limit(limit)
    )
    with db.reading() as connection:
        return [Untold(*one) for one in connection.execute(statement)]


def forget_events(db: Database, ids: Collection[int]) -> None:
    """These events have been told. If a crash of the database undoes it, they are told again."""
    with db.alone() as connection:
        connection.execute(db.statement(_forget), database.as_ids(db, ids))


def forget_old_events(db: Database, *, older_than: float, most: int, limit: int = 10_000) -> int:
    """Give up the oldest of the events that are still to be told: those that have waited longer
    than so many seconds, and those that are more than `most`. At most `limit`; says how many."""
    oldest = select(event.c.id, event.c.created_at).order_by(event.c.id).limit(limit).subquery()
    newest = select(func.max(event.c.id)).scalar_subquery()
    given_up = select(oldest.c.id).where(
        or_(oldest.c.created_at < db.after(-older_than), oldest.c.id <= newest - most)
    )
    with db.engine.begin() as connection:
        return connection.execute(delete(event).where(event.c.id.in_(given_up))).rowcount


def take_turn(db: Database, name: str, *, holder: str, seconds: float) -> bool:
    """Whether it is the holder's turn, and then for so many seconds from now."""
    mine = {"holder": holder, "until": db.after(seconds)}
    statement = (
        database.insert(db, turn)
        .values(name=name, **mine)
        .on_conflict_do_update(
            index_elements=["name"],
            set_=mine,
            where=or_(turn.c.holder == holder, turn.c.until <= db.after(0)),
        )
        .returning(turn.c.name)
    )
    with db.alone() as connection:
        return connection.execute(statement).first() is not None


def end_turn(db: Database, name: str, *, holder: str) -> None:
    """Leave the turn to others."""
    with db.alone() as connection:
        connection.execute(delete(turn).where(turn.c.name == name, turn.c.holder == holder))


def streams_of(connection: Connection, application_ids: Collection[str]) -> dict[str, EventStream]:
    """The same as `event_streams` within a transaction of the store's."""
    statement = select(event_stream).where(event_stream.c.application_id.in_(application_ids))
    return {one.application_id: as_stream(one) for one in connection.execute(statement)}


def insert_events(db: Database, connection: Connection, events: Sequence[Event]) -> None:
    """Write events in the transaction of what they tell of, all in one statement."""
    rows = [{"application_id": one.application_id, "record": one.record} for one in events]
    connection.execute(db.statement(_insert), database.as_rows(rows))


def as_stream(one: Any) -> EventStream:
    """A row of `event_stream`."""
    return EventStream(
        one.application_id, one.destination, one.role, one.modified_by, one.modified_at
    )


def _forget(db: Database) -> Executable:
    return delete(event).where(database.among(db, event.c.id), database.hurried(db))


def _insert(db: Database) -> Executable:
    new = database.given(db, application_id=Text(), record=Text()).c
    return insert(event).from_select(
        ["application_id", "record", "created_at"],
        select(new.application_id, new.record, db.after(0)),
    )
