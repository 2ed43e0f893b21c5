"""What 100 recipients cost, in things that do not depend on the machine: statements, transactions,
commands and rings. Whoever makes one of these grow with the recipients has made everything slow."""

import asyncio
import contextlib
from collections import Counter

import pytest
import redis
from sqlalchemy import select, update

from tests.worker.flow import Backend
from tests.worker.statements import counting
from worker import dispatch, forwarding, rings, sinks, store, sweeping, throttle
from worker.store import tables

COUNT = 100
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/events"


@contextlib.contextmanager
def commands(redis_url):
    """The commands that Redis is sent in the block, less those that open a connection and this
    question."""
    counts = Counter()
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        yield counts
        calls = client.info("commandstats")
    for name, one in calls.items():
        command = name.removeprefix("cmdstat_").partition("|")[0]
        if command not in {"client", "config", "hello", "info", "ping", "select"}:
            counts[command] += one["calls"]


@pytest.fixture
def backend(database_url, redis_url):
    backend = Backend(database_url)
    backend.runtime.rings = rings.Rings(redis_url)
    # What is done once in a while, such as reading the request's channels, was done before.
    backend.accept(*recipients(1))
    yield backend
    backend.close()


def recipients(count):
    return [f"https://example.com/{number}" for number in range(count)]


def waiting(backend, request_id):
    row = tables.message_result.c
    with backend.runtime.db.reading() as connection:
        return (
            connection.execute(select(row.id).where(row.request_id == request_id)).scalars().all()
        )


def deliver(backend, ids):
    async def all_of_them():
        await asyncio.gather(*(dispatch.deliver(backend.runtime, one) for one in ids))

    asyncio.run(all_of_them())


@pytest.mark.parametrize("keyed", [False, True])
def test_accepting_100_takes_as_many_statements_and_commands_as_accepting_2(
    backend, redis_url, keyed
):
    seen = {}
    for count in (2, COUNT):
        key = f"key of {count}" if keyed else None
        with counting(backend.runtime.db) as sql, commands(redis_url) as sent:
            backend.accept(*recipients(count), key=key)
        seen[count] = sql, sent
    sql, sent = seen[COUNT]
    assert sql == seen[2][0]
    # Who has opted out; the key, the request and its recipients, which PostgreSQL takes as one
    # statement that is a transaction by itself.
    one = backend.runtime.db.engine.dialect.name == "postgresql"
    assert sql["statements"] == 1 + (1 if one else 2 + keyed)
    assert sql["transactions"] == (0 if one else 1)
    assert sent == Counter(lpush=1)


def test_accepting_a_hundred_rings_a_hundred_times_each_ring_small(backend, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        backend.accept(*recipients(COUNT))
        queued = client.lrange("sendpoint.custom", 0, -1)
    assert len(queued) == COUNT
    assert max(map(len, queued)) < 700, "a ring carries an id and nothing that grows"


def test_delivering_100_takes_a_claim_a_look_and_a_few_records(backend, redis_url):
    ids = waiting(backend, backend.accept(*recipients(COUNT)))
    with counting(backend.runtime.db) as sql, commands(redis_url) as sent:
        deliver(backend, ids)
    assert len(backend.adapter.sent) == COUNT
    # A claim; the request's text; its application's event stream; the results.
    assert sql["statements"] <= 5
    assert sql["transactions"] <= 4
    assert sent.total() == 0, "delivering asks Redis nothing"


def test_limits_and_events_cost_100_a_few_statements_and_commands_more(backend, redis_url):
    runtime = backend.runtime
    runtime.throttle = throttle.limiter(redis_url)
    runtime.sink = sinks.build(redis_url, "")
    backend.limit("all", "1000/s")
    store.put_event_stream(runtime.db, backend.application, destination=ARN, role=ARN, by=None)
    ids = waiting(backend, backend.accept(*recipients(COUNT)))
    with counting(runtime.db) as sql, commands(redis_url) as sent:
        deliver(backend, ids)
    assert len(backend.adapter.sent) == COUNT
    assert backend.count(tables.event) == COUNT
    # The stream is read. On PostgreSQL the events are within the results' statement, which is a
    # transaction by itself; else they are one statement in the results' transaction.
    within = runtime.db.engine.dialect.name == "postgresql"
    assert sql["statements"] <= 7 - within, sql
    assert sql["transactions"] <= 4 * (not within), sql
    assert sent["evalsha"] + sent["eval"] <= 3, sent
    assert sent.total() <= 10, sent  # with what the script does, and its loading


def test_telling_100_events_costs_as_many_statements_as_telling_2(backend, redis_url):
    runtime = backend.runtime
    runtime.sink = sinks.build(redis_url, "")
    store.put_event_stream(runtime.db, backend.application, destination=ARN, role=ARN, by=None)

    seen = {}

    async def tell(count):
        with counting(runtime.db) as sql, commands(redis_url) as sent:
            assert not await forwarding.forward(runtime), "nothing more is waiting"
        assert sent.pop("xadd") == count
        seen[count] = sql, sent

    async def both():
        await runtime.sink.check()  # Redis knows the script from now on
        for count in (2, COUNT):
            store.add_events(runtime.db, [store.Event(backend.application, "{}")] * count)
            await tell(count)
        await runtime.sink.aclose()

    asyncio.run(both())
    assert seen[2] == seen[COUNT]
    sql, sent = seen[COUNT]
    # A look; whose turn it is; the events; that they are told.
    assert sql["statements"] <= 4
    assert sent.total() == 1, sent  # the script that adds them


def test_a_second_ring_for_100_costs_one_claim_that_finds_nothing(backend):
    ids = waiting(backend, backend.accept(*recipients(COUNT)))
    deliver(backend, ids)
    with counting(backend.runtime.db) as sql:
        deliver(backend, ids)
    assert sql["statements"] == 1
    assert len(backend.adapter.sent) == COUNT


def test_feeding_a_queue_costs_the_same_for_a_window_as_for_a_row(backend, redis_url):
    """Once for what waits, once for each application that has something on a lane."""
    with redis.Redis.from_url(redis_url) as client:
        seen = {}
        for count in (2, COUNT):
            backend.accept(*recipients(count))
            client.flushdb()  # the rings are lost
            overdue(backend)
            with counting(backend.runtime.db) as sql, commands(redis_url) as sent:
                fed = sweeping.feed(backend.runtime)
            assert fed.rung >= count
            seen[count] = sql, sent
    assert seen[2] == seen[COUNT]
    sql, sent = seen[COUNT]
    assert sql["statements"] <= 3
    assert sent["lpush"] == 1
    assert sent.total() <= 5, sent


def overdue(backend):
    """Have every row that waits be due for another ring."""
    row = tables.message_result.c
    with backend.runtime.db.engine.begin() as connection:
        connection.execute(update(tables.message_result).values(ring_at=row.due_at))
