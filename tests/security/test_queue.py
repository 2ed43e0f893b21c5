"""Who reaches Redis can ring, and no more: what is on the queue is never unpickled, runs no code
and stops no worker."""

import base64
import json
import pickle
import time
import zlib
from uuid import uuid4

import pytest
import redis

from tests.edges import processes
from tests.edges.test_workers import deploy, mailbox  # noqa: F401 - fixtures
from worker import plan, tasks

QUEUE = plan.QUEUE_OF["EMAIL"]


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def celerys(body, content_type, *, task="sendpoint.deliver", encoding="binary", **headers):
    """A message as kombu writes it to Redis, of Celery's protocol 2, or 1 without a task."""
    identity = str(uuid4())
    head = {"lang": "py", "task": task, "id": identity, "argsrepr": "", "kwargsrepr": ""}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": encoding,
            "content-type": content_type,
            "headers": ({**head, "retries": 0} if task else {}) | headers,
            "properties": {
                "correlation_id": identity,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "delivery_mode": 2,
                "delivery_tag": identity,
                "priority": 0,
                "body_encoding": "base64",
            },
        }
    )


def hostile(path):
    bomb = Bomb(path)
    ring = pickle.dumps(((bomb,), {}, {}))
    whole = {"task": "sendpoint.deliver", "id": str(uuid4()), "args": (bomb,), "kwargs": {}}
    python = "application/x-python-serialize"
    yield celerys(ring, python)
    yield celerys(ring, "application/json", encoding="utf-8")
    yield celerys(pickle.dumps(whole), python, task=None)
    yield celerys(zlib.compress(ring), python, compression="application/x-gzip")
    yield celerys(b"!!python/object/apply:os.system [touch /dev/null]", "application/x-yaml")
    yield celerys(f"[[{str(path)!r}], {{}}, {{}}]".encode(), "application/json", task="os.mkdir")
    for body in (
        b'[["%s"], {}, {}]' % (b"x" * 100_000),
        b'[["\' OR 1=1 --"], {}, {}]',
        b"[[], {}, {}]",
        b'[["a", "b"], {"c": 1}, {}]',
        b'[[{"__type__": "datetime", "__value__": "x"}], {}, {}]',
        b"[" * 10_000,
        b"null",
        b"\xff\xfe",
        b"",
    ):
        yield celerys(body, "application/json", encoding="utf-8")


@pytest.mark.timeout(120)
def test_what_is_no_ring_does_nothing_and_stops_nobody(deploy, redis_url, tmp_path):  # noqa: F811
    """A worker meets everything at once, and delivers what rings for it then."""
    deployment = deploy()
    worker = deployment.start_worker()
    worker.said("ready")
    made = tmp_path / "made"
    with redis.Redis.from_url(redis_url) as client:
        for one in hostile(made):
            client.lpush(QUEUE, one)
        give_up = time.monotonic() + 30
        while client.llen(QUEUE):
            assert worker.process.poll() is None, worker.log.read_text()
            assert time.monotonic() < give_up, worker.log.read_text()
            time.sleep(0.05)
        requests = deployment.accept(20)
        deployment.wait(requests)
    assert not made.exists()
    assert len(deployment.mailbox.by_recipient) == 20
    assert worker.stop() == 0


def test_the_bomb_would_go_off(tmp_path):
    """Else the test above would show nothing."""
    made = tmp_path / "made"
    pickle.loads(pickle.dumps(Bomb(made))).close()
    assert made.exists()


def test_celery_is_told_to_take_json_only(redis_url):
    conf = tasks.celery_app(processes.settings.Settings(broker_url=redis_url)).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.result_backend is None
