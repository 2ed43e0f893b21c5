"""What providers say later of messages that they took.

It only moves forward: after the last word nothing changes, and what is heard twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import and_, false, func, select, update

from worker.store.database import Database
from worker.store.rows import keep_attempts, row, storable
from worker.store.settling import Tell, tell_of
from worker.store.tables import Reported, State, message_result

_SUCCESSFUL = "SUCCESSFUL"
_LOOKED_AT = 5_000  # messages


@dataclass(frozen=True, slots=True)
class Handed:
    """A message that a receipt may be of. `provider` is None while it is only known that no other
    than one of the channel's has it."""

    id: UUID
    application_id: str
    channel_type: str
    address: str = field(repr=False)
    provider: str | None
    delivery_status: str | None
    reported: int | None

    @property
    def complained(self) -> bool:
        """Whether the recipient complained of it before."""
        return self.reported == Reported.COMPLAINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a receipt says of a message; `final` if no more is to come. `message_id` is the
    provider's; None if it is of whichever attempt the provider took."""

    id: UUID
    delivery_status: str
    status_code: int
    status_message: str
    message_id: str | None
    fault: str | None = None
    final: bool


def find_handed(db: Database, message_id: UUID) -> Handed | None:
    """The message with our id for it, if there has been an attempt at it."""
    columns = row.id, row.application_id, row.channel_type, row.address, row.provider
    more = row.delivery_status, row.reported
    with db.reading() as connection:
        found = connection.execute(
            select(*columns, *more).where(row.id == message_id, row.attempt > 0)
        ).first()
    return None if found is None else Handed(*found)


def report(db: Database, said: Report, *, tell: Tell | None = None) -> bool:
    """Record what a receipt says and whether that is news. `tell` says what event streams are told.

    It proves that the provider has the message. So one that is still held is settled, and what its
    holder comes to is late; and one whose outcome nobody knew has one.
    """
    with db.engine.begin() as connection:
        before: Any = connection.execute(
            select(message_result).where(row.id == said.id).with_for_update()
        ).first()
        if before is None or not _is_news(before, said):
            return False
        connection.execute(
            update(message_result)
            .where(row.id == said.id)
            .values(
                state=State.DONE,
                reported=_rank(said),
                delivery_status=said.delivery_status,
                status_code=said.status_code,
                status_message=storable(said.status_message),
                fault=said.fault,
                message_id=func.coalesce(storable(said.message_id), row.message_id),
                lease_until=None,
                updated_at=db.after(0),
            )
        )
        if before.state == State.DONE:
            connection.execute(keep_attempts(db, before.updated_at), [_replaced(before)])
        tell_of(db, connection, [said.id], tell)
    return True


def is_news(db: Database, said: Report) -> bool:
    """Whether `report` would record it as things are."""
    with db.reading() as connection:
        before = connection.execute(select(message_result).where(row.id == said.id)).first()
    return before is not None and _is_news(before, said)


def complain(db: Database, message_id: UUID, *, tell: Tell | None = None) -> bool:
    """Record that the recipient complained of a message, and whether that is news. `tell` says what
    event streams are told. What became of the message stays; whoever complains of it has it, so
    that nothing is believed of it afterwards."""
    with db.engine.begin() as connection:
        marked = connection.execute(
            update(message_result)
            .where(row.id == message_id, func.coalesce(row.reported, 0) < Reported.COMPLAINED)
            .values(reported=Reported.COMPLAINED)
        )
        if not marked.rowcount:
            return False
        tell_of(db, connection, [message_id], tell)
    return True


def refused_before(db: Database, handed: Handed, *, most: int) -> Sequence[bool]:
    """Of each of the last messages on the channel up to this one, in the order of their acceptance
    and in this application, whether it failed for its recipient's sake. Others' are passed over,
    but not without end."""
    columns = row.application_id, row.channel_type, row.delivery_status, row.fault
    of_this = select(row.request_id).where(row.id == handed.id).scalar_subquery()
    last = (
        select(*columns)
        .where(row.request_id <= of_this)
        .order_by(row.request_id.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    failed = and_(last.c.delivery_status == "PERMANENT_FAILURE", last.c.fault == "RECIPIENT")
    statement = (
        select(func.coalesce(failed, false()))
        .where(
            last.c.application_id == handed.application_id,
            last.c.channel_type == handed.channel_type,
        )
        .limit(most)
    )
    with db.reading() as connection:
        return [bool(one) for one in connection.execute(statement).scalars()]


def _rank(said: Report) -> Reported:
    return Reported.LAST_WORD if said.final else Reported.MORE_TO_COME


def _is_news(before: Any, said: Report) -> bool:
    """A message of which two were sent, since the first one's answer was lost, has arrived if
    either has; that one of them has not says nothing of the other."""
    if (before.reported or 0) >= _rank(said):
        return False
    if said.delivery_status == _SUCCESSFUL:
        return True
    if before.message_id is not None and said.message_id is not None:
        return bool(before.message_id == said.message_id)
    is_only_one = before.state == State.SENDING and before.attempt == 1
    return bool(is_only_one or before.state == State.DONE)


def _replaced(before: Any) -> dict[str, Any]:
    """What was known before, for the history; only the first of several is kept."""
    return {
        "result_id": before.id,
        "lease_token": before.lease_token,
        "attempt": before.attempt,
        "provider": before.provider,
        "fault": before.fault,
        "delivery_status": before.delivery_status,
        "status_code": before.status_code,
        "status_message": before.status_message,
        "late": False,
    }
