"""Messages that were accepted a short while ago, so that the same one is not sent again.

A message is known by its fingerprint, which is taken for it in the transaction that stores it, by
one statement for the whole request. Whoever comes with the same message meanwhile waits for that
transaction: if it commits, theirs is a repetition, and if it rolls back, the fingerprint is theirs.
All take fingerprints in the same order, so that two requests never wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Executable,
    Float,
    Text,
    Uuid,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
)

from worker.store import database, standing
from worker.store.clock import iso
from worker.store.database import Database
from worker.store.standing import Standing
from worker.store.tables import State, message_result, recent_message

column, row = recent_message.c, message_result.c

_NOT_DELIVERED = ("PERMANENT_FAILURE", "TIMEOUT", "OPT_OUT")


@dataclass(frozen=True, slots=True)
class Recent:
    """What is not to be sent again within `window` seconds: the fingerprints of a request's
    messages, by the messages' ids, in the order of the request."""

    window: float
    fingerprints: Mapping[UUID, str]


def take(
    db: Database, connection: Connection, recent: Recent, *, application_id: str, request_id: UUID
) -> dict[UUID, str]:
    """Take the fingerprints for the messages of a request. Says of each that must not be sent why.

    A fingerprint is free once its window has ended, or its message has failed and surely was not
    delivered.
    """
    first: dict[str, UUID] = {}
    for message, fingerprint in recent.fingerprints.items():
        first.setdefault(fingerprint, message)
    if not first:
        return {}
    given = [{"fingerprint": one, "result_id": message} for one, message in first.items()]
    of = {"of_application": application_id, "of_request": request_id, "window": recent.window}
    taken = connection.execute(db.statement(_take), database.as_rows(given) | of).scalars()
    held = first.keys() - set(taken)
    reasons = _held(db, connection, application_id, held) if held else {}
    return {
        message: reasons.get(fingerprint, "Another recipient of this request has the same address")
        for message, fingerprint in recent.fingerprints.items()
        if fingerprint in reasons or first[fingerprint] != message
    }


def _take(db: Database) -> Executable:
    new = database.given(db, fingerprint=Text(), result_id=Uuid()).c
    values = {
        "application_id": bindparam("of_application", type_=Text()),
        "fingerprint": new.fingerprint,
        "request_id": bindparam("of_request", type_=Uuid()),
        "result_id": new.result_id,
        "expires_at": db.after(bindparam("window", type_=Float())),
    }
    # In order, for the sake of those that do the same at the same time.
    insert = database.insert(db, recent_message).from_select(
        [*values], select(*values.values()).order_by(new.fingerprint)
    )
    # A subquery for one value, which PostgreSQL looks up by the key. Of an EXISTS it may read the
    # whole table once instead, for as long as it believes that to be small.
    failed = (
        select(
            and_(
                row.state == State.DONE,
                row.delivery_status.in_(_NOT_DELIVERED),
                standing.IS[Standing.READY],
            )
        )
        .where(row.id == literal_column("recent_message.result_id", Uuid()))
        .scalar_subquery()
    )
    return insert.on_conflict_do_update(  # type: ignore[no-any-return]  # either dialect's
        index_elements=recent_message.primary_key.columns,
        set_={name: insert.excluded[name] for name in ("request_id", "result_id", "expires_at")},
        where=or_(column.expires_at <= db.after(0), failed),
    ).returning(column.fingerprint)


def _held(
    db: Database, connection: Connection, application_id: str, fingerprints: Collection[str]
) -> dict[str, str]:
    """Why a message with one of these fingerprints is not sent. The conflict has locked the rows,
    so they are still there."""
    asked = database.given(db, fingerprint=Text()).c.fingerprint
    found: Iterable[Any] = connection.execute(
        select(column.fingerprint, column.request_id, column.result_id, column.expires_at).where(
            column.application_id == application_id, column.fingerprint == asked
        ),
        database.as_rows([{"fingerprint": one} for one in fingerprints]),
    )
    return {
        one.fingerprint: f"The same message was accepted before, as {one.result_id} of request "
        f"{one.request_id}, and is not sent again until {iso(one.expires_at)}"
        for one in found
    }
