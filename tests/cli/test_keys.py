"""`sendpoint key`: made, shown once, narrowed, listed, disabled, and encrypted again."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.conftest import APP
from worker import settings, store

SEND, MANAGE, READ = store.Action


def credentials(told):
    """What `key create` printed, by its label."""
    lines = told.stdout.splitlines()
    return {line[:19].rstrip(): line[19:] for line in lines}


def test_a_key_is_shown_once_and_works(prepared, db):
    told = prepared("key", "create", "ann")
    assert told.exit_code == 0
    shown = credentials(told)
    assert list(shown) == ["Access key id", "Secret access key", "Bearer token"]
    assert told.stderr == "Keep the secret and the token safe: they are not shown again\n"
    key, secret = store.find_key(db, shown["Access key id"])
    assert (len(key.id), len(secret)) == (20, 40)
    assert secret == shown["Secret access key"]
    assert store.find_token(db, shown["Bearer token"]) == key
    assert (key.name, key.applications, key.actions) == ("ann", None, frozenset(store.Action))
    listed = prepared("key", "list").output + prepared("key", "list", "--json").output
    assert key.id in listed
    assert secret not in listed
    assert shown["Bearer token"] not in listed


def test_a_key_is_narrowed(prepared, db):
    told = prepared("key", "create", "ben", "--app", APP, "--allow", "send, READ", "--json")
    made = json.loads(told.stdout)
    assert list(made) == ["Id", "Secret", "Token"]
    (key,) = store.access_keys(db)
    assert (key.applications, key.actions) == ({APP}, {SEND, READ})
    (listed,) = json.loads(prepared("key", "list", "--json").output)
    datetime.fromisoformat(listed.pop("CreationDate"))
    assert listed == {
        "Id": made["Id"],
        "Name": "ben",
        "Enabled": True,
        "Actions": ["read", "send"],
        "Applications": [APP],
    }
    head, row = prepared("key", "list").output.splitlines()
    assert head.split() == ["ID", "NAME", "STATE", "ALLOWED", "APPLICATIONS", "CREATED"]
    assert row.split()[:5] == [made["Id"], "ben", "enabled", "read,send", APP]


def test_a_key_is_disabled(prepared, db):
    made = json.loads(prepared("key", "create", "ann", "--json").stdout)
    assert prepared("key", "disable", made["Id"]).output == f"{made['Id']} is disabled\n"
    assert prepared("key", "disable", made["Id"]).exit_code == 0
    assert store.find_key(db, made["Id"]) is None
    assert store.find_token(db, made["Token"]) is None
    assert "disabled" in prepared("key", "list").output
    told = prepared("key", "disable", "nobody")
    assert told.exit_code == 1
    assert "There is no key nobody" in told.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a b"], 2, "NAME must have 1 to 64"),
        (["x" * 65], 2, "NAME must have 1 to 64"),
        (["ann", "--allow", "send,fly"], 2, "'fly' is none of send, manage, read"),
        (["ann", "--allow", ""], 2, "'' is none of send, manage, read"),
        (["ann", "--app", "nobody"], 1, "There is no application nobody"),
    ],
)
def test_keys_that_cannot_be(prepared, db, arguments, code, words):
    told = prepared("key", "create", *arguments)
    assert told.exit_code == code
    assert words in told.output
    assert store.access_keys(db) == []


def test_secrets_are_encrypted_again(prepared, db, monkeypatch):
    made = json.loads(prepared("key", "create", "ann", "--json").stdout)
    old = Path(settings.load().secret_keys_file).read_text().strip()
    new = prepared("secrets", "new-key").output.strip()
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", f"{new},{old}")
    assert prepared("secrets", "rotate").output.endswith("and so were 1 access keys\n")
    assert prepared("secrets", "rotate").output.endswith("and so were 0 access keys\n")
    monkeypatch.setenv("SENDPOINT_SECRET_KEYS", new)
    loaded = settings.load()
    again = store.connect(loaded.database_url, vault=loaded.vault())
    try:
        assert store.find_key(again, made["Id"])[1] == made["Secret"]
    finally:
        again.close()
