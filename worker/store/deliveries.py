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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    Connection,
    Executable,
    Float,
    Integer,
    Row,
    SmallInteger,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    update,
)

from worker.store import codes, database, events
from worker.store.database import Database
from worker.store.tables import (
    EXPIRING,
    HELD,
    WAITING,
    State,
    event_stream,
    message_attempt,
    message_request,
    message_result,
)

row = message_result.c

# The state where rows are asked for by their ids, written so that no index over the rows of a state
# fits: while its statistics are old, PostgreSQL believes that there are none, and would walk them.
_state = row.state.concat(literal_column("''"))


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True)
class Settled:
    """A row that a sweep or a receipt has settled, with the request's body and the application's
    event stream: all that is needed to tell of it."""

    id: UUID
    request_id: UUID
    application_id: str
    channel_type: str
    address: str = field(repr=False)
    endpoint_id: str | None
    configuration: str | None = field(repr=False)
    variables: str | None = field(repr=False)
    provider: str | None
    message_id: str | None
    delivery_status: str
    status_code: int
    status_message: str
    created_at: datetime
    body: str = field(repr=False)
    stream: events.EventStream


Tell = Callable[[Sequence[Settled]], Sequence[events.Event]]


@dataclass(frozen=True, slots=True)
class Ring:
    """A row that is due, and the queue to ring."""

    id: UUID
    queue: str


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
    final = all(one.state is State.DONE and not one.events for one in finishes)
    with db.alone() if final else db.engine.begin() as connection:
        found = connection.execute(
            db.statement(_finish), database.as_rows([_written(one) for one in finishes])
        )
        held = {(one.id, one.lease_token) for one in found}
        recorded = [(one.id, one.lease_token) in held for one in finishes]
        history = [
            _attempt(one, late=not was_recorded)
            for one, was_recorded in zip(finishes, recorded, strict=True)
            if one.delivery_status and not (was_recorded and one.state is State.DONE)
        ]
        if history:
            connection.execute(keep_attempts(db), history)
        told = [
            event
            for one, was_recorded in zip(finishes, recorded, strict=True)
            if was_recorded
            for event in one.events
        ]
        if told:
            events.insert_events(db, connection, told)
    return recorded


def rescue(
    db: Database,
    *,
    at_most_once: Collection[str],
    max_attempts: int,
    code_attempts: int = 1,
    tell: Tell | None = None,
    limit: int = 500,
) -> int:
    """Settle the rows whose holder is gone, and return how many there were. `tell` says what event
    streams are told of those that are settled for good.

    Nobody knows whether the provider got them. Channels `at_most_once` end as UNKNOWN_FAILURE, but
    for one-time codes only after `code_attempts`, as do rows whose attempts are used up (poison);
    the others are due again at once.
    """
    expired = _locked(
        select(row.id)
        .where(HELD, row.lease_until <= db.after(0))
        .order_by(row.lease_until)
        .limit(limit)
    )
    again = and_(row.attempt < code_attempts, codes.unsent(row.request_id))
    gone = or_(and_(row.channel_type.in_(at_most_once), not_(again)), row.attempt >= max_attempts)
    reason = case(
        (
            row.attempt >= max_attempts,
            literal("The worker was lost during attempt ")
            + cast(row.attempt, Text)
            + literal(f" of {max_attempts}"),
        ),
        else_="The worker was lost while sending; the message may have been delivered",
    )
    statement = (
        update(message_result)
        .where(row.id == expired.c.id)
        .values(
            state=case((gone, State.DONE), else_=State.QUEUED),
            delivery_status="UNKNOWN_FAILURE",
            status_code=500,
            status_message=reason,
            fault=None,
            lease_until=None,
            due_at=db.after(0),
            ring_at=db.after(0),
            updated_at=db.after(0),
        )
        .returning(
            row.id,
            row.lease_token,
            row.attempt,
            row.state,
            row.provider,
            row.delivery_status,
            row.status_code,
            row.status_message,
        )
    )
    with db.engine.begin() as connection:
        rescued = connection.execute(statement).all()
        if rescued:
            connection.execute(keep_attempts(db), [_lost(one) for one in rescued])
            settled = [one.id for one in rescued if one.state == State.DONE]
            tell_of(db, connection, settled, tell)
    return len(rescued)


def expire(db: Database, *, tell: Tell | None = None, limit: int = 500) -> int:
    """Close the rows whose deadline passed before they could be sent, and return how many. `tell`
    says what event streams are told of them."""
    late = _locked(
        select(row.id)
        .where(EXPIRING, row.expires_at <= db.after(0))
        .order_by(row.expires_at)
        .limit(limit)
    )
    statement = (
        update(message_result)
        .where(row.id == late.c.id)
        .values(
            state=State.DONE,
            delivery_status="TIMEOUT",
            status_code=408,
            status_message=literal("The message could not be sent before its deadline")
            + case((row.status_message > "", literal("; ") + row.status_message), else_=""),
            updated_at=db.after(0),
        )
        .returning(row.id)
    )
    with db.engine.begin() as connection:
        expired = connection.execute(statement).scalars().all()
        tell_of(db, connection, expired, tell)
    return len(expired)


def waiting(db: Database, queues: Collection[str]) -> dict[str, list[str]]:
    """The applications that have rows waiting for a ring, by queue.

    It hops over the index from one application to the next, so that its cost goes with their
    number and not with the backlog.
    """
    with db.reading() as connection:
        found = connection.execute(
            db.statement(_waiting), database.as_rows([{"queue": one} for one in queues])
        )
        lanes: dict[str, list[str]] = {}
        for queue, application_id in found:
            lanes.setdefault(queue, []).append(application_id)
    return lanes


