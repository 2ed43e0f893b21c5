"""Migrations go up, down and up again, and build exactly the tables that the code uses."""

import re

import alembic.autogenerate
import alembic.migration
import pytest
from sqlalchemy import inspect

from worker import store
from worker.store import schema


@pytest.fixture
def db(database_url):
    db = store.connect(database_url)
    yield db
    db.close()


def tables(db):
    return set(inspect(db.engine).get_table_names()) - {"alembic_version"}


def test_up_down_up(db):
    assert not store.is_current(db)
    store.upgrade(db)
    assert store.is_current(db)
    assert tables(db) == set(store.metadata.tables)
    store.upgrade(db)
    store.downgrade(db, "base")
    assert tables(db) == set()
    assert not store.is_current(db)
    store.upgrade(db)
    assert tables(db) == set(store.metadata.tables)


def test_models_equal_migrations(db):
    store.upgrade(db)
    with db.engine.connect() as connection:
        context = alembic.migration.MigrationContext.configure(
            connection, opts={"compare_type": True}
        )
        assert alembic.autogenerate.compare_metadata(context, store.metadata) == []
    for name, table in store.metadata.tables.items():
        built = {index["name"]: index for index in inspect(db.engine).get_indexes(name)}
        for index in table.indexes:
            where = built[index.name].get("dialect_options", {})
            partial = where.get(f"{db.engine.dialect.name}_where")
            wanted = index.dialect_options[db.engine.dialect.name]["where"]
            assert (partial is None) == (wanted is None), index.name
            if wanted is not None:
                assert re.findall("'[A-Z]+'", str(partial)) == re.findall("'[A-Z]+'", str(wanted))


def test_revisions_are_numbered_in_one_line():
    script = alembic.script.ScriptDirectory(str(schema.MIGRATIONS))
    revisions = [one.revision for one in script.walk_revisions()][::-1]
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert len(script.get_heads()) == 1
