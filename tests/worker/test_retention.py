"""What was settled long ago is deleted: whole requests, in batches, and nothing else."""

import asyncio
import contextlib
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, select

from adapters.contract import Fault, permanent, successful, temporary
from tests.worker.flow import Backend, open_runtime
from tests.worker.statements import visited
from worker import intake, replay, retention, store, wire
from worker.store import tables

DAY = 86400
KEPT = timedelta(days=30)
BAD = permanent(550, "no such user", fault=Fault.RECIPIENT)
DOWN = temporary(503, "down")


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url, max_attempts=2, retention=30 * DAY)
    backend.clock.time = datetime.now(UTC)  # as the ids of what is accepted
    yield backend
    backend.close()


def prune(backend, **more):
    return store.prune(backend.runtime.db, backend.clock() - KEPT, **more)


def prune_all(backend, **more):
    batches = list(retention.prune(backend.runtime.db, backend.clock() - KEPT, **more))
    return sum(one.requests for one in batches), sum(one.messages for one in batches)


def rows(backend):
    ledger = (tables.message_request, tables.message_result, tables.message_attempt)
    return tuple(map(backend.count, ledger))


def failures(backend):
    wanted = store.Wanted(application_id=backend.application)
    return store.failures(backend.runtime.db, wanted, size=100)


def again(backend):
    wanted = store.Wanted(application_id=backend.application)
    return sum(replay.replay(backend.runtime, wanted), replay.Batch())


def test_what_was_settled_long_ago_goes_with_all_that_it_left(backend):
    backend.adapter.says("a", DOWN)
    old = backend.accept("a", "b")
    backend.settle()
    assert rows(backend) == (1, 2, 1)
    backend.clock.move(29 * DAY)
    assert prune_all(backend) == (0, 0)
    backend.clock.move(2 * DAY)
    done = prune(backend)
    assert (done.requests, done.messages, done.mark) == (1, 2, old)
    assert rows(backend) == (0, 0, 0)
    assert prune(backend) == store.Pruned()
    with pytest.raises(wire.NotFound):
        intake.outcomes(backend.runtime, backend.application, old)


def test_a_request_stays_whole_while_one_of_its_messages_is_to_be_sent(backend):
    backend.adapter.says("b", DOWN)
    backend.accept("a", "b")
    backend.work()
    backend.clock.move(60 * DAY)
    assert prune_all(backend) == (0, 0)
    assert rows(backend) == (1, 2, 1)
    backend.settle()  # its deadline is over
    assert prune_all(backend) == (0, 0), "it was settled just now"
    backend.clock.move(31 * DAY)
    assert prune_all(backend) == (1, 2)
    assert rows(backend) == (0, 0, 0)


def test_what_is_younger_or_held_stays(backend):
    backend.accept("old")
    backend.settle()
    backend.clock.move(31 * DAY)
    young = backend.accept("young")
    backend.settle()
    waits = backend.accept("waits")
    held = backend.accept("held")
    (one,) = backend.results(held).values()
    assert store.claim(backend.runtime.db, [one.id], lease=60)
    assert prune_all(backend) == (1, 1)
    assert [list(backend.results(one)) for one in (young, waits, held)] == [
        ["young"],
        ["waits"],
        ["held"],
    ]


def test_what_a_receipt_told_of_lately_stays(backend):
    request_id = backend.accept("a", channel="SMS")
    backend.settle()
    backend.clock.move(20 * DAY)
    (one,) = backend.results(request_id).values()
    said = store.Report(
        id=one.id,
        delivery_status="PERMANENT_FAILURE",
        status_code=400,
        status_message="it bounced",
        message_id=one.message_id,
        final=True,
    )
    assert store.report(backend.runtime.db, said)
    backend.clock.move(20 * DAY)
    assert prune_all(backend) == (0, 0)
    backend.clock.move(20 * DAY)
    assert prune_all(backend) == (1, 1)


def test_what_was_accepted_later_is_not_even_looked_at(backend):
    backend.accept("a")
    backend.settle()
    now = datetime.now(UTC)
    looked_at = [
        store.prune(backend.runtime.db, now + timedelta(hours=hours), dry_run=True).mark
        for hours in (-1, 1)
    ]
    assert [one is not None for one in looked_at] == [False, True]


def test_nothing_is_older_than_the_time_that_ids_count_from(backend):
    assert store.prune(backend.runtime.db, datetime(1926, 1, 1, tzinfo=UTC)) == store.Pruned()


def test_a_dry_run_counts_and_deletes_nothing(backend):
    for number in range(3):
        backend.accept(f"a{number}", f"b{number}")
    backend.settle()
    backend.clock.move(31 * DAY)
    assert prune_all(backend, dry_run=True, size=2) == (3, 6)
    assert rows(backend) == (3, 6, 0)
    assert prune_all(backend, size=2) == (3, 6)


