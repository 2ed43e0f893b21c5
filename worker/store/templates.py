"""Message templates and their versions. They belong to the whole account, as Pinpoint's do.

A version is what was said of the template in Pinpoint's own JSON. Whoever changes a template locks
its row, so that versions are numbered without gaps or doubles and the active one is always there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from worker import wire
from worker.store import tags as tags_
from worker.store.database import Database
from worker.store.tables import template, template_version

MAX_TEMPLATES = 20_000  # Pinpoint
MAX_VERSIONS = 5_000  # Pinpoint

_one, _version = template.c, template_version.c


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """A version of a template. `document` is the JSON that it was written with; the tags are the
    template's."""

    name: str
    type: str
    version: int
    document: str
    tags: Mapping[str, str]
    created_at: datetime
    modified_at: datetime


def create_template(
    db: Database, name: str, template_type: str, document: str, tags: Mapping[str, str]
) -> None:
    """Store a new template, whose version 1 is active. Raises `BadRequest` if there is one of that
    name and type, or as many as there may be."""
    try:
        with db.engine.begin() as connection:
            _check_room(connection, None)
            connection.execute(
                insert(template).values(
                    name=name,
                    type=template_type,
                    active_version=1,
                    last_version=1,
                    tags=dict(tags),
                    created_at=db.after(0),
                )
            )
            _add(db, connection, name, template_type, 1, document)
    except IntegrityError:
        raise wire.BadRequest(f"TemplateName: there is a template {name} already") from None


def update_template(
    db: Database,
    name: str,
    template_type: str,
    document: str,
    *,
    latest: int | None = None,
    as_new: bool = False,
) -> None:
    """Overwrite the latest version, or add one, which is not active by that.

    Raises `NotFound`, and `BadRequest` if `latest` is given and another version is the latest by
    now, or if there are as many versions as there may be.
    """
    with db.engine.begin() as connection:
        found = _locked(connection, name, template_type)
        newest = connection.execute(
            select(func.max(_version.version)).where(*_of(name, template_type))
        ).scalar()
        if latest is not None and latest != newest:
            raise wire.BadRequest(f"Version: {latest} is not the latest version")
        if not as_new:
            connection.execute(
                update(template_version)
                .where(*_of(name, template_type), _version.version == newest)
                .values(document=document, modified_at=db.after(0))
            )
            return
        _check_room(connection, _of(name, template_type))
        version = found.last_version + 1
        _change(connection, name, template_type, last_version=version)
        _add(db, connection, name, template_type, version, document)


def activate_template(db: Database, name: str, template_type: str, version: int | None) -> None:
    """Make a version the active one; None is the latest. Raises `NotFound`."""
    with db.engine.begin() as connection:
        _locked(connection, name, template_type)
        statement = select(func.max(_version.version)).where(*_of(name, template_type))
        if version is not None:
            statement = statement.where(_version.version == version)
        existing = connection.execute(statement).scalar()
        if existing is None:
            raise wire.NotFound("Resource not found")
        _change(connection, name, template_type, active_version=existing)


def adopt_template(
    db: Database, saved: TemplateVersion, *, active: bool, dry_run: bool = False
) -> bool:
    """Take over a version of a template that another system had, and say whether there was anything
    to take: one that is there stays, unless the other was written later.

    The version that is taken over as the `active` one becomes it; else the template's active
    version stays, so that what was activated here since is not undone. Raises `BadRequest` if there
    are as many templates or versions as there may be.
    """
    place = _of(saved.name, saved.type)
    with db.writing(dry_run=dry_run) as connection:
        whole = connection.execute(
            select(template)
            .where(_one.name == saved.name, _one.type == saved.type)
            .with_for_update()
        ).first()
        found = connection.execute(
            select(template_version).where(*place, _version.version == saved.version)
        ).first()
        if found is not None:
            if saved.document == found.document or saved.modified_at <= found.modified_at:
                return False
            if not dry_run:
                connection.execute(
                    update(template_version)
                    .where(*place, _version.version == saved.version)
                    .values(document=saved.document, modified_at=saved.modified_at)
                )
            return True
        _check_room(connection, None if whole is None else place)
        if dry_run:
            return True
        if whole is None:
            connection.execute(
                insert(template).values(
                    name=saved.name,
                    type=saved.type,
                    active_version=saved.version,
                    last_version=saved.version,
                    tags=dict(saved.tags),
                    created_at=saved.created_at,
                )
            )
        else:
            _change(
                connection,
                saved.name,
                saved.type,
                last_version=max(whole.last_version, saved.version),
                active_version=saved.version if active else whole.active_version,
            )
        connection.execute(
            insert(template_version).values(
                name=saved.name,
                type=saved.type,
                version=saved.version,
                document=saved.document,
                created_at=saved.created_at,
                modified_at=saved.modified_at,
            )
        )
    return True


