"""Rings over real Redis and in memory: published in one batch, popped in bulk, never in the way."""

import base64
import json
import socket
import threading
import time
from uuid import UUID, uuid4

import kombu
import pytest
import redis

from tests.worker import flow
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
    """The ids that a consumer with so much room hears before it acknowledges anything."""
    got, ids = [], []
    connection = kombu.Connection(
        url, transport=rings.transport(url), transport_options=rings.transport_options(url)
    )
    with connection, connection.channel() as channel:
        channel.basic_qos(0, prefetch, False)
        consumer = kombu.Consumer(
            channel, [kombu.Queue(one) for one in queues], on_message=got.append, accept=["json"]
        )
        with consumer:
            while len(ids) < count:
                connection.drain_events(timeout=5)
                ids = [UUID(arguments[0]) for message in got for arguments in calls(message)]
    return ids


def calls(message):
    return getattr(message, "calls", ()) or [message.payload[0]]


def test_a_ring_is_a_celery_message_with_one_id_whose_it_is_and_nothing_else(doorbell, redis_url):
    one = store.Ring(uuid4(), QUEUE, "shop")
    assert doorbell.ring([one])
    with redis.Redis.from_url(redis_url) as client:
        message = json.loads(client.lindex(QUEUE, 0))
    assert json.loads(base64.b64decode(message["body"])) == [[one.id.hex, QUEUE, "shop"], {}, {}]
    assert message["headers"]["task"] == "sendpoint.deliver"
    assert message["content-type"] == "application/json"
    assert consume(redis_url, [QUEUE], 1, prefetch=1) == [one.id]


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


def test_every_ring_is_one_of_its_own_whatever_its_queue_is_called(doorbell, redis_url):
    odd = "100%(row)b"
    wanted = [store.Ring(uuid4(), queue) for queue in (QUEUE, odd) for _ in range(3)]
    assert doorbell.ring(wanted[:4])
    assert doorbell.ring(wanted[4:])
    with redis.Redis.from_url(redis_url) as client:
        found = {queue: [*map(json.loads, client.lrange(queue, 0, -1))] for queue in (QUEUE, odd)}
    messages = [message for each in found.values() for message in each]
    for name in ("id", "root_id"):
        assert len({message["headers"][name] for message in messages}) == 6
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 6
    for queue, each in found.items():
        keys = [message["properties"]["delivery_info"]["routing_key"] for message in each]
        assert keys == [queue] * 3
    assert set(consume(redis_url, [QUEUE, odd], 6, prefetch=10)) == {one.id for one in wanted}


def test_asking_how_long_an_empty_queue_is_costs_one_command_and_no_connection(doorbell, redis_url):
    doorbell.waiting(QUEUE)
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        assert [doorbell.waiting(QUEUE) for _ in range(3)] == [0, 0, 0]
        opened, calls = client.info("stats"), client.info("commandstats")
    assert opened["total_connections_received"] == 0
    assert calls["cmdstat_llen"]["calls"] == 3
    assert "cmdstat_exists" not in calls


def test_rings_are_counted_and_popped_within_the_room_there_is(doorbell, redis_url):
    assert doorbell.waiting(QUEUE) == 0
    doorbell.ring(ring_for(100))
    assert doorbell.waiting(QUEUE) == 100
    got = consume(redis_url, [QUEUE], 30, prefetch=30)
    assert len(got) == 30
    assert doorbell.waiting(QUEUE) == 70, "nothing was popped beyond the prefetch"


def test_rings_are_popped_in_bulk(doorbell, redis_url):
    doorbell.ring(ring_for(150))
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        got = consume(redis_url, [QUEUE], 150, prefetch=200)
        calls = client.info("commandstats")
    assert len(got) == 150
    assert calls["cmdstat_rpop"]["calls"] <= 2
    assert calls["cmdstat_brpop"]["calls"] <= 2


@pytest.fixture
def hearing(redis_url):
    """A consumer with room for 10, as a Celery worker has it, and what it was given."""
    got = []
    connection = kombu.Connection(
        redis_url,
        transport=rings.transport(redis_url),
        transport_options=rings.transport_options(redis_url),
    )
    with connection, connection.channel() as channel:
        channel.basic_qos(0, 10, False)
        consumer = kombu.Consumer(channel, [kombu.Queue(QUEUE)], on_message=got.append)
        with consumer:
            yield connection, channel, got