def test_a_batch_is_bounded_by_its_messages_and_goes_on_behind_what_stays(backend):
    backend.adapter.says("waits", DOWN)
    backend.accept("waits", "a")
    for number in range(3):
        backend.accept(*(f"{number}.{name}" for name in "abc"))
    backend.work()
    backend.clock.move(31 * DAY)
    batches = list(retention.prune(backend.runtime.db, backend.clock() - KEPT, size=3))
    # The second request is cut by the first batch, and goes whole with it.
    assert [(one.requests, one.messages) for one in batches] == [(1, 3), (1, 3), (1, 3)]
    assert rows(backend) == (1, 2, 1)
    assert backend.runtime.clock() > batches[-1].reached.timestamp()


def test_a_code_can_be_verified_after_its_message_has_gone(backend):
    db, application = backend.runtime.db, backend.application
    request = store.Request(request_id=intake.uuid7(), application_id=application, body="{}")
    code = store.NewCode(reference_id="r", destination="+1", code="123456", allowed=3)
    store.save(db, request, [settled("+1")], ttl=60 * DAY, code=code)
    backend.clock.move(31 * DAY)
    assert prune_all(backend) == (1, 1)
    assert store.verify_code(db, application, "r", "+1", "123456")


def settled(address):
    return store.Recipient(
        id=intake.uuid7(),
        position=0,
        channel_type="SMS",
        address=address,
        queue="sendpoint.sms",
        ring_in=0.0,
        delivery_status="SUCCESSFUL",
        status_code=200,
        status_message="",
    )


@pytest.mark.parametrize("size", [1, 1000])
def test_a_replay_stays_as_long_as_what_failed_so_nothing_is_sent_twice(backend, size):
    """The request that failed has another message, which is held for longer than what is settled is
    kept; its replay failed too, and was replayed in its turn."""
    backend.adapter.says("a", BAD)
    first = backend.accept("a", "b")
    held = backend.results(first)["b"].id
    assert store.claim(backend.runtime.db, [held], lease=100 * DAY)
    for _ in range(2):
        backend.work()
        backend.clock.move(1)
        assert again(backend).sent == 1
        backend.sweep()
    backend.adapter.says("a", successful())
    backend.work()
    backend.clock.move(60 * DAY)
    # Nothing is to be done for two of the requests, yet they say that the first was sent again.
    assert prune_all(backend, size=size) == (0, 0)
    assert again(backend) == replay.Batch()
    backend.clock.move(60 * DAY)
    backend.settle()
    backend.clock.move(31 * DAY)
    assert prune_all(backend, size=size) == (3, 4)
    assert rows(backend) == (0, 0, 0)


def test_a_replay_outlives_what_failed(backend):
    backend.adapter.says("a", BAD)
    backend.accept("a")
    backend.settle()
    backend.clock.move(20 * DAY)
    assert again(backend).sent == 1
    backend.settle()
    (replayed,) = {one.replayed_as for one in failures(backend)} - {None}
    backend.clock.move(20 * DAY)
    assert prune_all(backend) == (1, 1)
    (one,) = store.histories(backend.runtime.db, replayed)
    assert one.replay_of is not None
    assert again(backend).sent == 1, "it failed itself, and was not sent again yet"
    assert again(backend) == replay.Batch()


