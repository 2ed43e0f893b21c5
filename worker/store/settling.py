"""Settling the rows that nobody holds any more or will ever send, and telling of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    Text,
    and_,
    case,
    cast,
    literal,
    not_,
    or_,
    select,
    update,
)

from worker.store import codes, events
from worker.store.database import Database
from worker.store.rows import keep_attempts, locked, row
from worker.store.tables import (
    EXPIRING,
    HELD,
    State,
    event_stream,
    message_request,
    message_result,
)


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
    expired = locked(
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
    late = locked(
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
