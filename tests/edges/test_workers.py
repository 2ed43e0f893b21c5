"""Real workers against real PostgreSQL, Redis and SMTP, and what happens when they are killed."""

import threading
import time
from collections import Counter

import pytest
import redis
from sqlalchemy import func, select

from tests.edges import processes
from tests.torture import proxy
from tests.worker import flow
from worker import limits, plan, store, tasks
from worker.store import tables

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def mailbox():
    with processes.mail_server() as mailbox:
        yield mailbox


@pytest.fixture
def deploy(postgresql_url, redis_url, mailbox, tmp_path):
    deployments = []

    def deploy(**changes):
        deployments.append(
            processes.Deployment(postgresql_url, redis_url, mailbox, tmp_path, **changes)
        )
        return deployments[-1]

    yield deploy
    for deployment in deployments:
        deployment.close()


def in_flight(db):
    row = tables.message_result.c
    with db.reading() as connection:
        sending = select(func.count()).where(row.state == store.State.SENDING)
        return connection.execute(sending).scalar()


def statuses(results):
    return Counter((one.state, one.delivery_status) for one in results)


def test_two_workers_deliver_each_of_2000_exactly_once(deploy, mailbox):
    deployment = deploy()
    for _ in range(2):
        deployment.start_worker()
    requests = deployment.accept(2000)
    deployment.wait(requests)
    results = deployment.results(requests)
    assert statuses(results) == {("DONE", "SUCCESSFUL"): 2000}
    assert set(mailbox.by_recipient.values()) == {1}
    assert len(mailbox.by_recipient) == 2000
    assert {f"<{one.message_id}>".encode() for one in results} == set(mailbox.by_message_id)
    assert all(worker.stop() == 0 for worker in deployment.workers)


def test_a_message_is_not_behind_anothers_backlog(deploy, mailbox):
    """In messages, not in time: so many of the other's go first as are in flight or have rung."""
    window, concurrency, backlog = 50, 20, 3000
    deployment = deploy(window=window, concurrency=concurrency)
    other = deployment.open("other")
    requests = deployment.accept(backlog)
    some = mailbox.when(100)
    deployment.start_worker()
    assert some.wait(60)
    code = deployment.accept(1, start=9000, application=other)
    already = len(mailbox.by_recipient)
    deployment.wait(code)
    order = list(mailbox.by_recipient)  # by when each came first
    # What was in flight and what had rung, and one window more if the queues were fed just before.
    assert order.index("r9000@example.com") - already <= concurrency + 2 * window
    assert len(store.pending(deployment.db, requests)) > 0, "the others are far from done"


@pytest.mark.parametrize("broker", ["up", "away"])
def test_a_provider_that_does_not_answer_one_delays_nobody_else(
    deploy, mailbox, redis_server, broker
):
    """What of it is in flight stays so for half a minute: before that ends, the other's is out."""
    deployment = deploy(ring_again_after=2)
    other = deployment.open("other")
    worker = deployment.start_worker()
    worker.said("ready, taking from")
    if broker == "away":
        redis_server.crash()
    with processes.mail_server() as silent:
        silent.holds = True
        slow = deployment.open("slow", silent)
        backlog = deployment.accept(3000, application=slow)
        flow.until(lambda: in_flight(deployment.db) == deployment.settings.concurrency)
        for number in range(20):
            code = deployment.accept(1, start=9000 + number, application=other)
            deployment.wait(code, seconds=15)
        assert len(mailbox.by_recipient) == 20
        assert len(store.pending(deployment.db, backlog)) == 30
        assert in_flight(deployment.db) == deployment.settings.concurrency
        worker.kill()
        silent.holds = False


