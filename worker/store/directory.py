"""Applications, their channels, endpoints and opt-outs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Row, insert, select, tuple_, update

from worker import wire
from worker.store import database
from worker.store.database import Database
from worker.store.tables import application, channel, endpoint, opt_out

_DESCRIBING = ("Attributes", "Demographic", "Location", "Metrics", "User")


@dataclass(frozen=True, slots=True)
class Application:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Channel:
    """How an application sends on one channel. `version` counts changes."""

    channel_type: str
    adapter: str
    settings: Mapping[str, Any] = field(repr=False)
    enabled: bool = True
    version: int = 0


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


def set_channel(
    db: Database,
    application_id: str,
    channel_type: str,
    *,
    adapter: str,
    settings: Mapping[str, Any],
    enabled: bool = True,
) -> None:
    """Store how an application sends on a channel, replacing what was there. `ValueError` if there
    is no key to seal the settings with."""
    place = _place(application_id, channel_type)
    sealed = db.vault.seal(msgspec.json.encode(dict(settings)), place=place)
    new = {"adapter": adapter, "settings": sealed, "enabled": enabled}
    _upsert(
        db,
        channel,
        {"application_id": application_id, "channel_type": channel_type},
        new | {"version": 1, "created_at": db.after(0), "modified_at": db.after(0)},
        new | {"version": channel.c.version + 1, "modified_at": db.after(0)},
    )


def channels(db: Database, application_id: str) -> dict[str, Channel]:
    """The channels that an application has, by ChannelType. `ValueError` if they do not open."""
    with db.reading() as connection:
        found = connection.execute(
            select(*(channel.c[name] for name in Channel.__slots__)).where(
                channel.c.application_id == application_id
            )
        ).all()
    return {
        one.channel_type: Channel(
            channel_type=one.channel_type,
            adapter=one.adapter,
            settings=_opened(db, application_id, one),
            enabled=one.enabled,
            version=one.version,
        )
        for one in found
    }


def seal_again(db: Database) -> int:
    """Seal with the current key what another one sealed, and say how many settings that were.
    Workers need not notice: the settings stay the same."""
    with db.engine.begin() as connection:
        old = [
            one
            for one in connection.execute(select(channel).with_for_update()).all()
            if not db.vault.is_current(one.settings)
        ]
        for one in old:
            place = _place(one.application_id, one.channel_type)
            sealed = db.vault.seal(db.vault.open(one.settings, place=place), place=place)
            connection.execute(
                update(channel)
                .where(
                    channel.c.application_id == one.application_id,
                    channel.c.channel_type == one.channel_type,
                )
                .values(settings=sealed)
            )
    return len(old)


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


def _place(application_id: str, channel_type: str) -> str:
    """What a channel's sealed settings are bound to."""
    return f"application {application_id}, channel {channel_type}"


def _opened(db: Database, application_id: str, one: Row[Any]) -> dict[str, Any]:
    plain = db.vault.open(one.settings, place=_place(application_id, one.channel_type))
    settings: dict[str, Any] = msgspec.json.decode(plain)
    return settings


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
