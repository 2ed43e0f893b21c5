"""Endpoints as their callers keep them: updated, listed by user, deleted.

Whoever writes here holds a lock on the application, so that what an update finds of the endpoint's
user and address is still so when it commits, and two batches cannot wait for each other.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from worker import merging, wire
from worker.store import directory
from worker.store.database import Database
from worker.store.tables import application, endpoint

MAX_PER_USER = 15  # Pinpoint

_PAGE = 500
MAKE_ROOM = {"ADM", "APNS", "APNS_VOIP", "APNS_VOIP_SANDBOX", "BAIDU", "GCM"}
"""Pinpoint: the types of which a 16th endpoint takes the place of the oldest. APNS_SANDBOX is not
among them."""


def update_endpoints(
    db: Database, application_id: str, updates: Sequence[tuple[str, wire.EndpointRequest]]
) -> None:
    """Create or update endpoints by id, in this order, all or none.

    Raises `NotFound` for an unknown application and `BadRequest` for what breaks a limit.
    """
    with db.engine.begin() as connection:
        lock(connection, application_id)
        for endpoint_id, new in updates:
            _update(db, connection, application_id, endpoint_id, new)


def delete_endpoint(
    db: Database, application_id: str, endpoint_id: str
) -> wire.EndpointResponse | None:
    """Delete an endpoint and say what it was."""
    key = endpoint.c.endpoint_key == endpoint_id.casefold()
    deleted = _delete(db, application_id, key)
    return deleted[0] if deleted else None


def delete_user_endpoints(
    db: Database, application_id: str, user_id: str
) -> list[wire.EndpointResponse]:
    """Delete a user's endpoints and say what they were."""
    return _delete(db, application_id, endpoint.c.user_id == user_id)


def user_endpoints(
    db: Database, application_id: str, user_ids: Collection[str]
) -> dict[str, list[wire.EndpointResponse]]:
    """The endpoints of each of the users that have any, the oldest first."""
    statement = (
        select(endpoint)
        .where(endpoint.c.application_id == application_id, endpoint.c.user_id.in_(user_ids))
        .order_by(endpoint.c.created_at, endpoint.c.endpoint_key)
    )
    found: dict[str, list[wire.EndpointResponse]] = {}
    with db.reading() as connection:
        for one in connection.execute(statement):
            found.setdefault(one.user_id, []).append(directory.as_endpoint(one))
    return found


def remove_attributes(
    db: Database, application_id: str, path: tuple[str, ...], patterns: Collection[str]
) -> set[str]:
    """Take the attributes whose names match a pattern (`*`, `?`, `[…]`) from every endpoint, and
    say which names that were. `path` is where they are, such as ("User", "UserAttributes").

    Page by page, each in a transaction of its own: an application may have millions.
    """
    removed: set[str] = set()
    after = ""
    while True:
        with db.engine.begin() as connection:
            lock(connection, application_id)
            page = connection.execute(
                select(endpoint.c.endpoint_key, endpoint.c.attributes)
                .where(endpoint.c.application_id == application_id)
                .where(endpoint.c.endpoint_key > after)
                .order_by(endpoint.c.endpoint_key)
                .limit(_PAGE)
            ).all()
            for key, attributes in page:
                gone, left = _without(attributes, path, patterns)
                if gone:
                    removed |= gone
                    statement = update(endpoint).where(*_is(application_id, key))
                    connection.execute(statement.values(attributes=left))
        if len(page) < _PAGE:
            return removed
        after = page[-1].endpoint_key


def lock(connection: Connection, application_id: str) -> None:
    """Let nobody else register in the application until the transaction ends. Raises `NotFound`."""
    # "No key": rows that refer to the application may still be added by others.
    found = connection.execute(
        select(application.c.id)
        .where(application.c.id == application_id)
        .with_for_update(key_share=True)
    )
    if found.first() is None:
        raise wire.NotFound("Resource not found")