def test_two_workers_keep_to_one_limit(deploy, mailbox):
    """A slow machine only makes it slower than the limit lets it be."""
    deployment = deploy(concurrency=10)
    rate = limits.rate("40/s")
    store.set_limit(deployment.db, deployment.application, "EMAIL", rate, 20)
    for worker in [deployment.start_worker() for _ in range(2)]:
        worker.said("ready, taking from")
    started = time.monotonic()
    requests = deployment.accept(200)
    deployment.wait(requests)
    assert time.monotonic() - started >= (200 - 20) / 40
    results = deployment.results(requests)
    assert statuses(results) == {("DONE", "SUCCESSFUL"): 200}
    assert {one.attempt for one in results} == {1}, "to be held is no attempt"
    assert set(mailbox.by_recipient.values()) == {1}
    assert all(" held message=" in worker.log.read_text() for worker in deployment.workers)


def test_a_worker_killed_half_way_loses_nothing(deploy, mailbox):
    deployment = deploy(lease=5)
    half = mailbox.when(1000)
    victim, survivor = deployment.start_worker(), deployment.start_worker()
    requests = deployment.accept(2000)
    assert half.wait(60)
    victim.kill()
    deployment.wait(requests)
    assert statuses(deployment.results(requests)) == {("DONE", "SUCCESSFUL"): 2000}
    assert len(mailbox.by_recipient) == 2000
    # The one window that nobody can close: sent by the victim, its result not yet committed.
    # Only such a message may arrive twice, and its row says so.
    twice = {one for one, count in mailbox.by_recipient.items() if count > 1}
    assert twice <= deployment.rescued()
    assert set(mailbox.by_recipient.values()) <= {1, 2}
    assert survivor.process.poll() is None


def test_redis_flushed_half_way_loses_and_doubles_nothing(deploy, mailbox, redis_url):
    deployment = deploy(ring_again_after=3)
    half = mailbox.when(1000)
    for _ in range(2):
        deployment.start_worker()
    requests = deployment.accept(2000)
    assert half.wait(60)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    deployment.wait(requests)
    assert statuses(deployment.results(requests)) == {("DONE", "SUCCESSFUL"): 2000}
    assert set(mailbox.by_recipient.values()) == {1}
    assert len(mailbox.by_recipient) == 2000


def test_redis_restarted_empty_and_connections_cut_stop_no_worker(
    deploy, mailbox, redis_server, redis_url
):
    deployment = deploy(ring_again_after=3)
    quarter, half = mailbox.when(500), None
    for _ in range(2):
        deployment.start_worker()
    requests = deployment.accept(2000)
    assert quarter.wait(60)
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    half = mailbox.when(1000)
    assert half.wait(60)
    redis_server.crash()
    requests += deployment.accept(100, start=5000)  # accepted while there is no broker
    redis_server.start()
    deployment.wait(requests, seconds=90)
    assert statuses(deployment.results(requests)) == {("DONE", "SUCCESSFUL"): 2100}
    assert set(mailbox.by_recipient.values()) == {1}


def test_sigterm_finishes_what_is_in_flight_and_gives_back_the_rest(deploy, mailbox):
    deployment = deploy()
    some = mailbox.when(200)
    first = deployment.start_worker()
    requests = deployment.accept(1500)
    assert some.wait(60)
    assert first.stop() == 0
    delivered = sum(mailbox.by_recipient.values())
    results = deployment.results(requests)
    assert statuses(results) == {
        ("DONE", "SUCCESSFUL"): delivered,
        ("QUEUED", None): 1500 - delivered,
    }
    assert delivered < 1500, "it stopped before everything was sent"
    started = time.monotonic()
    deployment.start_worker()
    deployment.wait(requests)
    assert set(mailbox.by_recipient.values()) == {1}
    assert time.monotonic() - started < 60


