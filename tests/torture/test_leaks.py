"""What a run finds in a real Redis and in logs that nobody should read there."""

import base64
from uuid import uuid4

import pytest
import redis

from tests.torture import leaks, load
from tests.torture.world import CHANNELS
from worker import rings
from worker.store import Ring

QUEUE = "sendpoint.email"


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def publish(redis_url):
    """Ring as a worker does."""
    publisher = rings.Rings(redis_url)
    try:
        yield lambda *of: publisher.ring([Ring(uuid4(), QUEUE, one) for one in of])
    finally:
        publisher.close()


def test_rings_that_say_an_id_and_an_application_are_counted_and_say_nothing_private(
    client, publish
):
    assert publish("app", "another")
    assert leaks.in_redis(client) == (2, set())


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_address_in_the_body_of_a_ring_is_found_although_a_body_is_encoded(
    client, publish, channel
):
    planted = load.address(channel, 7, "")
    assert publish("app", planted)
    assert planted.encode() not in client.lindex(QUEUE, 0), "else the test would show nothing"
    count, found = leaks.in_redis(client)
    assert count == 2
    assert len(found) == 1
    assert found.pop().removeprefix("Redis: ") in planted


@pytest.mark.parametrize(
    "plant",
    [
        lambda client: client.lpush(QUEUE, b"confidential, and no ring at all"),
        lambda client: client.lpush(QUEUE, b'{"body": "confidential, not in base64"}'),
        lambda client: client.lpush(QUEUE, b'["confidential"]'),
        lambda client: client.set("limit:confidential", 1),
    ],
    ids=["no ring", "not encoded", "no object", "the name of a key"],
)
def test_what_is_private_in_anything_else_is_found(client, plant):
    plant(client)
    assert leaks.in_redis(client)[1] == {"Redis: confidential"}


def test_what_is_private_in_a_log_is_found_and_named_after_it(tmp_path):
    (tmp_path / "worker.log").write_text("all is well\nsent to +15557000007\n")
    (tmp_path / "api.log").write_bytes(base64.b64encode(b"nothing") + b" \xff\n")
    assert leaks.in_logs(tmp_path) == {"worker.log: +15557000007"}
