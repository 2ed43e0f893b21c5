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


def is_current(db: Database) -> bool:
    """Whether every migration of this version of Sendpoint has been applied."""
    with db.reading() as connection:
        have = alembic.migration.MigrationContext.configure(connection).get_current_heads()
    return set(have) == _heads()


@functools.cache
def _heads() -> set[str]:
    return set(alembic.script.ScriptDirectory(str(MIGRATIONS)).get_heads())


def _run(db: Database, command: object, revision: str) -> None:
    assert callable(command)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with db.engine.begin() as connection:
        config.attributes["connection"] = connection
        command(config, revision)
