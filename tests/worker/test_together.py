"""Requests that are accepted at the same time come to what each would come to alone."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError

from tests.http import asgi
from tests.worker.flow import Backend
from worker import intake, settings, store, wire
from worker.store import tables


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    yield backend
    backend.close()


def asked(backend, *addresses, body="Hello", key=None, application=None, **members):
    request = {
        "MessageConfiguration": {"DefaultMessage": {"Body": body}},
        "Addresses": {address: {"ChannelType": "CUSTOM"} for address in addresses},
    } | members
    return intake.Asked(
        application or backend.application, wire.convert(request, wire.MessageRequest), key
    )


def stored(backend):
    return backend.count(tables.message_request), backend.count(tables.message_result)


def test_each_comes_to_its_own(backend):
    before = backend.accept("before", key="taken")
    store.add_opt_out(backend.runtime.db, backend.application, "CUSTOM", "left")
    came_to = intake.accept_all(
        backend.runtime,
        [
            asked(backend, "a", "b"),
            asked(backend),
            asked(backend, "c", key="k"),
            asked(backend, "c", key="k"),
            asked(backend, "d", key="k"),
            asked(backend, "before", key="taken"),
            asked(backend, "other", key="taken"),
            asked(backend, "e", "left"),
            asked(backend, "f", application="nobody"),
            asked(backend, "g", body="long" * 20_000),
            asked(backend, "h", key="é"),
        ],
    )
    kinds = [type(one) for one in came_to]
    accepted = intake.Accepted
    assert kinds == [
        accepted,
        wire.BadRequest,
        accepted,
        accepted,
        wire.Conflict,
        accepted,
        wire.Conflict,
        accepted,
        wire.NotFound,
        accepted,
        wire.BadRequest,
    ]
    plain, _, first, twin, _, repeated, _, some, _, long, _ = came_to
    assert (first.repeated, twin.repeated, repeated.repeated) == (False, True, True)
    assert twin.request_id == first.request_id
    assert repeated.request_id == before
    assert stored(backend) == (5, 7)
    assert [one.address for one in backend.results(plain.request_id).values()] == ["a", "b"]
    assert backend.results(some.request_id)["left"].delivery_status == "OPT_OUT"
    assert Counter(ring.queue for ring in backend.rings.rung) == {"sendpoint.custom": 6}
    backend.settle()
    sent = [one.address for one in backend.adapter.sent]
    assert sorted(sent) == ["a", "b", "before", "c", "e", "g"]
    bodies = {one.address: one.message.data["Message"] for one in backend.adapter.sent}
    assert bodies["a"] == bodies["c"] != bodies["g"]
    assert {one.request_id for one in backend.adapter.sent} == {
        str(one)
        for one in (plain.request_id, first.request_id, before, some.request_id, long.request_id)
    }


def test_one_that_cannot_be_stored_is_no_others_trouble(backend, monkeypatch):
    (taken,) = [one.id for one in backend.results(backend.accept("before")).values()]
    ids = iter([intake.uuid7s(2), [taken, intake.uuid7()], intake.uuid7s(2)])
    monkeypatch.setattr(intake, "uuid7s", lambda _: next(ids))
    came_to = intake.accept_all(
        backend.runtime, [asked(backend, name, key=name) for name in ("a", "b", "c")]
    )
    kinds = [intake.Accepted, IntegrityError, intake.Accepted]
    assert [type(one) for one in came_to] == kinds
    assert stored(backend) == (3, 3)
    assert backend.count(tables.idempotency) == 2
    backend.settle()
    assert sorted(one.address for one in backend.adapter.sent) == ["a", "before", "c"]


@pytest.mark.parametrize("looking", [True, False])
def test_a_database_that_is_gone_stores_none_and_says_so_to_all(backend, monkeypatch, looking):
    def gone(*_):
        raise store.Unavailable("", None, Exception())

    monkeypatch.setattr(store, "opt_outs_of_all" if looking else "save_all", gone)
    came_to = intake.accept_all(
        backend.runtime, [asked(backend, "a"), asked(backend), asked(backend, "b", key="k")]
    )
    kinds = [store.Unavailable, wire.BadRequest, store.Unavailable]
    assert [type(one) for one in came_to] == kinds
    assert stored(backend) == (0, 0)
    assert backend.rings.rung == []


def test_together_they_take_as_many_statements_as_one(backend):
    def statements(count):
        ran = []
        db = backend.runtime.db
        event.listen(db.engine, "before_cursor_execute", lambda *args: ran.append(args[2]))
        many = [asked(backend, name, key=name) for name in (uuid4().hex for _ in range(count))]
        assert all(
            isinstance(one, intake.Accepted) for one in intake.accept_all(backend.runtime, many)
        )
        return len(ran)

    statements(1)  # what is read once in a while was read
    if backend.runtime.db.engine.dialect.name == "postgresql":
        # Who has opted out; what is stored.
        assert (statements(2), statements(50)) == (2, 2)
    else:
        assert statements(50) < 50 * statements(1)


def test_callers_of_the_api_are_each_answered_their_own(database_url):
    """Some of them wrong, some the same, all at once."""
    config = settings.Settings(database_url=database_url, wait=0)
    with asgi.running(config) as web, ThreadPoolExecutor(60) as callers:

        def call(number):
            addresses = {f"a{number % 30}": {"ChannelType": "CUSTOM"}}
            body = {
                "MessageConfiguration": {"DefaultMessage": {"Body": "Hello"}},
                "Addresses": {} if number % 10 == 3 else addresses,
            }
            path = f"/v1/apps/{web.application}/messages"
            headers = {"Idempotency-Key": f"key {number % 30}"}
            return web.request("POST", path, json.dumps(body).encode(), headers)

        answers = [*callers.map(call, range(60))]
        with web.runtime.db.reading() as connection:
            found = connection.execute(select(tables.message_result.c.address)).scalars().all()
    wrong = {one for one in range(60) if one % 10 == 3}
    ids = {}
    for number, answer in enumerate(answers):
        assert answer.status == (400 if number in wrong else 200)
        if number not in wrong:
            assert list(answer.json["Result"]) == [f"a{number % 30}"]
            request_id = answer.json["RequestId"]
            assert ids.setdefault(number % 30, request_id) == request_id
    assert len(set(ids.values())) == 27
    assert sorted(found) == sorted(f"a{number}" for number in ids)
