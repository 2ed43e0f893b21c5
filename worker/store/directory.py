"""Applications, their endpoints and opt-outs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Row, insert, select, tuple_, update

from worker import wire
from worker.store import database
from worker.store.database import Database
from worker.store.tables import application, endpoint, opt_out

_DESCRIBING = ("Attributes", "Demographic", "Location", "Metrics", "User")


@dataclass(frozen=True, slots=True)
class Application:
    id: str
    name: str


def create_application(
    db: Database, name: str, *, application_id: str | None = None
) -> Application:
    """Store a new application. Its id is 32 lower-case hex digits, as Pinpoint's are."""
    created = Application(application_id or uuid4().hex, name)
    with db.engine.begin() as connection:
        connection.execute(
            insert(application).values(id=created.id, name=created.name, created_at=db.after(0))
        )
    return created


def applications(db: Database) -> list[Application]:
    """Every application, by name."""
    with db.reading() as connection:
        found = connection.execute(
            select(application.c.id, application.c.name).order_by(application.c.name)
        )
        return [Application(*one) for one in found]


def has_application(db: Database, application_id: str) -> bool:
    """Whether there is such an application."""
    with db.reading() as connection:
        found = connection.execute(
            select(application.c.id).where(application.c.id == application_id)
        )
        return found.first() is not None


def put_endpoint(
    db: Database, application_id: str, endpoint_id: str, new: wire.EndpointRequest
) -> None:
    """Store an endpoint, replacing one of the same id (case-insensitive, as Pinpoint's are)."""
    values = {
        "endpoint_id": endpoint_id,
        "channel_type": new.ChannelType,
        "address": new.Address,
        "opt_out": new.OptOut or "NONE",
        "endpoint_status": new.EndpointStatus or "ACTIVE",
        "user_id": new.User.UserId if new.User else None,
        "attributes": {
            name: value
            for name in _DESCRIBING
            if (value := msgspec.to_builtins(getattr(new, name))) is not None
        },
    }
    _upsert(
        db,
        endpoint,
        {"application_id": application_id, "endpoint_key": endpoint_id.casefold()},
        values | {"created_at": db.after(0), "effective_at": db.after(0)},
        values | {"effective_at": db.after(0)},
    )


def endpoints(
    db: Database, application_id: str, ids: Collection[str]
) -> dict[str, wire.EndpointResponse]:
    """Those of the endpoints that exist, by the id that was asked for."""
    if not ids:
        return {}
    with db.reading() as connection:
        found = connection.execute(
            select(endpoint).where(
                endpoint.c.application_id == application_id,
                endpoint.c.endpoint_key.in_({one.casefold() for one in ids}),
            )
        )
        stored = {one.endpoint_key: _endpoint(one) for one in found}
    return {one: stored[one.casefold()] for one in ids if one.casefold() in stored}


def add_opt_out(db: Database, application_id: str, channel_type: str, address: str) -> None:
    """Never send to this address on this channel again."""
    key = {"application_id": application_id, "channel_type": channel_type, "address": address}
    _upsert(db, opt_out, key, {"created_at": db.after(0)}, None)


def opt_outs(
    db: Database, application_id: str, addresses: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the (channel type, address) pairs that have opted out."""
    if not addresses:
        return set()
    with db.reading() as connection:
        found = connection.execute(
            select(opt_out.c.channel_type, opt_out.c.address).where(
                opt_out.c.application_id == application_id,
                tuple_(opt_out.c.channel_type, opt_out.c.address).in_(list(addresses)),
            )
        )
        return {(one.channel_type, one.address) for one in found}


def retire_address(
    db: Database,
    application_id: str,
    channel_type: str,
    address: str,
    *,
    since: datetime | None,
    opted_out: bool = False,
) -> int:
    """Make the endpoints with an address that is dead INACTIVE, or OptOut ALL if it opted out, and
    say how many. One that was registered after `since`, when the provider says it died, is alive:
    the address was given out again."""
    change = {"opt_out": "ALL"} if opted_out else {"endpoint_status": "INACTIVE"}
    statement = update(endpoint).where(*_at(application_id, channel_type, address))
    if since is not None:
        statement = statement.where(endpoint.c.effective_at <= since)
    with db.engine.begin() as connection:
        return len(
            connection.execute(statement.values(change).returning(endpoint.c.endpoint_key)).all()
        )


def move_address(
    db: Database, application_id: str, channel_type: str, address: str, *, to: str
) -> int:
    """Give the endpoints with an address the one that its provider wants used from now on."""
    statement = (
        update(endpoint)
        .where(*_at(application_id, channel_type, address))
        .values(address=to, effective_at=db.after(0))
        .returning(endpoint.c.endpoint_key)
    )
    with db.engine.begin() as connection:
        return len(connection.execute(statement).all())


def _at(application_id: str, channel_type: str, address: str) -> tuple[Any, Any, Any]:
    return (
        endpoint.c.application_id == application_id,
        endpoint.c.channel_type == channel_type,
        endpoint.c.address == address,
    )


def _endpoint(one: Row[Any]) -> wire.EndpointResponse:
    return msgspec.convert(
        {
            "Address": one.address,
            "ApplicationId": one.application_id,
            "ChannelType": one.channel_type,
            "CreationDate": one.created_at.isoformat(timespec="milliseconds"),
            "EffectiveDate": one.effective_at.isoformat(timespec="milliseconds"),
            "EndpointStatus": one.endpoint_status,
            "Id": one.endpoint_id,
            "OptOut": one.opt_out,
            **one.attributes,
        },
        wire.EndpointResponse,
    )


def _upsert(
    db: Database,
    table: Any,
    key: Mapping[str, Any],
    new: Mapping[str, Any],
    changed: Mapping[str, Any] | None,
) -> None:
    statement = database.insert(db, table).values(**key, **new)
    if changed is None:
        statement = statement.on_conflict_do_nothing(index_elements=list(key))
    else:
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=dict(changed))
    with db.engine.begin() as connection:
        connection.execute(statement)
