"""Access keys as they are stored, on both databases."""

import pytest
from sqlalchemy import select, update

from worker import store, vault
from worker.store import tables


@pytest.fixture
def db(database_url):
    keys = vault.parse(vault.new_key())
    db = store.connect(database_url, vault=vault.Vault(keys))
    store.upgrade(db)
    yield db
    db.close()


def test_a_key_is_found_by_its_id_and_by_its_token(db):
    issued = store.create_key(db, "ann", applications=["a", "b"], actions=[store.Action.SEND])
    key, secret = store.find_key(db, issued.id)
    assert secret == issued.secret
    assert store.find_token(db, issued.token) == key
    assert store.access_keys(db) == [key]
    assert (key.id, key.name, key.enabled) == (issued.id, "ann", True)
    assert (key.applications, key.actions) == ({"a", "b"}, {store.Action.SEND})


@pytest.mark.parametrize("name", ["", "\0", "SPAK\0", "ä", "x" * 5000])
def test_what_is_no_key_is_not_found(db, name):
    store.create_key(db, "ann")
    assert store.find_key(db, name) is None
    assert store.find_token(db, name) is None


def test_a_disabled_key_is_not_found(db):
    issued, other = store.create_key(db, "ann"), store.create_key(db, "ben")
    assert store.disable_key(db, issued.id)
    assert store.find_key(db, issued.id) is None
    assert store.find_token(db, issued.token) is None
    assert store.find_token(db, other.token).name == "ben"
    assert [one.enabled for one in store.access_keys(db)].count(True) == 1
    assert not store.disable_key(db, "nobody")


@pytest.mark.parametrize(
    ("applications", "asked", "covers"),
    [
        (None, "a", True),
        (None, None, True),
        (["a"], "a", True),
        (["a"], "b", False),
        (["a"], None, False),
        (["a"], "*", False),
    ],
)
def test_scopes(db, applications, asked, covers):
    store.create_key(db, "ann", applications=applications)
    (key,) = store.access_keys(db)
    assert key.covers(asked) is covers


def test_a_secret_opens_in_its_own_row_only(db):
    ann, ben = store.create_key(db, "ann"), store.create_key(db, "ben")
    column = tables.access_key.c
    with db.engine.begin() as connection:
        sealed = select(column.secret).where(column.id == ann.id).scalar_subquery()
        connection.execute(
            update(tables.access_key).where(column.id == ben.id).values(secret=sealed)
        )
    assert store.find_key(db, ann.id)[1] == ann.secret
    with pytest.raises(ValueError, match=f"access key {ben.id}: does not open"):
        store.find_key(db, ben.id)


def test_neither_secret_nor_token_is_stored_in_plain(db):
    issued = store.create_key(db, "ann")
    with db.reading() as connection:
        (row,) = connection.execute(select(tables.access_key)).all()
    assert issued.secret not in str(row)
    assert issued.token not in str(row)
    assert issued.secret not in repr(issued)
    assert issued.token not in repr(issued)
