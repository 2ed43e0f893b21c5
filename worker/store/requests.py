"""Requests and what became of them: the write of intake and the reads of its callers."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Executable,
    Float,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from worker.store import codes, database, idempotency, recent
from worker.store.clock import Utc
from worker.store.database import Database, Unavailable
from worker.store.idempotency import Key, Twin
from worker.store.tables import State, message_request, message_result

row = message_result.c

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to be stored, without its recipients."""

    request_id: UUID
    application_id: str
    body: str = field(repr=False)
    trace_id: str | None = None


class Recipient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recipient to be stored. A recipient that is settled at intake comes with its status, and
    one that is sent instead of another that failed with that one's id as `replay_of`.
    `ring_in` is how many seconds from now to ring for it, unless somebody rings before."""

    id: UUID
    position: int
    channel_type: str | None
    address: str
    queue: str
    ring_in: float
    user_id: str | None = None
    endpoint_id: str | None = None
    configuration: str | None = None
    variables: str | None = None
    delivery_status: str | None = None
    status_code: int | None = None
    status_message: str | None = None
    fault: str | None = None
    replay_of: UUID | None = None

    # A provider's to give, and none has seen it yet.
    message_id: ClassVar[None] = None
    updated_token: ClassVar[None] = None

    @property
    def state(self) -> State:
        """Where its row stands from the start."""
        return State.QUEUED if self.delivery_status is None else State.DONE

    def __repr__(self) -> str:
        """Nothing that says who it is."""
        return f"Recipient(id={self.id})"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient so far."""

    id: UUID
    user_id: str | None
    endpoint_id: str | None
    channel_type: str | None
    address: str = field(repr=False)
    state: State
    delivery_status: str | None
    status_code: int | None
    status_message: str | None
    message_id: str | None
    updated_token: str | None = field(repr=False)
    attempt: int
    due_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request that is to be stored; what its members mean is said by `save`."""

    request: Request
    recipients: Sequence[Recipient]
    ttl: float
    key: Key | None = None
    code: codes.NewCode | None = None
    once: recent.Recent | None = None


def save_all(db: Database, drafts: Sequence[Draft]) -> list[Sequence[Recipient] | Twin | Exception]:
    """The same as `save` for each, and its result or what it raises; where it can be, in one
    statement for all."""
    together = _at_once(db, drafts)
    stored = _save_together(db, together) if len(together) > 1 else set()
    return [
        one.recipients if one.request.request_id in stored else _saved(db, one) for one in drafts
    ]


def save(
    db: Database,
    request: Request,
    recipients: Sequence[Recipient],
    *,
    ttl: float,
    key: Key | None = None,
    code: codes.NewCode | None = None,
    once: recent.Recent | None = None,
    accepted_at: datetime | None = None,
) -> Sequence[Recipient] | Twin:
    """Store a request and its recipients, and the one-time code that it sends, in one transaction.
    Within `ttl` seconds the messages have to be sent, and the code is good for as long. Those that
    `once` knows of are settled as DUPLICATE if the same was accepted a short while ago. Their age
    counts from `accepted_at`, if that is not now.

    Returns the recipients as they are stored, or the request that already has the idempotency key;
    then nothing is stored. When this returns, the request is accepted: it survives any crash.
    Raises `TooManyRequests` for a code that is more than its limit.
    """
    new = {f"new_{name}": getattr(request, name) for name in Request.__slots__}
    given = {"ttl": ttl, "accepted_at": accepted_at}
    if once is None and code is None and database.writes_within(db):
        twin = _save_at_once(db, new | given | database.as_rows(recipients), key)
        return recipients if twin is None else twin
    with db.engine.begin() as connection:
        twin = (
            None if key is None else idempotency.take_key(db, connection, key, request.request_id)
        )
        if twin is not None:
            return twin
        if once is not None:
            reasons = recent.take(
                db,
                connection,
                once,
                application_id=request.application_id,
                request_id=request.request_id,
            )
            recipients = [_unless(reasons.get(one.id), one) for one in recipients]
        for statement in db.statement(_insert):
            connection.execute(statement, new | given | database.as_rows(recipients))
        if code is not None:
            codes.put_code(
                db,
                connection,
                code,
                application_id=request.application_id,
                request_id=request.request_id,
                ttl=ttl,
            )
    return recipients


def _at_once(db: Database, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Those that one statement can store: of two with the same key the first, so that it is there
    when the other looks."""
    if not database.writes_within(db):
        return []
    keyed: dict[tuple[str, str, str], Draft] = {}
    for one in drafts:
        if one.key is not None:
            keyed.setdefault(_name(one.key), one)
    return [
        one
        for one in drafts
        if one.code is None
        and one.once is None
        and len(one.request.body) <= _SHORT
        and (one.key is None or keyed[_name(one.key)] is one)
    ]


