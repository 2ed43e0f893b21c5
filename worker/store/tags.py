"""Changing the tags of whatever has some."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Table, select, update

from worker.store.database import Database


def change(
    db: Database,
    table: Table,
    *which: ColumnElement[bool],
    put: Mapping[str, str] | None,
    remove: Collection[str],
    most: int,
) -> bool | None:
    """Set and remove tags of one row. False, with nothing changed, if there would be more than
    `most`; None if there is no such row."""
    with db.engine.begin() as connection:
        found = connection.execute(select(table.c.tags).where(*which).with_for_update()).first()
        if found is None:
            return None
        kept = {key: value for key, value in found.tags.items() if key not in remove}
        tags = {**kept, **(put or {})}
        if len(tags) > most:
            return False
        connection.execute(update(table).where(*which).values(tags=tags))
    return True
