"""Rings over real Redis and in memory: published in one batch, popped in bulk, never in the way."""

import base64
import json
import time
from uuid import uuid4

import kombu
import pytest
import redis

from worker import plan, rings, store

QUEUE = "sendpoint.email"


@pytest.fixture
def doorbell(redis_url):
    doorbell = rings.Rings(redis_url)
    yield doorbell
    doorbell.close()


def ring_for(count):
    return [store.Ring(uuid4(), QUEUE) for _ in range(count)]


def consume(url, queues, count, prefetch):
    """The rings that a consumer with so much room gets before it acknowledges anything."""
    got = []
    connection = kombu.Connection(
        url, transport=rings.transport(url), transport_options=rings.transport_options(url)
    )
    with connection, connection.channel() as channel:
        channel.basic_qos(0, prefetch, False)
        consumer = kombu.Consumer(
            channel, [kombu.Queue(one) for one in queues], on_message=got.append, accept=["json"]
        )
        with consumer:
            while len(got) < count:
                connection.drain_events(timeout=5)
        reads = connection.transport.cycle if hasattr(connection.transport, "cycle") else None
    return got, reads


def test_a_ring_is_a_celery_message_with_one_id_whose_it_is_and_nothing_else(doorbell, redis_url):
    one = store.Ring(uuid4(), QUEUE, "shop")
    assert doorbell.ring([one])
    (message,), _ = consume(redis_url, [QUEUE], 1, prefetch=1)
    assert message.payload == [[one.id.hex, QUEUE, "shop"], {}, {}]
    assert message.headers["task"] == "sendpoint.deliver"
    assert message.content_type == "application/json"


def test_a_ring_made_by_hand_is_the_one_that_kombu_makes(doorbell, redis_url):
    (one,) = ring_for(1)
    with redis.Redis.from_url(redis_url) as client:
        doorbell.ring([one])
        ours = json.loads(client.rpop(QUEUE))
        with doorbell._producers.acquire() as producer:
            rings._publish(producer, one)
        kombus = json.loads(client.rpop(QUEUE))
    for message in (ours, kombus):
        del message["headers"]["id"], message["headers"]["root_id"]
        del message["properties"]["delivery_tag"]
        message["body"] = json.loads(base64.b64decode(message["body"]))
    assert ours == kombus


def test_rings_are_counted_and_popped_within_the_room_there_is(doorbell, redis_url):
    assert doorbell.waiting(QUEUE) == 0
    doorbell.ring(ring_for(100))
    assert doorbell.waiting(QUEUE) == 100
    got, _ = consume(redis_url, [QUEUE], 30, prefetch=30)
    assert len(got) == 30
    assert doorbell.waiting(QUEUE) == 70, "nothing was popped beyond the prefetch"


def test_rings_are_popped_in_bulk(doorbell, redis_url):
    doorbell.ring(ring_for(150))
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        got, _ = consume(redis_url, [QUEUE], 150, prefetch=200)
        calls = client.info("commandstats")
    assert len(got) == 150
    assert calls["cmdstat_rpop"]["calls"] <= 2
    assert calls["cmdstat_brpop"]["calls"] <= 2


def test_promotional_rings_wait_until_nothing_else_does(doorbell, redis_url):
    promotional = [store.Ring(uuid4(), plan.PROMOTIONAL) for _ in range(300)]
    urgent = [store.Ring(uuid4(), "sendpoint.sms") for _ in range(5)]
    doorbell.ring(promotional)
    doorbell.ring(urgent)
    got, _ = consume(redis_url, [plan.PROMOTIONAL, "sendpoint.sms"], 20, prefetch=100)
    ids = [message.payload[0][0] for message in got]
    assert ids[:5] == [one.id.hex for one in urgent]
    assert doorbell.waiting(plan.PROMOTIONAL) >= 300 - 50, "they leave room for those to come"


def test_redis_keeps_no_second_ledger(doorbell, redis_url):
    doorbell.ring(ring_for(10))
    consume(redis_url, [QUEUE], 10, prefetch=10)
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*unacked*") == []
        assert client.llen(QUEUE) == 0


def test_100_rings_are_one_round_trip(doorbell, redis_url):
    doorbell.ring(ring_for(1))
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        doorbell.ring(ring_for(100))
        calls = client.info("commandstats")
    assert calls["cmdstat_lpush"]["calls"] == 1
    others = {name: one["calls"] for name, one in calls.items() if name != "cmdstat_lpush"}
    assert sum(others.values()) <= 5, others


def test_a_broker_that_is_away_does_not_hold_anybody_up(doorbell, redis_server):
    assert doorbell.ring(ring_for(1))
    redis_server.crash()
    try:
        started = time.monotonic()
        for _ in range(100):
            assert not doorbell.ring(ring_for(1))
        assert time.monotonic() - started < 5
        with pytest.raises(ConnectionError):
            doorbell.waiting(QUEUE)
    finally:
        redis_server.start()


def test_a_broker_that_is_full_is_not_an_error_of_the_caller(doorbell, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            assert doorbell.ring(ring_for(3)) is False
        finally:
            client.config_set("maxmemory", "0")


def test_nothing_to_ring_is_no_call():
    assert rings.Rings("redis://127.0.0.1:1/0").ring([])


def test_in_memory_the_same_code_runs():
    doorbell = rings.Rings("memory://")
    queue = f"test.{uuid4()}"
    wanted = [store.Ring(uuid4(), queue) for _ in range(5)]
    assert doorbell.ring(wanted)
    assert doorbell.waiting(queue) == 5
    got, _ = consume("memory://", [queue], 5, prefetch=10)
    assert [message.payload[0][0] for message in got] == [one.id.hex for one in wanted]


@pytest.mark.parametrize(
    ("url", "verified"),
    [("rediss://redis.example:6380/0", True), ("redis://redis.example/0", False)],
)
def test_tls_verifies_the_server(url, verified):
    connection = kombu.Connection(url, transport=rings.transport(url), ssl=rings.tls(url))
    assert bool(connection.ssl) is verified
    if verified:
        assert connection.ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
