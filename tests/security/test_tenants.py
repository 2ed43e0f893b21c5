"""No key reaches another application, by no operation. The operations are those of the table that
the routes are made from, so that a new one is tested without being thought of.
"""

from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from tests.http.api import bearer, message
from tests.http.test_every_operation import CALLS, SUPPORTED
from worker import intake, store, wire
from worker.http import app, permissions
from worker.http.guard import OPEN
from worker.store import tables

MARK = "theirs-7f3a"
OF_NOBODY = {"PhoneNumberValidate"}
OURS = {"GetMessageOutcomes"}
EVERYTHING = [
    (resource.path, method, one)
    for resource in app.resources()
    for method, one in resource.operations.items()
]


@pytest.fixture
def theirs(guarded, issue):
    """Another's application, with something of everything, and the key to everything."""
    db = guarded.runtime.db
    theirs = store.create_application(db, MARK).id
    endpoint = {
        "Address": "+15550100299",
        "ChannelType": "SMS",
        "Attributes": {MARK: [MARK]},
        "User": {"UserId": "ann", "UserAttributes": {MARK: [MARK]}},
    }
    store.update_endpoints(db, theirs, [("e", wire.convert(endpoint, wire.EndpointRequest))])
    store.put_event_stream(
        db, theirs, destination=f"arn:aws:kinesis:eu:1:stream/{MARK}", role=MARK, by=MARK
    )
    store.set_channel(db, theirs, "SMS", adapter="sandbox", settings={"inbox": MARK})
    return theirs


def rows(db, application=None):
    """What is stored, of everybody or of one application."""
    with db.reading() as connection:
        return {
            table.name: sorted(
                repr(row)
                for row in connection.execute(select(table))
                if application in {None, row._mapping.get("application_id"), row._mapping.get("id")}
            )
            for table in store.metadata.sorted_tables
        }


@pytest.mark.parametrize("operation", SUPPORTED)
def test_no_operation_reaches_another_application(guarded, issue, theirs, operation):
    """Just before boto3's own request, which is allowed, the same one is made with my key: for
    their application, and for mine with all the ids of theirs."""
    api, db = guarded, guarded.runtime.db
    mine = bearer(issue("mine", applications=[api.application]))
    tried = []

    def attack(request, **_):
        parts = urlsplit(request.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        before = rows(db)
        answer = api.request(request.method, path, request.body, mine)
        tried.append(answer.status)
        assert MARK.encode() not in answer.body
        if operation in OF_NOBODY:
            assert answer.status == 200
            return
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert rows(db) == before
        if theirs in path:
            before = rows(db, theirs)
            path = path.replace(theirs, api.application)
            answer = api.request(request.method, path, request.body, mine)
            assert answer.status < 500
            assert MARK.encode() not in answer.body
            assert rows(db, theirs) == before

    client = api.boto3(key=issue("everything"))
    client.meta.events.register(f"before-send.pinpoint.{operation}", attack)
    CALLS[operation](client, theirs)
    assert tried


def test_what_became_of_anothers_message_is_not_told(guarded, issue, theirs):
    request = wire.convert(message("+15550100299"), wire.MessageRequest)
    request_id = intake.accept(guarded.runtime, theirs, request).request_id
    key = bearer(issue("mine", applications=[guarded.application]))
    for application, status in ((theirs, 403), (guarded.application, 404)):
        answer = guarded.request("GET", f"/v1/apps/{application}/messages/{request_id}", None, key)
        assert answer.status == status


@pytest.mark.parametrize(
    ("path", "method", "operation"), EVERYTHING, ids=[one.name for *_, one in EVERYTHING]
)
def test_without_a_key_and_with_the_wrong_one_nothing_is_done(
    guarded, issue, theirs, path, method, operation
):
    """Whatever is in the table, what is out of scope and what is only ours too: 403 comes before
    everything else."""
    if path in OPEN:
        return
    path = path.replace("{application_id}", theirs)
    path = "".join("e" if one.startswith("{") else one for one in _parts(path))
    before = rows(guarded.runtime.db)
    keys = [{}, bearer(issue("mine", applications=[guarded.application]))]
    before["access_key"] = rows(guarded.runtime.db)["access_key"]
    for key in keys:
        answer = guarded.request(method, path, b"{}", key)
        if key and operation.name in {*OF_NOBODY, "About"}:
            continue
        assert answer.status == 403, (path, key)
    assert rows(guarded.runtime.db) == before


def test_every_operation_is_tried():
    names = {one.name for *_, one in EVERYTHING}
    assert set(SUPPORTED) | OURS <= names
    assert set(permissions._OF_NOBODY) == OF_NOBODY
    applied = {table.name for table in store.metadata.sorted_tables if "application_id" in table.c}
    assert {"endpoint", "channel", "event_stream", "message_result"} <= applied
    assert tables.application.name in store.metadata.tables


def _parts(path):
    """A path in literal pieces and parameters."""
    pieces, rest = [], path
    while "{" in rest:
        literal, _, rest = rest.partition("{")
        parameter, _, rest = rest.partition("}")
        pieces += [literal, "{" + parameter]
    return [*pieces, rest]