def due(
    db: Database, queue: str, application_ids: Collection[str], *, room: int, again_after: float
) -> list[Ring]:
    """Up to `room` rows that wait for a ring on `queue`, oldest first, the applications in turn: an
    equal share of each, and what one leaves of its share is the others'. They are not offered
    again for `again_after` seconds."""
    shares: dict[str, list[Ring]] = {one: [] for one in application_ids}
    asked = {"of_queue": queue, "again_after": again_after}
    with db.alone() as connection:
        hungry = list(shares)
        while hungry and (each := room // len(hungry)):
            still = []
            for application_id in hungry:
                found = connection.execute(
                    db.statement(_due), asked | {"of_application": application_id, "each": each}
                )
                ids = found.scalars().all()
                shares[application_id] += [Ring(one, queue) for one in ids]
                room -= len(ids)
                if len(ids) == each:
                    still.append(application_id)
            hungry = still
    turns = itertools.zip_longest(*shares.values())
    return [ring for turn in turns for ring in turn if ring is not None]


def unring(db: Database, ids: Collection[UUID]) -> None:
    """Forget that these rows were rung: the next sweep of any worker rings them at once."""
    statement = (
        update(message_result)
        .where(database.among(db, row.id), _state == State.QUEUED)
        .values(ring_at=row.due_at)
    )
    with db.engine.begin() as connection:
        connection.execute(statement, database.as_ids(db, ids))


def _waiting(db: Database) -> Executable:
    lane = database.given(db, queue=Text()).c.queue
    hop = select(
        lane.label("queue"),
        select(func.min(row.application_id))
        .where(WAITING, row.queue == lane)
        .scalar_subquery()
        .label("application_id"),
    ).cte("hop", recursive=True)
    following = (
        select(func.min(row.application_id))
        .where(
            WAITING,
            row.queue == hop.c.queue,
            row.application_id > hop.c.application_id,
        )
        .scalar_subquery()
    )
    hop = hop.union_all(select(hop.c.queue, following).where(hop.c.application_id.is_not(None)))
    rings = select(row.id).where(
        WAITING,
        row.queue == hop.c.queue,
        row.application_id == hop.c.application_id,
        row.ring_at <= db.after(0),
    )
    return select(hop.c.queue, hop.c.application_id).where(rings.exists())


def _due(db: Database) -> Executable:
    wanted = _locked(
        select(row.id)
        .where(
            WAITING,
            row.queue == bindparam("of_queue", type_=Text()),
            row.application_id == bindparam("of_application", type_=Text()),
            row.ring_at <= db.after(0),
        )
        .order_by(row.ring_at)
        .limit(bindparam("each", type_=Integer()))
    )
    return (
        update(message_result)
        # That a row was rung for may be forgotten: it is rung for again.
        .where(row.id == wanted.c.id, database.hurried(db))
        .values(ring_at=db.after(bindparam("again_after", type_=Float())))
        .returning(row.id)
    )


def _locked(selected: Any) -> CTE:
    """The rows as a fenced subquery. Without MATERIALIZED PostgreSQL may run it more than once and
    take more rows than the limit says."""
    cte: CTE = selected.with_for_update(skip_locked=True).cte("locked")
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def _claim(db: Database) -> Executable:
    now = db.after(0)
    free = _locked(
        select(row.id)
        .where(
            database.among(db, row.id),
            _state == State.QUEUED,
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
            _state == State.SENDING,
        )
        .values(provider=chosen.provider)
        .returning(row.id, row.lease_token)
    )


def _finish(db: Database) -> Executable:
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
            _state == State.SENDING,
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


def storable(text: str | None) -> str | None:
    """A provider's words, without what PostgreSQL and UTF-8 cannot hold: one such text must not
    keep a whole batch of results from being recorded."""
    if text is None:
        return None
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def tell_of(db: Database, connection: Connection, ids: Sequence[UUID], tell: Tell | None) -> None:
    """Have event streams told of rows that were settled, in the transaction that settled them."""
    if tell is None or not ids:
        return
    names = [name for name in Settled.__slots__ if name != "stream"]
    columns = [getattr(row, name) for name in names if name != "body"]
    found: Sequence[Any] = connection.execute(
        select(*columns, message_request.c.body, event_stream)
        .join_from(
            message_result, event_stream, event_stream.c.application_id == row.application_id
        )
        .join(message_request, message_request.c.request_id == row.request_id)
        .where(row.id.in_(ids))
        .order_by(row.id)
    ).all()
    settled = [_settled(one, names) for one in found]
    if told := tell(settled):
        events.insert_events(db, connection, told)


def _settled(one: Any, names: Sequence[str]) -> Settled:
    values: dict[str, Any] = {name: getattr(one, name) for name in names}
    values["stream"] = events.as_stream(one)
    return Settled(**values)


def _lost(one: Row[Any]) -> dict[str, Any]:
    return {
        "result_id": one.id,
        "lease_token": one.lease_token,
        "attempt": one.attempt,
        "provider": one.provider,
        "delivery_status": one.delivery_status,
        "status_code": one.status_code,
        "status_message": one.status_message,
        "late": False,
    }


def keep_attempts(db: Database) -> Any:
    """Attempts are only added. A record that is written again after a lost reply is the same."""
    return (
        database.insert(db, message_attempt).values(ended_at=db.after(0)).on_conflict_do_nothing()
    )


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