def _save_together(db: Database, drafts: Sequence[Draft]) -> set[UUID]:
    """Store them, but for those whose key is taken; says the ids of the stored."""
    given = [
        {name: getattr(one.request, name) for name in Request.__slots__}
        | {"ttl": one.ttl, "recipients": one.recipients}
        | ({} if one.key is None else _given_key(one.key))
        for one in drafts
    ]
    try:
        with db.alone() as connection:
            asked = database.as_rows(given, "requests")
            return set(connection.execute(db.statement(_insert_together), asked).scalars())
    except Unavailable:
        raise  # nobody knows whether they are stored
    except SQLAlchemyError as error:  # each is tried again alone, and says what is wrong with it
        _log.warning("%d requests are stored one by one: %s", len(drafts), type(error).__name__)
        return set()


def _saved(db: Database, one: Draft) -> Sequence[Recipient] | Twin | Exception:
    try:
        return save(
            db,
            one.request,
            one.recipients,
            ttl=one.ttl,
            key=one.key,
            code=one.code,
            once=one.once,
        )
    except Exception as error:  # noqa: BLE001 - it is for who wants this one to be stored
        return error


def _given_key(key: Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _KEY} | {"seconds": key.window}


def _name(key: Key) -> tuple[str, str, str]:
    return key.application_id, key.caller, key.key


def _save_at_once(db: Database, given: Mapping[str, Any], key: Key | None) -> Twin | None:
    """In one statement, its idempotency key included; or who has that."""
    with db.alone() as connection:
        if key is None:
            for statement in db.statement(_insert):
                connection.execute(statement, given)
            return None
        given = {**given, **idempotency.asked_for(key, given["new_request_id"])}
        while connection.execute(db.statement(_insert_with_key), given).first() is None:
            # Unless it has ended since: then it is free.
            if (twin := idempotency.holder(connection, key)) is not None:
                return twin
    return None


