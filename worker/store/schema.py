"""The schema's life: upgrading, going back, and asking whether it is current."""

from __future__ import annotations

import functools
from pathlib import Path

import alembic.command
import alembic.config
import alembic.migration
import alembic.script

from worker.store.database import Database

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the schema to `revision`. Safe to run twice, and by several processes at once."""
    _run(db, alembic.command.upgrade, revision)


def downgrade(db: Database, revision: str) -> None:
    """Take the schema back to `revision` (`base` for nothing at all)."""
    _run(db, alembic.command.downgrade, revision)


def undone_by(db: Database, revision: str) -> dict[str, str]:
    """The revisions that a downgrade to `revision` would undo, the newest first, and what each is.
    `ValueError` names those there are."""
    scripts = {one.revision: one.doc for one in _scripts().walk_revisions()}
    if revision not in {"base", *scripts}:
        raise ValueError(f"There is no revision {revision}: base, {', '.join(sorted(scripts))}")
    oldest_first = ["base", *reversed(scripts)]
    have = max((oldest_first.index(one) for one in _have(db)), default=0)
    undone = oldest_first[oldest_first.index(revision) + 1 : have + 1]
    return {one: scripts[one] for one in reversed(undone)}


def is_current(db: Database) -> bool:
    """Whether every migration of this version of Sendpoint has been applied."""
    return set(_have(db)) == _heads()


def _have(db: Database) -> tuple[str, ...]:
    with db.reading() as connection:
        return alembic.migration.MigrationContext.configure(connection).get_current_heads()


def _scripts() -> alembic.script.ScriptDirectory:
    return alembic.script.ScriptDirectory(str(MIGRATIONS))


@functools.cache
def _heads() -> set[str]:
    return set(_scripts().get_heads())


def _run(db: Database, command: object, revision: str) -> None:
    assert callable(command)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with db.engine.begin() as connection:
        config.attributes["connection"] = connection
        command(config, revision)
