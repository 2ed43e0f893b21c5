"""One-time codes: what is kept of them, and how a guess is judged.

A guess is compared with a MAC of the code, which says nothing to who reads the database without
the vault's keys. The code itself is kept sealed, only until its message was sent, since a delivery
that is tried again must send the same one. Both are bound to the request that sends the code.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Uuid, case, delete, or_, select, update

from worker import wire
from worker.store import database
from worker.store.database import Database
from worker.store.tables import code_limit, one_time_code

HOUR = 3600

_log = logging.getLogger(__name__)
_code, _limit = one_time_code.c, code_limit.c
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code that a request sends, and the guesses at it that are `allowed`. `most_an_hour` are the
    codes that the application may send to the destination within an hour; 0 is no limit."""

    reference_id: str
    destination: str
    code: str = field(repr=False)
    allowed: int
    most_an_hour: int = 0


def put_code(
    db: Database,
    connection: Connection,
    code: NewCode,
    *,
    application_id: str,
    request_id: UUID,
    ttl: float,
) -> None:
    """Store a code in the transaction that stores its request, in the place of the one before it.
    Raises `TooManyRequests` if that is more than the limit."""
    if code.most_an_hour > 0:
        _count(db, connection, code, application_id)
    place, plain = _place(request_id), code.code.encode()
    new = database.insert(db, one_time_code).values(
        application_id=application_id,
        reference_id=code.reference_id,
        destination=code.destination,
        request_id=request_id,
        mac=db.vault.mac(plain, place=place),
        sealed=db.vault.seal(plain, place=place),
        attempts_left=code.allowed,
        expires_at=db.after(ttl),
    )
    connection.execute(
        new.on_conflict_do_update(
            index_elements=one_time_code.primary_key.columns,
            set_={
                name: new.excluded[name]
                for name in ("request_id", "mac", "sealed", "attempts_left", "expires_at")
            },
        )
    )


def verify_code(
    db: Database, application_id: str, reference_id: str, destination: str, guess: str
) -> bool:
    """Whether a guess is right. A right one uses the code up.

    The guess is counted by the statement that finds the code, and the row stays locked until it is
    judged: guesses at the same time are judged one after another, and never more than are allowed.
    A code that is unknown, expired or used takes the same statements as a wrong guess.
    """
    key = (
        _code.application_id == application_id,
        _code.reference_id == reference_id,
        _code.destination == destination,
    )
    decoy = db.vault.mac(b"", place=_place(_NOBODY))
    with db.engine.begin() as connection:
        found = connection.execute(
            update(one_time_code)
            .where(*key, _code.attempts_left > 0, _code.expires_at > db.after(0))
            .values(attempts_left=_code.attempts_left - 1)
            .returning(_code.request_id, _code.mac)
        ).first()
        request_id, mac = (_NOBODY, decoy) if found is None else found
        equal = _is_equal(db, mac, guess, request_id)
        right = equal and found is not None
        used = request_id if right else _NOBODY
        connection.execute(delete(one_time_code).where(*key, _code.request_id == used))
    return right


def sealed_codes(db: Database, request_ids: Collection[UUID]) -> dict[UUID, str]:
    """What `open_code` opens, of the requests whose codes are still good for something."""
    wanted = database.given(db, request_id=Uuid())
    statement = select(_code.request_id, _code.sealed).where(
        _code.request_id == wanted.c.request_id,
        _code.sealed.is_not(None),
        _code.attempts_left > 0,
        _code.expires_at > db.after(0),
    )
    with db.reading() as connection:
        found = connection.execute(
            statement, database.as_rows([{"request_id": one} for one in request_ids])
        )
        return {one.request_id: one.sealed for one in found}


def open_code(db: Database, request_id: UUID, sealed: str) -> str:
    """The code that a request sends. `ValueError` if it does not open."""
    return db.vault.open(sealed, place=_place(request_id)).decode()


def erase_codes(db: Database, request_ids: Collection[UUID]) -> None:
    """Keep no more of the codes of these requests than a guess is compared with: they were sent, or
    will not be."""
    over = database.given(db, request_id=Uuid())
    statement = (
        update(one_time_code)
        .where(
            _code.request_id == over.c.request_id,
            _code.sealed.is_not(None),
            database.hurried(db),  # a code that comes back goes when it expires
        )
        .values(sealed=None)
    )
    with db.alone() as connection:
        connection.execute(
            statement, database.as_rows([{"request_id": one} for one in request_ids])
        )


def unsent(request_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether a request has a code that may have to be sent again, as SQL."""
    return (
        select(_code.request_id)
        .where(_code.request_id == request_id, _code.sealed.is_not(None))
        .exists()
    )


def _count(db: Database, connection: Connection, code: NewCode, application_id: str) -> None:
    """Count a code within the hour that the first one began; the row it locks is what makes those
    that are sent at the same time wait for each other."""
    over = _limit.expires_at <= db.after(0)
    new = database.insert(db, code_limit).values(
        application_id=application_id,
        destination=code.destination,
        sends=1,
        expires_at=db.after(HOUR),
    )
    counted = connection.execute(
        new.on_conflict_do_update(
            index_elements=code_limit.primary_key.columns,
            set_={
                "sends": case((over, 1), else_=_limit.sends + 1),
                "expires_at": case((over, new.excluded.expires_at), else_=_limit.expires_at),
            },
            where=or_(over, _limit.sends < code.most_an_hour),
        ).returning(_limit.sends)
    ).first()
    if counted is None:
        # Nobody has deleted it meanwhile: not to count has locked it, too.
        ends = select(_limit.expires_at, db.after(0).label("now")).where(
            _limit.application_id == application_id, _limit.destination == code.destination
        )
        hour = connection.execute(ends).one()
        raise wire.TooManyRequests(
            f"DestinationIdentity: more than {code.most_an_hour} one-time codes within an hour",
            retry_after=max(1.0, (hour.expires_at - hour.now).total_seconds()),
        )


def _is_equal(db: Database, mac: str, guess: str, request_id: UUID) -> bool:
    try:
        return db.vault.is_mac(mac, guess.encode(), place=_place(request_id))
    except ValueError as error:  # a key that was taken out too soon; the caller must not be told
        _log.error("A one-time code cannot be verified: %s", error)
        return False


def _place(request_id: UUID) -> str:
    """What a code is bound to."""
    return f"one-time code of request {request_id}"