def bodies(db: Database, request_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The stored requests' JSON, as intake wrote it."""
    with db.reading() as connection:
        found = connection.execute(
            select(message_request.c.request_id, message_request.c.body).where(
                message_request.c.request_id.in_(request_ids)
            )
        )
        return {one.request_id: one.body for one in found}


def kept(db: Database, request_ids: Collection[UUID]) -> dict[UUID, Request]:
    """Those of the requests that are stored, as they were accepted."""
    column = message_request.c
    with db.reading() as connection:
        found = connection.execute(
            select(*(getattr(column, name) for name in Request.__slots__)).where(
                column.request_id.in_(request_ids)
            )
        ).mappings()
        return {one["request_id"]: Request(**one) for one in found}


def results(db: Database, application_id: str, request_id: UUID) -> list[Result]:
    """What became of a request's recipients so far, in the order of the request; empty if this
    application has no such request."""
    with db.reading() as connection:
        found = connection.execute(
            select(*(getattr(row, name) for name in Result.__slots__))
            .where(row.request_id == request_id, row.application_id == application_id)
            .order_by(row.position)
        )
        return [Result(*one) for one in found]


def pending(db: Database, request_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the requests that still have a recipient to be sent to."""
    with db.reading() as connection:
        return set(
            connection.execute(
                select(row.request_id)
                .where(row.request_id.in_(request_ids), row.state != State.DONE)
                .group_by(row.request_id)
            ).scalars()
        )


def application_of(db: Database, request_id: UUID) -> str | None:
    """The application that a request belongs to."""
    with db.reading() as connection:
        return connection.execute(
            select(message_request.c.application_id).where(
                message_request.c.request_id == request_id
            )
        ).scalar()


def backlog(db: Database) -> dict[str, int]:
    """How many rows of each queue wait to be sent."""
    with db.reading() as connection:
        found = connection.execute(
            select(row.queue, func.count().label("waiting"))
            .where(row.state == State.QUEUED)
            .group_by(row.queue)
        )
        return {one.queue: one.waiting for one in found}


_NEW: dict[str, TypeEngine[Any]] = {
    "request_id": Uuid(),
    "application_id": Text(),
    "body": Text(),
    "trace_id": Text(),
}
_KEY: dict[str, TypeEngine[Any]] = {
    "caller": Text(),
    "key": Text(),
    "fingerprint": Text(),
}
_SHORT = 64 * 1024
"""Characters of a request that is stored together with others: a long one would cost them more
than it saves."""
_NEW_PARAMETERS: Mapping[str, ColumnElement[Any]] = {
    name: bindparam(f"new_{name}", type_=kind) for name, kind in _NEW.items()
}
_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": Uuid(),
    "position": SmallInteger(),
    "channel_type": Text(),
    "address": Text(),
    "queue": Text(),
    "user_id": Text(),
    "endpoint_id": Text(),
    "configuration": Text(),
    "variables": Text(),
    "delivery_status": Text(),
    "status_code": Integer(),
    "status_message": Text(),
    "fault": Text(),
    "replay_of": Uuid(),
}


def _insert(db: Database) -> Sequence[Executable]:
    """A request and all of its recipients: one statement on PostgreSQL, two on SQLite."""
    request, results = _insert_request(db), _insert_results(db)
    if database.writes_within(db):
        return [results.add_cte(request.cte("request"))]
    return [request, results]


def _insert_with_key(db: Database) -> Executable:
    """The same if nobody has its idempotency key; else it finds and stores nothing."""
    taken = idempotency.take(db).cte("taken")
    free = exists().where(taken.c.request_id == _NEW_PARAMETERS["request_id"])
    return select(taken.c.request_id).add_cte(
        _insert_request(db, free).cte("request"), _insert_results(db, free).cte("results")
    )


def _insert_together(db: Database) -> Executable:
    """Several requests, of which each has its recipients with it; says which are stored."""
    kinds = {**_NEW, "ttl": Float(), **_KEY, "seconds": Float(), "recipients": JSONB()}
    new = database.given(db, "requests", **kinds)
    taken = idempotency.take_all(db, new).cte("taken")
    free = or_(new.c.key.is_(None), exists().where(taken.c.request_id == new.c.request_id))
    stored = (
        insert(message_request)
        .from_select(
            [*_NEW, "created_at"],
            select(*(new.c[name] for name in _NEW), db.after(0)).where(free),
        )
        .returning(message_request.c.request_id)
        .cte("stored")
    )
    recipients = database.within(new.c.recipients, **_COLUMNS, ring_in=Float())
    values = _values(db, recipients.c, new.c, created_at=db.after(0))
    results = insert(message_result).from_select(
        [*values],
        select(*values.values())
        .select_from(new.join(recipients, true()))
        .where(exists().where(stored.c.request_id == new.c.request_id)),
    )
    return select(stored.c.request_id).add_cte(results.cte("results"))


def _insert_request(db: Database, condition: ColumnElement[bool] | None = None) -> Any:
    new = _NEW_PARAMETERS
    return insert(message_request).from_select(
        [*new, "created_at"], _selected([*new.values(), db.after(0)], condition)
    )


def _insert_results(db: Database, condition: ColumnElement[bool] | None = None) -> Any:
    given = database.given(db, **_COLUMNS, ring_in=Float()).c
    new = {**_NEW_PARAMETERS, "ttl": bindparam("ttl", type_=Float())}
    accepted_at = func.coalesce(bindparam("accepted_at", type_=Utc()), db.after(0))
    values = _values(db, given, new, created_at=accepted_at)
    return insert(message_result).from_select([*values], _selected([*values.values()], condition))


def _values(
    db: Database, given: Any, new: Any, *, created_at: ColumnElement[Any]
) -> dict[str, Any]:
    """A row of `message_result`, of a recipient and its request."""
    now = db.after(0)
    return {name: given[name] for name in _COLUMNS} | {
        "request_id": new["request_id"],
        "application_id": new["application_id"],
        "state": case((given.delivery_status.is_(None), State.QUEUED), else_=State.DONE),
        "attempt": literal(0),
        "lease_token": literal(0),
        "due_at": now,
        "ring_at": db.after(given.ring_in),
        "expires_at": db.after(new["ttl"]),
        "created_at": created_at,
        "updated_at": now,
    }


def _selected(values: Sequence[Any], condition: ColumnElement[bool] | None) -> Any:
    return select(*values) if condition is None else select(*values).where(condition)


def _unless(reason: str | None, one: Recipient) -> Recipient:
    """The recipient, who is not sent to if there is a reason."""
    if reason is None:
        return one
    return msgspec.structs.replace(
        one, delivery_status="DUPLICATE", status_code=400, status_message=reason, fault="MESSAGE"
    )
