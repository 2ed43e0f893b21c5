"""With a window, the same message is sent to a recipient once: whoever is faster, and unless the
first one failed."""

import contextlib
import dataclasses
import random
import threading
from collections import Counter

import pytest
from sqlalchemy import insert, select, update

from adapters.contract import indeterminate, permanent, temporary
from tests.worker import test_otp
from tests.worker.flow import Backend, at_once, blocked, until
from tests.worker.statements import counting
from worker import intake, replay, store
from worker.store import tables

WINDOW = 300


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url, dedupe_window=WINDOW, max_attempts=2, message_ttl=120)
    yield backend
    backend.close()


def statuses(backend, request_id):
    return [one.delivery_status for one in backend.results(request_id).values()]


def sent(backend):
    """The addresses that were sent to, when everything is done."""
    backend.settle()
    return sorted(one.address for one in backend.adapter.sent)


def test_without_a_window_nothing_is_the_same(database_url):
    with contextlib.closing(Backend(database_url)) as backend:
        for _ in range(2):
            backend.accept("a")
        assert sent(backend) == ["a", "a"]
        assert backend.count(tables.recent_message) == 0


def test_the_same_message_is_sent_once_and_told_of(backend):
    first = backend.accept("a")
    second = backend.accept("a", "b")
    results = backend.results(second)
    assert {name: (one.state, one.delivery_status) for name, one in results.items()} == {
        "a": ("DONE", "DUPLICATE"),
        "b": ("QUEUED", None),
    }
    assert results["a"].status_code == 400
    assert results["a"].status_message == (
        f"The same message was accepted before, as {backend.results(first)['a'].id} of request "
        f"{first}, and is not sent again until 2026-11-01T12:05:00.000Z"
    )
    assert len(backend.rings.rung) == 2
    assert sent(backend) == ["a", "b"]


def test_the_databases_own_clock_decides(backend):
    backend.runtime.db = dataclasses.replace(backend.runtime.db, now=None)
    found = [statuses(backend, backend.accept("a", "b")) for _ in range(2)]
    assert found == [[None, None], ["DUPLICATE", "DUPLICATE"]]
    assert store.forget(backend.runtime.db) == 0


def test_another_message_is_sent(backend):
    backend.accept("a")
    backend.accept("a", channel="EMAIL")
    backend.accept("a", MessageConfiguration={"DefaultMessage": {"Body": "Bye"}})
    backend.channels.application = None
    backend.application = store.create_application(backend.runtime.db, "other").id
    backend.accept("a")
    assert sent(backend) == ["a"] * 4


def test_a_window_begins_with_the_message_that_is_sent(backend):
    backend.accept("a")
    backend.settle()
    backend.clock.move(WINDOW - 1)
    assert statuses(backend, backend.accept("a")) == ["DUPLICATE"]
    backend.clock.move(1)
    assert statuses(backend, backend.accept("a")) == [None]
    backend.clock.move(WINDOW - 1)
    assert statuses(backend, backend.accept("a")) == ["DUPLICATE"]


@pytest.mark.parametrize(
    ("outcomes", "again"),
    [
        ((permanent(550, "no such user", fault=None),), True),
        ((temporary(503, "down"),), True),  # until all attempts are used up
        ((temporary(503, "down", retry_after=600),), True),  # beyond the deadline
        ((indeterminate("no answer"),), False),
        ((indeterminate("no answer"), permanent(550, "no such user", fault=None)), False),
    ],
)
def test_what_failed_is_sent_again_if_it_surely_was_not_delivered(backend, outcomes, again):
    backend.adapter.says("a", *outcomes)
    backend.accept("a")
    backend.settle()
    backend.adapter.by_address.clear()
    second = backend.accept("a")
    backend.settle()
    assert statuses(backend, second) == ["SUCCESSFUL" if again else "DUPLICATE"]
    assert statuses(backend, backend.accept("a")) == ["DUPLICATE"]


def test_what_is_still_tried_is_not_sent_again(backend):
    backend.adapter.says("a", temporary(503, "busy"))
    first = backend.accept("a")
    backend.work()
    assert statuses(backend, first) == ["TEMPORARY_FAILURE"]
    assert statuses(backend, backend.accept("a")) == ["DUPLICATE"]


def test_a_replay_passes_and_its_message_is_not_sent_a_third_time(backend):
    backend.adapter.says("a", permanent(550, "no such user", fault=None))
    backend.accept("a")
    backend.settle()
    backend.clock.move(1)
    backend.adapter.by_address.clear()
    wanted = store.Wanted(application_id=backend.application)
    assert sum(replay.replay(backend.runtime, wanted), replay.Batch()).sent == 1
    assert statuses(backend, backend.accept("a")) == ["DUPLICATE"]
    assert sent(backend) == ["a", "a"]