def test_workers_replaced_one_after_the_other_under_load(deploy, mailbox):
    """Nothing waits for a lease to run out: what a stopping worker has claimed and not handed over
    is the others' at once."""
    deployment = deploy(lease=600)
    requests, enough = [], threading.Event()

    def keep_accepting():
        """So much that a thousand wait at any time."""
        while not enough.wait(0.01):
            if 100 * len(requests) < len(mailbox.by_recipient) + 1000:
                requests.extend(deployment.accept(100, start=100 * len(requests)))

    old = [deployment.start_worker() for _ in range(2)]
    load = threading.Thread(target=keep_accepting, daemon=True)
    load.start()
    try:
        for worker in old:
            worker.said("ready, taking from")
            deployment.start_worker().said("ready, taking from")
            flows = mailbox.when(sum(mailbox.by_recipient.values()) + 100)
            assert flows.wait(60)
            assert worker.stop() == 0
            assert load.is_alive(), "the load flowed all the time"
    finally:
        enough.set()
        load.join(60)
    assert not load.is_alive()
    deployment.wait(requests, seconds=90)
    results = deployment.results(requests)
    assert statuses(results) == {("DONE", "SUCCESSFUL"): 100 * len(requests)}
    assert {one.attempt for one in results} == {1}, "what is given back was no attempt"
    assert set(mailbox.by_recipient.values()) == {1}
    assert len(mailbox.by_recipient) == len(results)


def test_plain_celery_starts_the_same_worker(deploy, mailbox):
    deployment = deploy()
    worker = deployment.start_worker(processes.CELERY)
    requests = deployment.accept(300)
    deployment.wait(requests)
    assert set(mailbox.by_recipient.values()) == {1}
    assert worker.stop() == 0


def test_a_worker_that_hears_nothing_starts_anew(deploy, mailbox):
    deployment = deploy(stall_after=3, ring_again_after=1)
    worker = deployment.start_worker()
    worker.said("ready")
    control = tasks.celery_app(deployment.settings).control
    (queues,) = control.inspect(timeout=5).active_queues().values()
    for queue in queues:  # alive, in touch with the broker, and deaf
        control.cancel_consumer(queue["name"], reply=True, timeout=5)
    requests = deployment.accept(5)
    worker.said("starting anew")
    deployment.wait(requests)
    assert worker.log.read_text().count("ready") == 2
    assert set(mailbox.by_recipient.values()) == {1}
    assert worker.stop() == 0


def test_a_second_without_redis_while_all_slots_are_busy_leaves_no_worker_deaf(
    deploy, mailbox, redis_server
):
    """With Celery's usual settings the credits of what ends while Redis is away are lost, and the
    worker never takes a message again while its heartbeats go on (Celery 5.7)."""
    deployment = deploy(concurrency=3, ring_again_after=1)
    worker = deployment.start_worker()
    worker.said("ready")
    for number in range(3):
        mailbox.holds = True
        mailbox.reading.clear()
        requests = deployment.accept(30, start=100 * number)
        assert mailbox.reading.wait(30)
        redis_server.crash()
        mailbox.holds = False  # what is in flight ends while there is no broker
        time.sleep(1)
        redis_server.start()
        deployment.wait(requests)
    assert "starting anew" not in worker.log.read_text(), "it was not deaf: nothing had to notice"
    assert set(mailbox.by_recipient.values()) == {1}
    assert worker.stop() == 0


