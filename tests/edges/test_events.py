"""Events from real workers to a real Redis, and what happens when one is killed at its worst."""

import asyncio
import base64
import dataclasses
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import redis
from aiohttp import web

from adapters.doubles import stage
from tests.edges import processes
from worker import forwarding, runtime, settings, store

pytestmark = pytest.mark.timeout(180)

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/pinpoint"
KEY = "sendpoint:events:pinpoint"


@pytest.fixture
def mailbox():
    with processes.mail_server() as mailbox:
        yield mailbox


@pytest.fixture
def deployment(postgresql_url, redis_url, mailbox, tmp_path):
    one = processes.Deployment(
        postgresql_url, redis_url, mailbox, tmp_path, events=redis_url, lease=15
    )
    store.put_event_stream(one.db, one.application, destination=STREAM, role="r", by=None)
    yield one
    one.close()


def told(client):
    """How often what was told of whom."""
    records = (json.loads(fields["data"]) for _, fields in client.xrange(KEY))
    return Counter(
        (one["event_type"], *one["facets"]["email_channel"]["mail_event"]["mail"]["destination"])
        for one in records
    )


def expected(count):
    return {
        (kind, f"r{number}@example.com")
        for number in range(count)
        for kind in ("_email.send", "_email.delivered")
    }


def until(true, seconds=90):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.05)


def test_two_workers_tell_of_each_message_exactly_once(deployment, redis_url):
    for _ in range(2):
        deployment.start_worker()
    deployment.wait(deployment.accept(300))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        until(lambda: client.exists(KEY) and client.xlen(KEY) >= 600)
        assert told(client) == Counter(expected(300))
    assert all(worker.stop() == 0 for worker in deployment.workers)


def test_a_worker_killed_half_way_loses_no_event(deployment, mailbox, redis_url):
    half = mailbox.when(150)
    victim, _ = deployment.start_worker(), deployment.start_worker()
    requests = deployment.accept(300)
    assert half.wait(60)
    victim.kill()
    deployment.wait(requests)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        # Whose turn it was may have been the victim's: the other waits until that is over.
        until(lambda: client.exists(KEY) and expected(300) <= told(client).keys())
        # Twice at most: from a batch that was told and not forgotten.
        assert max(told(client).values()) <= 2


def forward(url, database_url):
    """What a worker process does."""
    config = settings.Settings(database_url=database_url, events=url)
    opened = runtime.open_runtime(config)
    asyncio.run(forwarding.forward(opened))


def test_killed_between_the_sinks_taking_and_forgetting_events_are_told_twice(database_url):
    """The one window that nobody can close: the sink has them, and nobody knows that it has."""
    here = runtime.open_runtime(settings.Settings(database_url=database_url))
    store.upgrade(here.db)
    application = store.create_application(here.db, "shop").id
    store.put_event_stream(here.db, application, destination=STREAM, role="r", by=None)
    store.add_events(here.db, [store.Event(application, f'{{"n": {n}}}') for n in range(3)])
    taken, ids, victims = [], [], []

    async def receive(request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(await request.read())
        ids.append(body["requestId"])
        taken.extend(json.loads(base64.b64decode(one["data"]))["n"] for one in body["records"])
        if victims:
            os.kill(victims.pop().pid, signal.SIGKILL)
        return web.Response()

    async def both():
        server = stage.Server(receive)
        await server.start()
        victim = multiprocessing.get_context("spawn").Process(
            target=forward, args=(server.url, database_url)
        )
        victims.append(victim)
        victim.start()
        await asyncio.to_thread(victim.join, 60)
        assert victim.exitcode == -signal.SIGKILL
        assert taken == [0, 1, 2]
        later = dataclasses.replace(here.db, now=lambda: datetime.now(UTC) + timedelta(seconds=60))
        survivor = runtime.open_runtime(
            settings.Settings(database_url=database_url, events=server.url)
        )
        survivor.db = later
        await forwarding.forward(survivor)
        assert taken == [0, 1, 2] * 2
        await forwarding.finish(survivor)
        await server.stop()

    asyncio.run(both())
    assert taken == [0, 1, 2] * 2
    assert ids[0] == ids[1], "a receiver can tell"
    assert store.untold(here.db, limit=10) == []
    here.close()
