"""How each application sends on each channel. Settings hold credentials, so they are stored sealed,
each channel's bound to its own row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select, update

from worker.store.database import Database
from worker.store.tables import application, channel


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to send on a channel: an adapter and its settings. Of several, each gets traffic by
    its `weight`; 0 is for one that only steps in for the others."""

    name: str
    adapter: str
    settings: Mapping[str, Any] = field(repr=False)
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Channel:
    """How an application sends on one channel. `version` counts changes; `details` are what its
    callers said of it in Pinpoint's words, without secrets."""

    channel_type: str
    providers: tuple[Provider, ...]
    enabled: bool = True
    version: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = field(default=None, compare=False)
    modified_at: datetime | None = field(default=None, compare=False)


def set_channel(
    db: Database,
    application_id: str,
    channel_type: str,
    *,
    adapter: str,
    settings: Mapping[str, Any],
    name: str = "default",
    weight: int = 1,
    enabled: bool = True,
) -> None:
    """Store a provider of a channel, replacing the one of that name. `ValueError` if there is no
    key to seal its settings with."""
    provider = Provider(name, adapter, dict(settings), weight)

    def put(providers: tuple[Provider, ...]) -> tuple[Provider, ...]:
        if name not in {one.name for one in providers}:
            return (*providers, provider)
        return tuple(provider if one.name == name else one for one in providers)

    _change(db, application_id, channel_type, put, enabled=enabled)


def remove_provider(db: Database, application_id: str, channel_type: str, name: str) -> bool:
    """Take a provider from a channel; says whether there was one of that name. A channel without
    providers is as one that is not enabled."""
    before = channels(db, application_id).get(channel_type)
    if before is None or name not in {one.name for one in before.providers}:
        return False
    _change(
        db,
        application_id,
        channel_type,
        lambda providers: tuple(one for one in providers if one.name != name),
        enabled=before.enabled,
    )
    return True


def change_channel(
    db: Database,
    application_id: str,
    channel_type: str,
    change: Callable[[tuple[Provider, ...]], tuple[Provider, ...]],
    *,
    enabled: bool,
    details: Mapping[str, Any],
) -> None:
    """Store a channel with what `change` makes of the providers that it has. `ValueError` if there
    is no key to seal their settings with."""
    _change(db, application_id, channel_type, change, enabled=enabled, details=details)


def adopt_channel(
    db: Database, application_id: str, saved: Channel, *, dry_run: bool = False
) -> bool:
    """Take over a channel that another system had, and say whether there was anything to take. One
    that is there stays as it is, and gets those details that it lacks. `ValueError` if there is no
    key to seal its providers with."""
    where = _is(application_id, saved.channel_type)
    with db.writing(dry_run=dry_run) as connection:
        found = connection.execute(select(channel).where(*where).with_for_update()).first()
        if found is not None:
            lacking = saved.details.keys() - found.details.keys()
            if lacking and not dry_run:
                details = {**saved.details, **found.details}
                connection.execute(update(channel).where(*where).values(details=details))
            return bool(lacking)
        if not dry_run:
            place = _place(application_id, saved.channel_type)
            connection.execute(
                insert(channel).values(
                    application_id=application_id,
                    channel_type=saved.channel_type,
                    providers=db.vault.seal(msgspec.json.encode(saved.providers), place=place),
                    provider_count=len(saved.providers),
                    details=dict(saved.details),
                    enabled=saved.enabled,
                    version=saved.version,
                    created_at=saved.created_at or db.after(0),
                    modified_at=saved.modified_at or db.after(0),
                )
            )
    return True


def delete_channel(db: Database, application_id: str, channel_type: str) -> bool:
    """Delete a channel with its providers; says whether there was one."""
    statement = delete(channel).where(*_is(application_id, channel_type))
    with db.engine.begin() as connection:
        return connection.execute(statement.returning(channel.c.channel_type)).first() is not None


def channels(db: Database, application_id: str) -> dict[str, Channel]:
    """The channels that an application has, by ChannelType. `ValueError` if they do not open."""
    with db.reading() as connection:
        found = connection.execute(
            select(channel).where(channel.c.application_id == application_id)
        ).all()
    return {
        one.channel_type: Channel(
            one.channel_type,
            _opened(db, one),
            one.enabled,
            one.version,
            one.details,
            one.created_at,
            one.modified_at,
        )
        for one in found
    }


def channel_types(
    db: Database, application_id: str, *, need_provider: bool = True
) -> dict[str, bool] | None:
    """The ChannelTypes that an application has, and whether they can be sent on, which takes a
    provider unless something steps in for it; None if there is no such application. Needs no
    key."""
    statement = (
        select(channel.c.channel_type, channel.c.enabled, channel.c.provider_count)
        .select_from(application.outerjoin(channel))
        .where(application.c.id == application_id)
    )
    with db.reading() as connection:
        found = connection.execute(statement).all()
    if not found:
        return None
    return {
        one.channel_type: one.enabled and (one.provider_count > 0 or not need_provider)
        for one in found
        if one.channel_type is not None
    }


def seal_again(db: Database) -> int:
    """Seal with the current key what another one sealed, and say how many channels that were.
    Workers need not notice: the settings stay the same."""
    with db.engine.begin() as connection:
        rows = connection.execute(select(channel).with_for_update()).all()
        old = [one for one in rows if not db.vault.is_current(one.providers)]
        for one in old:
            place = _place(one.application_id, one.channel_type)
            sealed = db.vault.seal(db.vault.open(one.providers, place=place), place=place)
            connection.execute(
                update(channel)
                .where(*_is(one.application_id, one.channel_type))
                .values(providers=sealed)
            )
    return len(old)


def _change(
    db: Database,
    application_id: str,
    channel_type: str,
    change: Callable[[tuple[Provider, ...]], tuple[Provider, ...]],
    *,
    enabled: bool,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Read, change and write a channel's providers, with its row locked."""
    with db.engine.begin() as connection:
        found = connection.execute(
            select(channel).where(*_is(application_id, channel_type)).with_for_update()
        ).first()
        providers = change(() if found is None else _opened(db, found))
        sealed = db.vault.seal(
            msgspec.json.encode(providers), place=_place(application_id, channel_type)
        )
        new = {
            "providers": sealed,
            "provider_count": len(providers),
            "enabled": enabled,
            "modified_at": db.after(0),
            **({} if details is None else {"details": dict(details)}),
        }
        if found is None:
            connection.execute(
                insert(channel).values(
                    application_id=application_id,
                    channel_type=channel_type,
                    version=1,
                    created_at=db.after(0),
                    **{"details": {}, **new},
                )
            )
        else:
            connection.execute(
                update(channel)
                .where(*_is(application_id, channel_type))
                .values(version=channel.c.version + 1, **new)
            )


def _is(application_id: str, channel_type: str) -> tuple[Any, Any]:
    return channel.c.application_id == application_id, channel.c.channel_type == channel_type


def _place(application_id: str, channel_type: str) -> str:
    """What a channel's sealed settings are bound to."""
    return f"application {application_id}, channel {channel_type}"


def _opened(db: Database, one: Row[Any]) -> tuple[Provider, ...]:
    plain = db.vault.open(one.providers, place=_place(one.application_id, one.channel_type))
    return msgspec.json.decode(plain, type=tuple[Provider, ...])