def delete_template(
    db: Database, name: str, template_type: str, version: int | None = None
) -> None:
    """Delete a version, or with None all of the template. Raises `NotFound`.

    Without its active version the latest one that is left is active, and without any version there
    is no template.
    """
    with db.engine.begin() as connection:
        found = _locked(connection, name, template_type)
        if version is not None:
            gone = (*_of(name, template_type), _version.version == version)
            if not connection.execute(delete(template_version).where(*gone)).rowcount:
                raise wire.NotFound("Resource not found")
            left = connection.execute(
                select(func.max(_version.version)).where(*_of(name, template_type))
            ).scalar()
            if left is not None:
                if found.active_version == version:
                    _change(connection, name, template_type, active_version=left)
                return
        connection.execute(delete(template).where(_one.name == name, _one.type == template_type))


def change_template_tags(
    db: Database,
    name: str,
    template_type: str,
    *,
    put: Mapping[str, str] | None = None,
    remove: Collection[str] = (),
    most: int,
) -> bool | None:
    """Set and remove a template's tags, which all its versions share. False, with nothing changed,
    if there would be more than `most`; None if there is no such template."""
    which = _one.name == name, _one.type == template_type
    return tags_.change(db, template, *which, put=put, remove=remove, most=most)


def find_template(
    db: Database, name: str, template_type: str, version: int | None = None
) -> TemplateVersion | None:
    """A version of a template, or with None the active one."""
    wanted = _one.active_version if version is None else version
    statement = _versions().where(
        _one.name == name, _one.type == template_type, _version.version == wanted
    )
    with db.reading() as connection:
        found = connection.execute(statement).first()
    return None if found is None else TemplateVersion(*found)


def template_page(
    db: Database, *, template_type: str | None, prefix: str, after: tuple[str, str], size: int
) -> list[TemplateVersion]:
    """The active versions of the next templates by name and type, so many at most. `prefix` is
    case-sensitive."""
    statement = _versions().where(
        _version.version == _one.active_version,
        func.substr(_one.name, 1, len(prefix)) == prefix,
        tuple_(_one.name, _one.type) > after,
    )
    if template_type is not None:
        statement = statement.where(_one.type == template_type)
    with db.reading() as connection:
        found = connection.execute(statement.order_by(_one.name, _one.type).limit(size))
        return [TemplateVersion(*one) for one in found]


def version_page(
    db: Database, name: str, template_type: str, *, before: int, size: int
) -> list[TemplateVersion]:
    """The next versions of a template, the newest first, so many at most."""
    statement = _versions().where(
        _one.name == name, _one.type == template_type, _version.version < before
    )
    with db.reading() as connection:
        found = connection.execute(statement.order_by(_version.version.desc()).limit(size))
        return [TemplateVersion(*one) for one in found]


def _versions() -> Select[Any]:
    return select(
        _one.name,
        _one.type,
        _version.version,
        _version.document,
        _one.tags,
        _version.created_at,
        _version.modified_at,
    ).join(template_version, (_version.name == _one.name) & (_version.type == _one.type))


def _locked(connection: Connection, name: str, template_type: str) -> Row[Any]:
    found = connection.execute(
        select(template).where(_one.name == name, _one.type == template_type).with_for_update()
    ).first()
    if found is None:
        raise wire.NotFound("Resource not found")
    return found


def _check_room(connection: Connection, template_: tuple[Any, Any] | None) -> None:
    """`BadRequest` if there can be no further version of a template, or no further template."""
    if template_ is None:
        count = connection.execute(select(func.count()).select_from(template)).scalar_one()
        if count >= MAX_TEMPLATES:
            raise wire.BadRequest(f"There can be at most {MAX_TEMPLATES} templates")
        return
    statement = select(func.count()).select_from(template_version).where(*template_)
    if connection.execute(statement).scalar_one() >= MAX_VERSIONS:
        raise wire.BadRequest(f"A template can have at most {MAX_VERSIONS} versions")


def _of(name: str, template_type: str) -> tuple[Any, Any]:
    return _version.name == name, _version.type == template_type


def _change(connection: Connection, name: str, template_type: str, **values: int) -> None:
    connection.execute(
        update(template).where(_one.name == name, _one.type == template_type).values(values)
    )


def _add(
    db: Database, connection: Connection, name: str, template_type: str, version: int, document: str
) -> None:
    connection.execute(
        insert(template_version).values(
            name=name,
            type=template_type,
            version=version,
            document=document,
            created_at=db.after(0),
            modified_at=db.after(0),
        )
    )
