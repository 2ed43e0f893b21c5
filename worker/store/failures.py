"""Messages that failed: finding them, counting them, and storing what is sent instead of them.

What failed is never changed. A replay is a new request, whose rows say of which failed ones they
are; that no row can have two replays is for the database to see to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, text, tuple_
from sqlalchemy.exc import IntegrityError

from worker.store import standing
from worker.store.database import Database
from worker.store.requests import Recipient, Request, save
from worker.store.standing import Standing
from worker.store.tables import FAILED, message_result

row = message_result.c
_replay = message_result.alias("replay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which failures: of one application, and where something is given, only those that have it.
    `since` and `until` are about the time of the failure, the first inclusive, the other not."""

    application_id: str
    request_id: UUID | None = None
    channel_type: str | None = None
    provider: str | None = None
    status: str | None = None
    code: int | None = None
    fault: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    standing: Collection[Standing] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the order of failures: after the one that failed then."""

    failed_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that failed. `replayed_as` is the request that was sent instead of it."""

    id: UUID
    request_id: UUID
    user_id: str | None
    endpoint_id: str | None
    channel_type: str | None
    address: str = field(repr=False)
    configuration: str | None = field(repr=False)
    variables: str | None = field(repr=False)
    provider: str | None
    delivery_status: str
    status_code: int | None
    status_message: str | None
    fault: str | None
    attempt: int
    created_at: datetime
    updated_at: datetime
    standing: Standing
    replayed_as: UUID | None

    @property
    def mark(self) -> Mark:
        """The place behind it."""
        return Mark(self.updated_at, self.id)


_NAMES = Failure.__slots__


@dataclass(frozen=True, slots=True)
class Count:
    """How many failures there are of a kind."""

    channel_type: str | None
    delivery_status: str
    status_code: int | None
    standing: Standing
    count: int


def failures(
    db: Database,
    wanted: Wanted,
    *,
    size: int,
    after: Mark | None = None,
    oldest_first: bool = False,
) -> list[Failure]:
    """The next failures, so many at most, the latest first unless it is said otherwise."""
    place = tuple_(row.updated_at, row.id)
    conditions = _conditions(wanted)
    if after is not None:
        there = tuple_(after.failed_at, after.id, types=[row.updated_at.type, row.id.type])
        conditions.append(place > there if oldest_first else place < there)
    order = [row.updated_at, row.id]
    statement = (
        select(*(_TOLD[name] if name in _TOLD else getattr(row, name) for name in _NAMES))
        .where(*conditions)
        .order_by(*(order if oldest_first else [one.desc() for one in order]))
        .limit(size)
    )
    with db.reading() as connection:
        return [
            Failure(**{**one, "standing": Standing(one["standing"])})
            for one in connection.execute(statement).mappings()
        ]


def count_failures(db: Database, wanted: Wanted) -> list[Count]:
    """How many failures there are of each kind, the most frequent first."""
    count = func.count().label("count")
    statement = (
        select(row.channel_type, row.delivery_status, row.status_code, standing.of_failure(), count)
        .where(*_conditions(wanted))
        .group_by(row.channel_type, row.delivery_status, row.status_code, text("standing"))
        .order_by(count.desc(), row.channel_type, row.delivery_status, row.status_code)
    )
    with db.reading() as connection:
        return [
            Count(one[0], one[1], one[2], Standing(one[3]), one[4])
            for one in connection.execute(statement)
        ]


def replayed(db: Database, ids: Collection[UUID]) -> set[UUID]:
    """Those of the failed messages that were sent again."""
    with db.reading() as connection:
        found = connection.execute(select(row.replay_of).where(row.replay_of.in_(ids)))
        return set(found.scalars())


def save_replay(
    db: Database,
    request: Request,
    recipients: Sequence[Recipient],
    *,
    ttl: float,
    accepted_at: datetime,
) -> bool:
    """Store a request that is sent instead of failed messages, which were accepted then. False,
    with nothing stored, if somebody was faster with one of them."""
    try:
        save(db, request, recipients, ttl=ttl, accepted_at=accepted_at)
    except IntegrityError:
        if not replayed(db, [one.replay_of for one in recipients if one.replay_of is not None]):
            raise
        return False
    return True


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    given = {
        row.request_id: wanted.request_id,
        row.channel_type: wanted.channel_type,
        row.provider: wanted.provider,
        row.delivery_status: wanted.status,
        row.status_code: wanted.code,
        row.fault: wanted.fault,
    }
    conditions: list[ColumnElement[bool]] = [
        row.application_id == wanted.application_id,
        # Word for word what the index says, so that it can be used.
        text(FAILED),  # type: ignore[list-item] # a TextClause is a condition too
        *(column == value for column, value in given.items() if value is not None),
    ]
    if wanted.since is not None:
        conditions.append(row.updated_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(row.updated_at < wanted.until)
    if wanted.standing is not None:
        conditions.append(or_(*(standing.IS[one] for one in wanted.standing)))
    return conditions


_TOLD: dict[str, Any] = {
    "standing": standing.of_failure(),
    "replayed_as": select(_replay.c.request_id)
    .where(_replay.c.replay_of == row.id)
    .scalar_subquery()
    .label("replayed_as"),
}
