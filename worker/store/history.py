"""All that is known of one message: its row, and the attempts that did not settle it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from worker.store.database import Database
from worker.store.tables import Reported, State, message_attempt, message_result

row = message_result.c
_replay = message_result.alias("replay")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that left a row of its own: it did not settle the message, or it came to a result
    when another worker had the message already (`late`)."""

    lease_token: int
    attempt: int
    late: bool
    provider: str | None
    delivery_status: str
    status_code: int
    status_message: str
    fault: str | None
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A message and its attempts, in the order in which they were begun. Each claim of the message
    counts `lease_token` up, and those that came to an attempt `attempt` too."""

    id: UUID
    request_id: UUID
    application_id: str
    position: int
    user_id: str | None
    endpoint_id: str | None
    channel_type: str | None
    address: str = field(repr=False)
    queue: str
    provider: str | None
    state: State
    delivery_status: str | None
    status_code: int | None
    status_message: str | None
    fault: str | None
    message_id: str | None
    reported: int | None
    attempt: int
    lease_token: int
    due_at: datetime
    expires_at: datetime
    lease_until: datetime | None
    created_at: datetime
    updated_at: datetime
    replay_of: UUID | None
    replayed_as: UUID | None
    attempts: tuple[Attempt, ...] = ()

    @property
    def complained(self) -> bool:
        """Whether the recipient complained of it."""
        return self.reported == Reported.COMPLAINED


def history(db: Database, message_id: UUID) -> History | None:
    """What is known of a message, by its own id."""
    found = _histories(db, row.id == message_id)
    return found[0] if found else None


def histories(db: Database, request_id: UUID) -> list[History]:
    """What is known of a request's messages, in the order of the request."""
    return _histories(db, row.request_id == request_id)


def _histories(db: Database, which: ColumnElement[bool]) -> list[History]:
    columns: list[ColumnElement[Any]] = [
        getattr(row, name) for name in History.__slots__ if name not in {"attempts", "replayed_as"}
    ]
    replayed_as = (
        select(_replay.c.request_id).where(_replay.c.replay_of == row.id).scalar_subquery()
    )
    statement = (
        select(*columns, replayed_as.label("replayed_as")).where(which).order_by(row.position)
    )
    attempts: dict[UUID, list[Attempt]] = {}
    one = message_attempt.c
    with db.reading() as connection:
        messages = connection.execute(statement).mappings().all()
        made = connection.execute(
            select(one.result_id, *(getattr(one, name) for name in Attempt.__slots__))
            .where(one.result_id.in_(select(row.id).where(which)))
            .order_by(one.result_id, one.lease_token, one.ended_at)
        )
        for result_id, *values in made:
            attempts.setdefault(result_id, []).append(Attempt(*values))
    return [
        History(
            **{**message, "state": State(message["state"])},
            attempts=tuple(attempts.get(message["id"], ())),
        )
        for message in messages
    ]