def test_a_redis_that_takes_no_writes_for_a_while_ends_no_worker(deploy, mailbox, redis_server):
    """It is so when another becomes master while it lives, and when it is full or cannot save:
    whoever asks is answered with an error, on a connection that is well."""
    deployment = deploy(ring_again_after=1)
    worker = deployment.start_worker()
    worker.said("ready, taking from")
    requests = deployment.accept(20)
    deployment.wait(requests)
    with redis.Redis.from_url(redis_server.url) as client:
        for number, (refuse, accept) in enumerate(
            [
                (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
                (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
            ]
        ):
            client.execute_command(*refuse)
            try:
                requests += deployment.accept(20, start=1000 * number + 100)
                deployment.wait(requests)
            finally:
                client.execute_command(*accept)
            requests += deployment.accept(20, start=1000 * number + 200)
            deployment.wait(requests)
            flow.until(lambda: any(one["cmd"] == "brpop" for one in client.client_list()))
    assert set(mailbox.by_recipient.values()) == {1}
    log = worker.log.read_text()
    assert "starting anew" not in log
    assert "Frequent restarts" not in log
    assert "DeprecationWarning" not in log
    assert worker.stop() == 0


def test_half_open_connections_to_redis_hang_no_worker(
    postgresql_url, redis_url, redis_server, mailbox, tmp_path
):
    with proxy.standing(redis_server.port) as between:
        broker_url = redis_url.replace(f":{redis_server.port}", f":{between.port}")
        deployment = processes.Deployment(
            postgresql_url, broker_url, mailbox, tmp_path, ring_again_after=1
        )
        try:
            worker = deployment.start_worker()
            worker.said("ready")
            deployment.wait(deployment.accept(5))
            between.mode = proxy.Mode.BLACKHOLE
            requests = deployment.accept(20, start=100)  # each connection hears that it is used
            between.mode = proxy.Mode.OK  # for new connections: the old ones stay as they are
            deployment.wait(requests, seconds=45)
            assert "starting anew" not in worker.log.read_text()
            assert set(mailbox.by_recipient.values()) == {1}
        finally:
            deployment.close()


def test_messages_are_delivered_while_there_is_no_broker(deploy, mailbox, redis_server):
    deployment = deploy(ring_again_after=2)
    worker = deployment.start_worker()
    worker.said("ready")
    redis_server.crash()
    requests = deployment.accept(500)
    deployment.wait(requests)
    assert set(mailbox.by_recipient.values()) == {1}
    worker.said("Trying again in 2.00 seconds... (2/None)")  # it hears again soon, however long
    redis_server.start()
    requests = deployment.accept(100, start=1000)
    deployment.wait(requests)
    assert len(mailbox.by_recipient) == 600
    assert worker.stop() == 0


def test_sigterm_finishes_what_was_taken_from_the_database(deploy, mailbox, redis_server):
    """It has as long as what came by a ring."""
    deployment = deploy(ring_again_after=1)
    worker = deployment.start_worker()
    worker.said("ready")
    redis_server.crash()
    mailbox.holds = True
    requests = deployment.accept(3)
    flow.until(lambda: in_flight(deployment.db) == 3)
    assert mailbox.reading.wait(30)
    worker.process.terminate()
    slow = threading.Timer(8, setattr, (mailbox, "holds", False))
    slow.daemon = True
    slow.start()
    assert worker.stop() == 0
    assert statuses(deployment.results(requests)) == {("DONE", "SUCCESSFUL"): 3}
    assert set(mailbox.by_recipient.values()) == {1}


def test_a_worker_can_be_dedicated_to_a_queue(deploy, mailbox):
    deployment = deploy()
    requests = deployment.accept(10)
    push = deployment.start_worker((*processes.SENDPOINT, "--queues", "push"))
    push.said("ready")
    time.sleep(1)  # what must not happen has no event to wait for
    assert statuses(deployment.results(requests)) == {("QUEUED", None): 10}
    deployment.start_worker((*processes.SENDPOINT, "--queues", "email"))
    deployment.wait(requests)
    assert store.backlog(deployment.db) == {}
    assert "sendpoint.email" in plan.QUEUES


def test_postgresql_crashed_half_way_loses_nothing(deploy, mailbox, postgres_server):
    deployment = deploy(lease=20, ring_again_after=3)
    half = mailbox.when(1000)
    for _ in range(2):
        deployment.start_worker()
    requests = deployment.accept(2000)
    assert half.wait(60)
    postgres_server.crash()
    postgres_server.start()
    deployment.wait(requests, seconds=90)
    assert statuses(deployment.results(requests)) == {("DONE", "SUCCESSFUL"): 2000}
    twice = {one for one, count in mailbox.by_recipient.items() if count > 1}
    assert twice <= deployment.rescued()