def _update(
    db: Database,
    connection: Connection,
    application_id: str,
    endpoint_id: str,
    new: wire.EndpointRequest,
) -> None:
    key = endpoint_id.casefold()
    row = connection.execute(select(endpoint).where(*_is(application_id, key))).first()
    merged = merging.merge(None if row is None else directory.as_endpoint(row), new)
    user_id = merged.User.UserId if merged.User else None
    if user_id is not None and (row is None or row.user_id != user_id):
        _make_room(connection, application_id, user_id, merged.ChannelType)
    cohort_id = None if row is None else row.attributes.get("CohortId")
    values = {
        **directory.endpoint_values(endpoint_id, merged, cohort_id=cohort_id),
        "effective_at": db.after(0),
    }
    if row is None:
        place = {"application_id": application_id, "endpoint_key": key}
        connection.execute(insert(endpoint).values(**place, **values, created_at=db.after(0)))
    else:
        connection.execute(update(endpoint).where(*_is(application_id, key)).values(**values))
    if merged.EndpointStatus == "ACTIVE":
        # Pinpoint: another endpoint with the same address becomes INACTIVE.
        connection.execute(
            update(endpoint)
            .where(
                endpoint.c.application_id == application_id,
                endpoint.c.channel_type == merged.ChannelType,
                endpoint.c.address == merged.Address,
                endpoint.c.endpoint_key != key,
            )
            .values(endpoint_status="INACTIVE")
        )


def _make_room(
    connection: Connection, application_id: str, user_id: str, channel_type: str | None
) -> None:
    """Pinpoint's rule for a user's 16th endpoint: a push endpoint takes the place of the one with
    the oldest EffectiveDate, which becomes INACTIVE and nobody's; any other is refused."""
    rows = connection.execute(
        select(endpoint).where(
            endpoint.c.application_id == application_id, endpoint.c.user_id == user_id
        )
    ).all()
    if len(rows) < MAX_PER_USER:
        return
    pushes = [one for one in rows if one.channel_type in MAKE_ROOM]
    if channel_type not in MAKE_ROOM or not pushes:
        raise wire.BadRequest(f"Exceeded maximum endpoint per user count {MAX_PER_USER}")
    oldest = min(pushes, key=effective)
    user = {name: one for name, one in oldest.attributes["User"].items() if name != "UserId"}
    connection.execute(
        update(endpoint)
        .where(*_is(application_id, oldest.endpoint_key))
        .values(
            endpoint_status="INACTIVE",
            user_id=None,
            attributes={**oldest.attributes, "User": user},
        )
    )


def effective(one: Row[Any]) -> datetime:
    """The EffectiveDate that is shown: the caller's own, if it gave one."""
    given = one.attributes.get("EffectiveDate")
    if given is None:
        return one.effective_at  # type: ignore[no-any-return] # the column's type
    when = datetime.fromisoformat(given)
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _delete(db: Database, application_id: str, which: Any) -> list[wire.EndpointResponse]:
    with db.engine.begin() as connection:
        lock(connection, application_id)
        deleted = connection.execute(
            delete(endpoint)
            .where(endpoint.c.application_id == application_id, which)
            .returning(endpoint)
        ).all()
    return [directory.as_endpoint(one) for one in sorted(deleted, key=lambda one: one.created_at)]


def _without(
    attributes: dict[str, Any], path: tuple[str, ...], patterns: Collection[str]
) -> tuple[set[str], dict[str, Any]]:
    """The names that match, and the attributes without them."""
    head, *rest = path
    inner = attributes.get(head) or {}
    if rest:
        gone, left = _without(inner, tuple(rest), patterns)
    else:
        gone = {name for name in inner if any(fnmatch.fnmatchcase(name, one) for one in patterns)}
        left = {name: value for name, value in inner.items() if name not in gone}
    return gone, {**attributes, head: left}


def _is(application_id: str, key: str) -> tuple[Any, Any]:
    return endpoint.c.application_id == application_id, endpoint.c.endpoint_key == key
