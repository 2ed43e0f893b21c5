"""Applications: their names, tags and settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, delete, insert, select, update

from worker.store import tags as tags_
from worker.store.database import Database
from worker.store.tables import application, rate_limit


@dataclass(frozen=True, slots=True)
class Application:
    id: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApplicationSettings:
    """What UpdateApplicationSettings was told, in Pinpoint's words, and when; None if never."""

    values: Mapping[str, Any]
    modified_at: datetime | None


def create_application(
    db: Database,
    name: str,
    *,
    application_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Application:
    """Store a new application. Its id is 32 lower-case hex digits, as Pinpoint's are."""
    new = Application(application_id or uuid4().hex, name, dict(tags or {}))
    with db.engine.begin() as connection:
        created = connection.execute(
            insert(application)
            .values(id=new.id, name=new.name, tags=new.tags, created_at=db.after(0))
            .returning(application.c.created_at)
        ).scalar_one()
    return replace(new, created_at=created)


def adopt_application(
    db: Database,
    saved: Application,
    settings: Mapping[str, Any] | None = None,
    *,
    dry_run: bool = False,
) -> bool:
    """Take over an application that another system had, and say whether there was anything to take.
    One that is there keeps its name, tags and settings, and gets those that it lacks."""
    with db.writing(dry_run=dry_run) as connection:
        found = connection.execute(
            select(application).where(_is(saved.id)).with_for_update()
        ).first()
        if found is None:
            if not dry_run:
                connection.execute(
                    insert(application).values(
                        id=saved.id,
                        name=saved.name,
                        tags=dict(saved.tags),
                        created_at=saved.created_at or db.after(0),
                        settings=dict(settings) if settings else None,
                        settings_modified_at=db.after(0) if settings else None,
                    )
                )
            return True
        lacking: dict[str, Any] = {}
        if saved.tags.keys() - found.tags.keys():
            lacking["tags"] = {**saved.tags, **found.tags}
        if settings and found.settings is None:
            lacking |= {"settings": dict(settings), "settings_modified_at": db.after(0)}
        if lacking and not dry_run:
            connection.execute(update(application).where(_is(saved.id)).values(lacking))
        return bool(lacking)


def applications(db: Database) -> list[Application]:
    """Every application, by name."""
    with db.reading() as connection:
        found = connection.execute(select(application).order_by(application.c.name))
        return [_application(one) for one in found]


def application_page(db: Database, *, after: str, size: int) -> list[Application]:
    """The next applications by id, so many at most, whose ids come after `after`."""
    statement = select(application).where(application.c.id > after)
    with db.reading() as connection:
        found = connection.execute(statement.order_by(application.c.id).limit(size))
        return [_application(one) for one in found]


def find_application(db: Database, application_id: str) -> Application | None:
    """The application of this id, if there is one."""
    with db.reading() as connection:
        found = connection.execute(select(application).where(_is(application_id))).first()
    return None if found is None else _application(found)


def has_application(db: Database, application_id: str) -> bool:
    """Whether there is such an application."""
    with db.reading() as connection:
        found = connection.execute(select(application.c.id).where(_is(application_id)))
        return found.first() is not None


def delete_application(db: Database, application_id: str) -> Application | None:
    """Delete an application with its channels, endpoints, opt-outs and limits, and say what it was.
    Its requests and what became of them stay; messages that wait find no channel any more."""
    with db.engine.begin() as connection:
        found = connection.execute(
            delete(application).where(_is(application_id)).returning(application)
        ).first()
        connection.execute(delete(rate_limit).where(rate_limit.c.owner == application_id))
    return None if found is None else _application(found)


def change_tags(
    db: Database,
    application_id: str,
    *,
    put: Mapping[str, str] | None = None,
    remove: Collection[str] = (),
    most: int,
) -> bool | None:
    """Set and remove tags. False, with nothing changed, if there would be more than `most`; None
    if there is no such application."""
    return tags_.change(db, application, _is(application_id), put=put, remove=remove, most=most)


def application_settings(db: Database, application_id: str) -> ApplicationSettings | None:
    """The application's settings; None if there is no such application."""
    with db.reading() as connection:
        found = connection.execute(
            select(application.c.settings, application.c.settings_modified_at).where(
                _is(application_id)
            )
        ).first()
    return None if found is None else ApplicationSettings(found[0] or {}, found[1])


def change_application_settings(
    db: Database, application_id: str, new: Mapping[str, Any]
) -> ApplicationSettings | None:
    """Replace those of the settings that are given; None if there is no such application."""
    with db.engine.begin() as connection:
        found = connection.execute(
            select(application.c.settings).where(_is(application_id)).with_for_update()
        ).first()
        if found is None:
            return None
        changed = connection.execute(
            update(application)
            .where(_is(application_id))
            .values(settings={**(found.settings or {}), **new}, settings_modified_at=db.after(0))
            .returning(application.c.settings, application.c.settings_modified_at)
        ).one()
    return ApplicationSettings(*changed)


def _is(application_id: str) -> Any:
    return application.c.id == application_id


def _application(one: Row[Any]) -> Application:
    return Application(one.id, one.name, one.tags, one.created_at)
