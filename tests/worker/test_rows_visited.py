"""What is asked of PostgreSQL for a message costs the same whatever else waits, even while its
statistics say that nothing does: they are always old in a table that fills and empties in minutes.
"""

import pytest

from tests.worker.ledger import done, save
from tests.worker.statements import visited
from worker import plan, store

WAITING = 20_000
BATCH = 100


@pytest.fixture
def db(postgresql_url):
    db = store.connect(postgresql_url)
    store.upgrade(db)
    yield db
    db.close()


@pytest.fixture
def application(db):
    """One with a backlog, of which PostgreSQL's statistics know nothing."""
    application = store.create_application(db, "shop").id
    save(db, application, "somebody")
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE message_result SET (autovacuum_enabled = off)")
        connection.exec_driver_sql("ANALYZE message_result")
        connection.exec_driver_sql(
            "INSERT INTO message_result (id, request_id, application_id, position, channel_type,"
            " address, queue, state, attempt, due_at, ring_at, expires_at, lease_token, created_at,"
            " updated_at) SELECT gen_random_uuid(), request_id, application_id, position,"
            " channel_type, 'a' || number, queue, state, attempt, due_at,"
            " due_at + make_interval(secs => number), expires_at, lease_token, created_at,"
            f" updated_at FROM message_result, generate_series(0, {WAITING}) AS number"
        )
    return application


def ids(db, count):
    with db.reading() as connection:
        return list(
            connection.exec_driver_sql(f"SELECT id FROM message_result LIMIT {count}").scalars()
        )


def test_no_statement_of_a_delivery_walks_the_backlog(db, application):
    some = ids(db, 3 * BATCH)
    with visited(db) as counts:
        assert store.waiting(db, plan.QUEUES) == {"sendpoint.email": [application]}
        assert len(store.due(db, "sendpoint.email", {application: 1}, room=1, again_after=60)) == 1
        claimed = list(store.claim(db, set(some[:BATCH]), lease=60).values())
        store.claim(db, set(some[BATCH:]), lease=60)
        store.assign(db, [store.Assignment(one.id, one.lease_token, "a") for one in claimed])
        store.finish(db, [done(one) for one in claimed])
        store.unring(db, some)
        store.rescue(db, at_most_once=["SMS"], max_attempts=8)
        store.expire(db)
    assert len(claimed) == BATCH
    assert len(counts) == 9
    assert max(counts) <= 10 * BATCH  # versions of a row count, too


def test_no_lookup_walks_all_that_an_application_knows(db, application):
    with db.engine.begin() as connection:
        for table in ("endpoint", "opt_out"):
            connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        connection.exec_driver_sql(
            "INSERT INTO opt_out SELECT %s, 'EMAIL', 'a' || number, now()"
            f" FROM generate_series(1, {WAITING}) AS number",
            (application,),
        )
    asked = {("EMAIL", f"a{number}") for number in range(WAITING, WAITING + BATCH)}
    with visited(db) as counts:
        assert store.opt_outs(db, application, asked) == {("EMAIL", f"a{WAITING}")}
        assert store.endpoints(db, application, [f"e{number}" for number in range(BATCH)]) == {}
        assert store.user_endpoints(db, application, ["ann"]) == {}
    assert len(counts) == 3
    assert max(counts) <= BATCH