def test_two_at_once_delete_everything_once(backend):
    for number in range(60):
        backend.accept(f"{number}.a", f"{number}.b")
    backend.settle()
    backend.clock.move(31 * DAY)
    other = open_runtime(backend.runtime.settings.database_url, backend.clock, backend.rings)
    barrier = threading.Barrier(2, timeout=30)
    done = []

    def run(db, size):
        barrier.wait()
        done.extend(retention.prune(db, backend.clock() - KEPT, size=size))

    threads = [
        threading.Thread(target=run, args=each, daemon=True)
        for each in ((backend.runtime.db, 6), (other.db, 8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    other.close()
    assert sum(one.requests for one in done) == 60
    assert sum(one.messages for one in done) == 120
    assert rows(backend) == (0, 0, 0)


def test_what_another_deletes_at_the_moment_is_passed_over(postgresql_url):
    with contextlib.closing(Backend(postgresql_url, idempotency_window=1)) as backend:
        backend.clock.time = datetime.now(UTC)
        ids = [backend.accept(name) for name in ("a", "b", "c")]
        backend.settle()
        backend.clock.move(31 * DAY)
        request = tables.message_request
        with backend.runtime.db.engine.begin() as other:
            other.execute(
                select(request).where(request.c.request_id == ids[1]).with_for_update()
            ).all()
            assert prune_all(backend) == (2, 2), "and nobody waited"
        assert prune_all(backend) == (1, 1)


def steps(backend, count):
    """Run the worker's part of it for so many of its pauses; those that it made."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) > count:
            raise asyncio.CancelledError

    backend.runtime.sleep = sleep
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(retention.keep_pruning(backend.runtime))
    return pauses[:count]


def test_a_worker_deletes_a_batch_a_second_at_most_and_rests_after_a_pass(backend):
    backend.accept("a")
    backend.settle()
    backend.clock.move(31 * DAY)
    pauses = steps(backend, 4)
    assert rows(backend) == (0, 0, 0)
    first, batch, after, again_after = pauses
    assert 1 <= batch <= 1.5
    assert min(first, after, again_after) >= 60


def test_one_process_at_a_time_deletes(backend):
    runtime = backend.runtime
    other = open_runtime(
        runtime.settings.database_url, backend.clock, backend.rings, retention=30 * DAY
    )
    backend.accept("a")
    backend.settle()
    backend.clock.move(31 * DAY)
    assert store.take_turn(runtime.db, "retention", holder=runtime.name, seconds=30)
    assert retention.prune_next(other) is None
    assert rows(backend) == (1, 1, 0)
    backend.clock.move(31)  # it is gone
    now = retention.prune_next(other)
    assert now is not None
    assert rows(backend) == (0, 0, 0)
    assert retention.prune_next(other, now) is None
    other.close()


def test_for_ever_is_the_default(sqlite_url):
    with contextlib.closing(Backend(sqlite_url)) as backend:
        assert steps(backend, 1) == []


MANY = 10_000
BATCH = 100


def fill(db, state):
    """Requests of January 2026, one message each, of which PostgreSQL's statistics know nothing."""
    january = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    then = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [UUID(int=(january + number) << 80 | 0x7 << 76 | 0x2 << 62) for number in range(MANY)]
    with db.engine.begin() as connection:
        if db.engine.dialect.name == "postgresql":
            for table in ("message_request", "message_result", "message_attempt"):
                connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
                connection.exec_driver_sql(f"ANALYZE {table}")
        connection.execute(
            tables.message_request.insert(),
            [
                {"request_id": one, "application_id": "a", "body": "{}", "created_at": then}
                for one in ids
            ],
        )
        times = ("due_at", "ring_at", "expires_at", "created_at", "updated_at")
        row = dict.fromkeys(times, then) | {
            "application_id": "a",
            "position": 0,
            "address": "a",
            "queue": "sendpoint.email",
            "state": state,
            "attempt": 1,
            "lease_token": 1,
        }
        connection.execute(
            tables.message_result.insert(), [row | {"id": one, "request_id": one} for one in ids]
        )
        attempt = {
            "lease_token": 1,
            "late": False,
            "attempt": 1,
            "delivery_status": "THROTTLED",
            "status_code": 429,
            "status_message": "",
            "ended_at": then,
        }
        connection.execute(
            tables.message_attempt.insert(), [attempt | {"result_id": one} for one in ids]
        )


@pytest.mark.parametrize("state", [store.State.QUEUED, store.State.DONE])
def test_no_statement_walks_the_table(postgresql_url, state):
    """Whether the oldest messages are done or not."""
    with contextlib.closing(store.connect(postgresql_url)) as db:
        store.upgrade(db)
        fill(db, state)
        before = datetime(2026, 2, 1, tzinfo=UTC)
        with visited(db) as counts:
            first = store.prune(db, before, limit=BATCH)
            second = store.prune(db, before, limit=BATCH, mark=first.mark)
    went = BATCH if state is store.State.DONE else 0
    assert (first.requests, second.messages) == (went, went)
    assert first.mark < second.mark
    assert max(counts) <= 10 * BATCH  # versions of a row count, too
    assert len(counts) == 2 * (6 if went else 2)


@pytest.mark.parametrize("state", [store.State.QUEUED, store.State.DONE])
def test_no_statement_walks_the_table_of_sqlite(sqlite_url, state):
    plans = []

    def explain(_connection, cursor, statement, parameters, *_):
        if not statement.startswith(("BEGIN", "EXPLAIN", "PRAGMA")):
            found = cursor.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend((line[3], statement) for line in found)

    with contextlib.closing(store.connect(sqlite_url)) as db:
        store.upgrade(db)
        fill(db, state)
        event.listen(db.engine, "before_cursor_execute", explain)
        assert store.prune(db, datetime(2026, 2, 1, tzinfo=UTC), limit=BATCH).mark
    ledger = [one for one in plans if one[0].split()[1].startswith(("message_", "original"))]
    assert len(ledger) >= 3
    assert [one for one in ledger if not one[0].startswith("SEARCH")] == []