def test_one_number_written_twice_gets_one_message(backend):
    request_id = backend.accept("+14255550100", "+1 (425) 555-0100", channel="SMS")
    assert statuses(backend, request_id) == [None, "DUPLICATE"]
    again = backend.accept("+1 425 555 0100", "+1.425.555.0100", channel="SMS")
    assert statuses(backend, again) == ["DUPLICATE", "DUPLICATE"]
    texts = [
        one.status_message.partition(",")[0]
        for request in (request_id, again)
        for one in backend.results(request).values()
        if one.delivery_status
    ]
    assert texts == [
        "Another recipient of this request has the same address",
        "The same message was accepted before",
        "The same message was accepted before",
    ]


def test_a_repetition_under_its_key_is_the_first_ones_answer(backend):
    first = backend.accept("a", key="k")
    assert backend.accept("a", key="k") == first
    assert statuses(backend, first) == [None]


def test_one_time_codes_pass(database_url):
    with contextlib.closing(test_otp.Shop(database_url, dedupe_window=WINDOW)) as shop:
        for _ in range(2):
            shop.send_one()
        assert len(shop.adapter.sent) == 2


@pytest.mark.parametrize("taken_before", [False, True])
def test_of_the_same_at_the_same_time_each_recipient_gets_one(backend, taken_before):
    """However the requests name them; none of them waits for one that waits for it."""
    addresses = [f"a{number}" for number in range(40)]
    if taken_before:
        backend.accept(*addresses)
        backend.settle()
        backend.clock.move(WINDOW)
        backend.adapter.sent.clear()
    chance = random.Random(5)
    orders = iter([chance.sample(addresses, len(addresses)) for _ in range(12)])
    got = at_once(12, lambda: backend.accept(*next(orders)))
    found = Counter(
        (one.address, one.delivery_status) for id_ in got for one in backend.results(id_).values()
    )
    assert len(got) == 12
    assert found == {(one, None): 1 for one in addresses} | {
        (one, "DUPLICATE"): 11 for one in addresses
    }
    assert sent(backend) == sorted(addresses)


@pytest.mark.parametrize("commits", [False, True])
def test_the_same_waits_for_the_transaction_before_it(backend, commits):
    """If that fails, the message is sent after all."""
    backend.accept("a")
    sent(backend)
    column = tables.recent_message.c
    db, got = backend.runtime.db, []
    with db.reading() as connection:
        (held,) = connection.execute(select(tables.recent_message)).mappings()
    backend.clock.move(WINDOW)
    store.forget(db)
    twin = threading.Thread(target=lambda: got.append(backend.accept("a")), daemon=True)
    with db.engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(
            insert(tables.recent_message).values({**held, column.expires_at.name: db.after(WINDOW)})
        )
        twin.start()
        if db.engine.dialect.name == "postgresql":
            until(lambda: blocked(backend) == 1)
        assert got == []
        transaction.commit() if commits else transaction.rollback()
    twin.join(30)
    (request_id,) = got
    assert statuses(backend, request_id) == ["DUPLICATE" if commits else None]


def test_a_hundred_cost_a_statement_more_and_another_if_some_are_the_same(backend):
    def cost(*addresses):
        with counting(backend.runtime.db) as sql:
            request_id = backend.accept(*addresses)
        return statuses(backend, request_id), sql

    many = [f"a{number}" for number in range(100)]
    cost("fill the caches")
    backend.rings.rung.clear()
    found, sql = cost(*many[:50])
    assert (found, len(backend.rings.rung)) == ([None] * 50, 50)
    assert sql["statements"] <= 5
    found, more = cost(*many)
    assert found == ["DUPLICATE"] * 50 + [None] * 50
    assert len(backend.rings.rung) == 100
    assert more["statements"] == sql["statements"] + 1
    assert more["transactions"] == sql["transactions"] == 1


def test_what_has_ended_is_forgotten_in_batches(backend):
    backend.accept(*(f"a{number}" for number in range(5)))
    backend.clock.move(WINDOW)
    backend.accept("new")
    db = backend.runtime.db
    assert [store.forget(db, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert backend.count(tables.recent_message) == 1


def test_a_message_that_is_no_longer_on_record_is_not_sent_again(backend):
    """Results may be dropped by whoever keeps the database small. What became of it is unknown."""
    backend.adapter.says("a", permanent(550, "no such user", fault=None))
    request_id = backend.accept("a")
    backend.settle()
    with backend.runtime.db.engine.begin() as connection:
        connection.execute(update(tables.message_result).values(id=intake.uuid7()))
    (status,) = statuses(backend, backend.accept("a"))
    assert status == "DUPLICATE"
    assert statuses(backend, request_id) == ["PERMANENT_FAILURE"]
