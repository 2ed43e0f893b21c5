"""Idempotency keys: which request has one, and until when.

A key is taken in the transaction that stores its request, by one statement. Whoever comes with the
same key meanwhile waits for that transaction: if it commits, they find the request, and if it rolls
back, the key is theirs. No read comes before the write, so nothing depends on who is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    Connection,
    Float,
    Select,
    bindparam,
    select,
)

from worker.store import database
from worker.store.database import Database
from worker.store.tables import idempotency

column = idempotency.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An idempotency key. It is the caller's own: neither another application's nor another
    caller's request is found under it. `fingerprint` identifies the content of the request, and
    `window` is for how many seconds the key is taken."""

    application_id: str
    caller: str
    key: str
    fingerprint: str
    window: float


@dataclass(frozen=True, slots=True)
class Twin:
    """The request that was stored under the same key before."""

    request_id: UUID
    fingerprint: str


def take_key(db: Database, connection: Connection, key: Key, request_id: UUID) -> Twin | None:
    """Take the key for a request, or say whose it is. A key whose window has ended is free."""
    if connection.execute(db.statement(take), asked_for(key, request_id)).first() is not None:
        return None
    # The conflict has locked the row, so it is still there.
    return Twin(*connection.execute(_holder(key)).one())


def asked_for(key: Key, request_id: UUID) -> dict[str, Any]:
    """The parameters of `take`."""
    return {f"of_{name}": getattr(key, name) for name in Key.__slots__} | {"of_request": request_id}


def take(db: Database) -> Any:
    """Take a key for a request: says the request's id if it was free."""
    return _unless_held(
        db,
        database.insert(db, idempotency).values(
            application_id=bindparam("of_application_id"),
            caller=bindparam("of_caller"),
            key=bindparam("of_key"),
            request_id=bindparam("of_request"),
            fingerprint=bindparam("of_fingerprint"),
            expires_at=db.after(bindparam("of_window", type_=Float())),
        ),
    )


def take_all(db: Database, requests: CTE) -> Any:
    """The same for those of the requests that have a key, of which no two may have the same. In
    order, for the sake of those that do the same at the same time."""
    new = requests.c
    names = ("application_id", "caller", "key", "request_id", "fingerprint")
    return _unless_held(
        db,
        database.insert(db, idempotency).from_select(
            [*names, "expires_at"],
            select(*(new[name] for name in names), db.after(new.seconds))
            .where(new.key.is_not(None))
            .order_by(new.application_id, new.caller, new.key),
        ),
    )


def _unless_held(db: Database, new: Any) -> Any:
    return new.on_conflict_do_update(
        index_elements=idempotency.primary_key.columns,
        set_={name: new.excluded[name] for name in ("request_id", "fingerprint", "expires_at")},
        where=column.expires_at <= db.after(0),
    ).returning(column.request_id)


def find_twin(db: Database, key: Key) -> Twin | None:
    """The request that has the key now, if there is one."""
    with db.reading() as connection:
        found = connection.execute(_holder(key).where(column.expires_at > db.after(0))).first()
    return None if found is None else Twin(*found)


def holder(connection: Connection, key: Key) -> Twin | None:
    """The request that has the key, or had it last."""
    found = connection.execute(_holder(key)).first()
    return None if found is None else Twin(*found)


def _holder(key: Key) -> Select[Any]:
    return select(column.request_id, column.fingerprint).where(
        column.application_id == key.application_id,
        column.caller == key.caller,
        column.key == key.key,
    )