def test_rings_of_a_bulk_are_acknowledged_one_by_one(doorbell, hearing):
    connection, channel, got = hearing
    doorbell.ring(ring_for(13))
    connection.drain_events(timeout=5)
    (bulk,) = got
    assert channel.qos.can_consume_max_estimate() == 0
    for room in range(1, 4):
        bulk.ack()
        assert channel.qos.can_consume_max_estimate() == room
    connection.drain_events(timeout=5)
    assert [len(one.calls) for one in got] == [10, 3]
    for message in (bulk,) * 7 + (got[1],) * 3:
        message.ack_log_error(None, ())
    assert channel.qos.can_consume_max_estimate() == 10
    with pytest.raises(bulk.MessageStateError):
        bulk.ack()


def test_what_is_no_ring_takes_no_others_along(doorbell, hearing, redis_url, caplog):
    connection, channel, got = hearing
    first, last = ring_for(2)
    doorbell.ring([first])
    with redis.Redis.from_url(redis_url) as client:
        other = json.loads(client.lindex(QUEUE, 0))
        other["headers"]["task"] = "somebody.else"
        broken = other | {"headers": {"task": rings.TASK}}
        broken["body"] = base64.b64encode(b'[["not", 3], {}, {}]').decode()
        client.lpush(QUEUE, json.dumps(other), b"{", json.dumps(broken))
    doorbell.ring([last])
    while len(got) < 3:
        connection.drain_events(timeout=5)
    assert [message.payload[0] for message in got[:2]] == [[first.id.hex, QUEUE, ""], ["not", 3]]
    assert [one[0] for one in got[2].calls] == [first.id.hex, last.id.hex]
    assert "no ring" in caplog.text
    for message in got:
        message.reject()
    assert channel.qos.can_consume_max_estimate() == 10


def test_rings_that_nobody_listens_to_any_more_go_back(doorbell, hearing):
    connection, channel, got = hearing
    doorbell.ring(wanted := ring_for(4))
    listening = connection.transport._callbacks.pop(QUEUE)
    connection.drain_events(timeout=5)
    assert got == []
    assert doorbell.waiting(QUEUE) == 4
    assert channel.qos.can_consume_max_estimate() == 10
    connection.transport._callbacks[QUEUE] = listening
    connection.drain_events(timeout=5)
    assert {one[0] for one in got[0].calls} == {one.id.hex for one in wanted}
    assert channel.qos.can_consume_max_estimate() == 6


def test_promotional_rings_wait_until_nothing_else_does(doorbell, redis_url):
    promotional = [store.Ring(uuid4(), plan.PROMOTIONAL) for _ in range(300)]
    urgent = [store.Ring(uuid4(), "sendpoint.sms") for _ in range(5)]
    doorbell.ring(promotional)
    doorbell.ring(urgent)
    got = consume(redis_url, [plan.PROMOTIONAL, "sendpoint.sms"], 20, prefetch=100)
    assert got[:5] == [one.id for one in urgent]
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


def test_a_broker_that_hangs_holds_up_one_at_a_time(monkeypatch):
    """One finds out whether it answers again; the others go on, and what they leave is fed."""
    monkeypatch.setattr(rings, "_QUIET", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as hung:  # who connects hears nothing
        doorbell = rings.Rings(f"redis://127.0.0.1:{hung.getsockname()[1]}/0")
        assert not doorbell.ring(ring_for(1))
        waits = threading.Thread(target=doorbell.ring, args=(ring_for(1),), daemon=True)
        waits.start()
        flow.until(lambda: doorbell.is_full(QUEUE, 500))
        assert not doorbell.ring(ring_for(1))
        with pytest.raises(ConnectionError):
            doorbell.waiting(QUEUE)
        assert waits.is_alive()
        waits.join(30)
        doorbell.close()


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
    got = consume("memory://", [queue], 5, prefetch=10)
    assert got == [one.id for one in wanted]


@pytest.mark.parametrize(
    ("url", "verified"),
    [("rediss://redis.example:6380/0", True), ("redis://redis.example/0", False)],
)
def test_tls_verifies_the_server(url, verified):
    connection = kombu.Connection(url, transport=rings.transport(url), ssl=rings.tls(url))
    assert bool(connection.ssl) is verified
    if verified:
        assert connection.ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
