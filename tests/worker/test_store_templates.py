"""Templates in both databases: versions are numbered once, whoever writes at the same time."""

import threading

import pytest

from worker import store, templates, wire


@pytest.fixture
def db(database_url):
    db = store.connect(database_url)
    store.upgrade(db)
    yield db
    db.close()


def at_once(count, function):
    """Call a function from so many threads and return what each raised."""
    raised = []

    def call(number):
        try:
            function(number)
        except wire.RequestError as error:
            raised.append(error)

    threads = [
        threading.Thread(target=call, args=(number,), daemon=True) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_of_two_who_create_it_one_does(db):
    refused = at_once(4, lambda n: store.create_template(db, "t", "SMS", f'{{"n":{n}}}', {}))
    assert [type(error) for error in refused] == [wire.BadRequest] * 3
    assert store.find_template(db, "t", "SMS").version == 1


def test_versions_made_at_once_have_numbers_of_their_own(db):
    store.create_template(db, "t", "SMS", "{}", {})
    refused = at_once(
        6, lambda n: store.update_template(db, "t", "SMS", f'{{"n":{n}}}', as_new=True)
    )
    assert refused == []
    found = store.version_page(db, "t", "SMS", before=100, size=10)
    assert [one.version for one in found] == [7, 6, 5, 4, 3, 2, 1]
    assert len({one.document for one in found}) == 7
    assert store.find_template(db, "t", "SMS").version == 1


def test_of_those_who_add_to_the_same_latest_version_one_does(db):
    store.create_template(db, "t", "SMS", "{}", {})

    def add(_):
        store.update_template(db, "t", "SMS", "{}", latest=1, as_new=True)

    refused = at_once(4, add)
    assert [error.message for error in refused] == ["Version: 1 is not the latest version"] * 3


def test_pages_hold_every_template_once_in_any_collation(db):
    names = ["B", "a", "A-1", "a_1", "b", "0", "Z", "z9"]
    for name in names:
        for kind in ("SMS", "EMAIL"):
            store.create_template(db, name, kind, "{}", {})
    found, after = [], ("", "")
    while page := store.template_page(db, template_type=None, prefix="", after=after, size=3):
        found += [(one.name, one.type) for one in page]
        after = found[-1]
    assert len(found) == 16
    assert set(found) == {(name, kind) for name in names for kind in ("SMS", "EMAIL")}
    (only,) = store.template_page(db, template_type="SMS", prefix="A", after=("", ""), size=9)
    assert only.name == "A-1"


def test_there_are_at_most_so_many(db, monkeypatch):
    monkeypatch.setattr("worker.store.templates.MAX_TEMPLATES", 1)
    monkeypatch.setattr("worker.store.templates.MAX_VERSIONS", 2)
    store.create_template(db, "t", "SMS", "{}", {})
    with pytest.raises(wire.BadRequest, match="at most 1 templates"):
        store.create_template(db, "u", "SMS", "{}", {})
    store.update_template(db, "t", "SMS", "{}", as_new=True)
    with pytest.raises(wire.BadRequest, match="at most 2 versions"):
        store.update_template(db, "t", "SMS", "{}", as_new=True)
    store.update_template(db, "t", "SMS", "{}")


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ({"Name": "t"}, "one"),
        ({"Name": "t", "Version": "2"}, "two"),
        ({"Name": "t", "Version": ""}, "one"),
        ({"Name": "t", "Version": "3"}, None),
        ({"Name": "t", "Version": "latest"}, None),
        ({"Name": "T"}, None),
        ({"Name": "t\0"}, None),
        ({}, None),
    ],
)
def test_what_a_request_names(db, template, body):
    store.create_template(db, "t", "SMS", '{"Body":"one"}', {})
    store.update_template(db, "t", "SMS", '{"Body":"two"}', as_new=True)
    request = {"SMSTemplate": template, "EmailTemplate": {"Name": "t"}}
    found = templates.named(db, wire.convert(request, wire.TemplateConfiguration))
    assert found.EmailTemplate is None
    assert (found.SMSTemplate.Body if found.SMSTemplate else None) == body
    assert templates.named(db, None) is None
