"""The applications' endpoints and opt-outs, as sending needs them."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Executable, Row, Text, select, update

from worker import addresses as addresses_
from worker import wire
from worker.store import clock, database
from worker.store.database import Database
from worker.store.tables import endpoint, opt_out

_DESCRIBING = (
    "Attributes",
    "Demographic",
    "EffectiveDate",  # the caller's own; ours is `effective_at`, by which addresses are retired
    "Location",
    "Metrics",
    "RequestId",
    "User",
)


def put_endpoint(
    db: Database, application_id: str, endpoint_id: str, new: wire.EndpointRequest
) -> None:
    """Store an endpoint, replacing one of the same id (case-insensitive, as Pinpoint's are)."""
    values = endpoint_values(endpoint_id, new)
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
        stored = {one.endpoint_key: as_endpoint(one) for one in found}
    return {one: stored[one.casefold()] for one in ids if one.casefold() in stored}


def add_opt_out(db: Database, application_id: str, channel_type: str, address: str) -> None:
    """Never send to this address on this channel again, however it is written."""
    key = {
        "application_id": application_id,
        "channel_type": channel_type,
        "address": addresses_.plain(channel_type, address),
    }
    _upsert(db, opt_out, key, {"created_at": db.after(0)}, None)


def add_opt_outs(
    db: Database,
    application_id: str,
    addresses: Sequence[tuple[str, str, datetime | None]],
    *,
    dry_run: bool = False,
) -> set[tuple[str, str]]:
    """The same for many (channel type, address, since when) at once; None is now. Says which of
    them, as (channel type, address), were not on the list yet."""
    known = opt_outs(db, application_id, [(kind, address) for kind, address, _ in addresses])
    new = {(kind, one): since for kind, one, since in addresses if (kind, one) not in known}
    if new and not dry_run:
        with db.engine.begin() as connection:
            now = connection.execute(select(db.after(0))).scalar_one()
            connection.execute(
                database.insert(db, opt_out).on_conflict_do_nothing(),
                [
                    {
                        "application_id": application_id,
                        "channel_type": kind,
                        "address": addresses_.plain(kind, address),
                        "created_at": since or now,
                    }
                    for (kind, address), since in sorted(new.items(), key=lambda one: one[0])
                ],
            )
    return set(new)


def opt_outs(
    db: Database, application_id: str, addresses: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the (channel type, address) pairs that have opted out, however they are written."""
    found = opt_outs_of_all(db, {(application_id, *pair) for pair in addresses})
    return {(channel, address) for _, channel, address in found}


def opt_outs_of_all(
    db: Database, addresses: Collection[tuple[str, str, str]]
) -> set[tuple[str, str, str]]:
    """The same for addresses of several applications, whose ids come first."""
    if not addresses:
        return set()
    plain = {one: (*one[:2], addresses_.plain(*one[1:])) for one in addresses}
    asked = database.as_rows([dict(zip(_OPT_OUT, one, strict=True)) for one in set(plain.values())])
    with db.reading() as connection:
        found = set(map(tuple, connection.execute(db.statement(_opt_outs), asked)))
    return {one for one in plain if plain[one] in found}


_OPT_OUT = ("application_id", "channel_type", "address")


def _opt_outs(db: Database) -> Executable:
    """Looks up each address. A join or an IN may, on either database, go through all opt-outs of
    the application instead."""
    asked = database.given(db, **dict.fromkeys(_OPT_OUT, Text())).c
    known = (
        select(opt_out.c.address)
        .where(*(opt_out.c[name] == asked[name] for name in _OPT_OUT))
        .scalar_subquery()
    )
    return select(*(asked[name] for name in _OPT_OUT)).where(known.is_not(None))


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


def endpoint_values(
    endpoint_id: str, new: wire.EndpointRequest, *, cohort_id: str | None = None
) -> dict[str, Any]:
    """What the caller says of an endpoint, as its row has it, and the cohort that it had before it
    came here."""
    cohort = {} if cohort_id is None else {"CohortId": cohort_id}
    return {
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
        }
        | cohort,
    }


def as_endpoint(one: Row[Any]) -> wire.EndpointResponse:
    """A row as Pinpoint tells it. The CohortId is one of 100: the one that the endpoint came with,
    else one that stays with its id."""
    return msgspec.convert(
        {
            "Address": one.address,
            "ApplicationId": one.application_id,
            "ChannelType": one.channel_type,
            "CohortId": str(zlib.crc32(one.endpoint_key.encode()) % 100),
            "CreationDate": clock.iso(one.created_at),
            "EffectiveDate": clock.iso(one.effective_at),
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
