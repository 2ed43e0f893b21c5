"""The ledger's protocol, the same on SQLite and PostgreSQL, with a clock that is moved by hand."""

import dataclasses
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import literal, select, text, update
from sqlalchemy.exc import IntegrityError

from tests.worker.flow import Clock
from tests.worker.ledger import EMAIL, again, attempts, done, due, only, save
from worker import intake, store, vault, wire
from worker.store import tables

KEY = vault.new_key()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def db(database_url, clock):
    db = store.connect(database_url, now=clock, vault=vault.Vault(vault.parse(KEY)))
    store.upgrade(db)
    yield db
    db.close()


@pytest.fixture
def application(db):
    return store.create_application(db, "shop").id


def test_a_claim_tells_all_and_a_second_one_finds_nothing(db, application, clock):
    request_id, (one,) = save(db, application, "ann@example.com")
    before = time.monotonic()
    claimed = store.claim(db, [one, uuid4()], lease=60)
    assert before + 60 <= claimed[one].held_until <= time.monotonic() + 60
    assert claimed == {
        one: store.Claimed(
            id=one,
            request_id=request_id,
            application_id=application,
            channel_type="EMAIL",
            address="ann@example.com",
            endpoint_id=None,
            configuration='{"BodyOverride":"é"}',
            variables=None,
            queue=EMAIL,
            provider=None,
            attempt=1,
            lease_token=1,
            created_at=clock(),
            due_at=clock(),
            expires_at=clock() + timedelta(seconds=3600),
            claimed_at=clock(),
            held_until=claimed[one].held_until,
        )
    }
    assert store.claim(db, [one], lease=60) == {}
    assert only(db, application, request_id).state == store.State.SENDING


def test_a_recorded_result_is_final(db, application):
    request_id, (one,) = save(db, application, "a@example.com")
    claimed = store.claim(db, [one], lease=60)[one]
    assert store.finish(db, [done(claimed, message_id="m1", updated_token="t2")]) == [True]
    result = only(db, application, request_id)
    assert (result.state, result.delivery_status, result.attempt) == ("DONE", "SUCCESSFUL", 1)
    assert (result.message_id, result.updated_token) == ("m1", "t2")
    assert store.claim(db, [one], lease=60) == {}
    assert attempts(db) == []


def test_a_retry_is_due_after_its_delay_and_not_before(db, application, clock):
    _, (one,) = save(db, application, "a@example.com")
    claimed = store.claim(db, [one], lease=60)[one]
    failed = again(
        claimed, 30, delivery_status="TEMPORARY_FAILURE", status_code=451, status_message="later"
    )
    store.finish(db, [failed])
    clock.move(29.9)
    assert store.claim(db, [one], lease=60) == {}
    assert due(db, application, 10) == []
    clock.move(0.2)
    assert due(db, application, 10) == [store.Ring(one, EMAIL, application)]
    second = store.claim(db, [one], lease=60)[one]
    assert (second.attempt, second.lease_token) == (2, 2)
    (attempt,) = attempts(db)
    assert (attempt.result_id, attempt.attempt, attempt.status_code) == (one, 1, 451)
    assert not attempt.late


def test_what_is_held_does_not_count_and_keeps_its_status(db, application, clock):
    request_id, (one,) = save(db, application, "a@example.com")
    claimed = store.claim(db, [one], lease=60)[one]
    store.finish(db, [again(claimed, 5, counted=False)])
    result = only(db, application, request_id)
    assert (result.state, result.delivery_status, result.attempt) == ("QUEUED", None, 0)
    clock.move(5)
    assert store.claim(db, [one], lease=60)[one].lease_token == 2
    assert attempts(db) == []


def test_a_late_result_changes_nothing_but_is_kept(db, application, clock):
    request_id, (one,) = save(db, application, "a@example.com")
    stale = store.claim(db, [one], lease=60)[one]
    clock.move(61)
    assert store.rescue(db, at_most_once=(), max_attempts=8) == 1
    current = store.claim(db, [one], lease=60)[one]
    assert store.finish(db, [done(stale)]) == [False]
    assert only(db, application, request_id).state == store.State.SENDING
    failed = again(
        current, 1, delivery_status="TEMPORARY_FAILURE", status_code=451, status_message="later"
    )
    assert store.finish(db, [failed, done(stale)]) == [True, False]
    history = attempts(db)
    assert [(row.lease_token, row.late, row.delivery_status) for row in history] == [
        (1, False, "UNKNOWN_FAILURE"),
        (1, True, "SUCCESSFUL"),
        (2, False, "TEMPORARY_FAILURE"),
    ]


def test_only_what_is_recorded_is_told_and_in_order(db, application, clock):
    _, ids = save(db, application, *(f"{n}@example.com" for n in range(12)))
    stale = store.claim(db, ids, lease=60)
    clock.move(61)
    store.rescue(db, at_most_once=(), max_attempts=8)
    current = store.claim(db, ids, lease=60)

    def telling(claimed, what):
        events = [store.Event(application, f"{what} {claimed.address} {n}") for n in (1, 2)]
        return dataclasses.replace(done(claimed), events=events)

    # The late word and the good one of every message come in one batch.
    both = [telling(one[i], what) for i in ids for one, what in ((stale, "late"), (current, "new"))]
    assert store.finish(db, both) == [False, True] * len(ids)
    assert [one.record for one in store.untold(db, limit=100)] == [
        f"new {current[i].address} {n}" for i in ids for n in (1, 2)
    ]
    assert sum(row.late for row in attempts(db)) == len(ids)


def test_a_late_result_of_a_settled_row_is_kept(db, application, clock):
    request_id, (one,) = save(db, application, "+14255550100", channel="SMS")
    stale = store.claim(db, [one], lease=60)[one]
    clock.move(61)
    store.rescue(db, at_most_once={"SMS"}, max_attempts=8)
    assert store.finish(db, [done(stale)]) == [False]
    result = only(db, application, request_id)
    assert (result.state, result.delivery_status) == ("DONE", "UNKNOWN_FAILURE")


@pytest.mark.parametrize(
    ("channel", "claims", "state", "words"),
    [
        ("EMAIL", 1, "QUEUED", "may have been delivered"),
        ("SMS", 1, "DONE", "may have been delivered"),
        ("EMAIL", 3, "DONE", "attempt 3 of 3"),
    ],
)
def test_a_lost_worker_leaves_no_row_behind(db, application, clock, channel, claims, state, words):
    request_id, (one,) = save(db, application, "a", channel=channel)
    for _ in range(claims):
        assert one in store.claim(db, [one], lease=60)
        assert store.rescue(db, at_most_once={"SMS"}, max_attempts=3) == 0
        clock.move(60)
        assert store.rescue(db, at_most_once={"SMS"}, max_attempts=3) == 1
    result = only(db, application, request_id)
    assert (result.state, result.delivery_status) == (state, "UNKNOWN_FAILURE")
    assert words in result.status_message
    assert result.attempt == claims
    assert len(attempts(db)) == claims


def test_a_deadline_closes_what_was_not_sent(db, application, clock):
    request_id, (one,) = save(db, application, "a@example.com", ttl=100)
    claimed = store.claim(db, [one], lease=60)[one]
    failed = again(
        claimed, 50, delivery_status="TEMPORARY_FAILURE", status_code=451, status_message="later"
    )
    store.finish(db, [failed])
    clock.move(100)
    assert store.claim(db, [one], lease=60) == {}
    assert store.expire(db) == 1
    assert store.expire(db) == 0
    result = only(db, application, request_id)
    assert (result.state, result.delivery_status, result.status_code) == ("DONE", "TIMEOUT", 408)
    assert result.status_message == ("The message could not be sent before its deadline; later")


def test_rings_are_offered_oldest_first_once_and_again_when_nobody_answers(db, application, clock):
    _, first = save(db, application, "a", "b")
    clock.move(1)
    _, second = save(db, application, "c")
    assert due(db, application, 10) == [], "intake rings by itself"
    clock.move(10)
    offered = [ring.id for ring in due(db, application, 2)]
    assert sorted(offered) == sorted(first)
    assert [ring.id for ring in due(db, application, 2)] == second
    assert due(db, application, 10) == []
    clock.move(10)
    assert len(due(db, application, 10)) == 3
    assert due(db, application, 10, "sendpoint.push") == []


def test_applications_are_rung_for_in_turn(db, application, clock):
    other = store.create_application(db, "other").id
    _, bulk = save(db, application, *"abcdef")
    clock.move(1)
    _, few = save(db, other, "x", "y")
    assert store.waiting(db, [EMAIL]) == {}
    clock.move(10)
    assert store.waiting(db, [EMAIL, "sendpoint.push"]) == {EMAIL: sorted([application, other])}
    assert store.waiting(db, ["sendpoint.push"]) == {}
    most = {other: 6, application: 6}
    rung = [ring.id for ring in store.due(db, EMAIL, most, room=6, again_after=10)]
    assert set(rung[0:4:2]) == set(few), "every second one is the other's while it has any"
    assert len(rung) == 6, "what it leaves of its share is the first one's"
    assert set(rung) < {*bulk, *few}
    assert store.waiting(db, [EMAIL]) == {EMAIL: [application]}


def test_no_more_is_rung_for_of_an_application_than_it_may_have(db, application, clock):
    other = store.create_application(db, "other").id
    for one in (application, other):
        save(db, one, *"abcdefgh")
    clock.move(11)
    rung = store.due(db, EMAIL, {application: 3, other: 100}, room=10, again_after=10)
    assert Counter(one.application_id for one in rung) == {application: 3, other: 7}
    rung = store.due(db, EMAIL, {application: 1}, room=10, again_after=10)
    assert [one.lane for one in rung] == [(EMAIL, application)]


def test_what_waits_is_found_by_hopping_over_the_index(db, application):
    others = [store.create_application(db, f"app {number}").id for number in range(30)]
    for one in others:
        save(db, one, "a")
    assert store.waiting(db, [EMAIL]) == {}
    with db.engine.begin() as connection:
        connection.execute(update(tables.message_result).values(ring_at=db.after(-1)))
    assert store.waiting(db, [EMAIL, "sendpoint.push"]) == {EMAIL: sorted(others)}


def test_an_unrung_row_is_due_at_once(db, application):
    _, (one, _) = save(db, application, "a", "b")
    store.unring(db, [one])
    assert [ring.id for ring in due(db, application, 10)] == [one]
    store.unring(db, [])


def test_concurrent_claims_share_the_rows_out(db, application):
    _, ids = save(db, application, *(f"a{number}" for number in range(100)))
    barrier = threading.Barrier(4)
    claims = []

    def claimer(order):
        barrier.wait()
        for start in range(0, 100, 20):
            claims.extend(store.claim(db, order[start : start + 20], lease=60))

    threads = [
        threading.Thread(target=claimer, args=(order,), daemon=True)
        for order in (ids, ids[::-1], ids[50:] + ids[:50], ids)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == sorted(ids), "each exactly once"


def test_a_refused_save_leaves_nothing(db, application):
    one = intake.uuid7()
    recipient = store.Recipient(
        id=one, position=0, channel_type="EMAIL", address="a", queue=EMAIL, ring_in=0.0
    )
    request = store.Request(request_id=one, application_id=application, body="{}")
    with pytest.raises(IntegrityError):
        store.save(db, request, [recipient, recipient], ttl=1)
    assert store.application_of(db, one) is None


def test_results_belong_to_their_application(db, application):
    request_id, _ = save(db, application, "a", "b")
    other = store.create_application(db, "other").id
    assert store.results(db, other, request_id) == []
    assert store.pending(db, [request_id]) == {request_id}
    assert store.application_of(db, request_id) == application
    assert store.backlog(db) == {EMAIL: 2}


def test_channels_are_replaced_and_counted(db, application):
    store.set_channel(db, application, "EMAIL", adapter="smtp", settings={"host": "a"})
    store.set_channel(
        db, application, "EMAIL", adapter="smtp", settings={"host": "b"}, enabled=False
    )
    assert store.channels(db, application) == {
        "EMAIL": store.Channel(
            "EMAIL", (store.Provider("default", "smtp", {"host": "b"}),), enabled=False, version=2
        )
    }
    assert store.channel_types(db, application) == {"EMAIL": False}


def test_a_channel_may_have_several_providers(db, application):
    store.set_channel(db, application, "EMAIL", adapter="smtp", settings={"host": "a"})
    store.set_channel(
        db, application, "EMAIL", adapter="smtp", settings={"host": "b"}, name="spare", weight=0
    )
    store.set_channel(db, application, "EMAIL", adapter="smtp", settings={"host": "c"})
    assert store.channels(db, application)["EMAIL"].providers == (
        store.Provider("default", "smtp", {"host": "c"}),
        store.Provider("spare", "smtp", {"host": "b"}, 0),
    )
    assert store.remove_provider(db, application, "EMAIL", "default")
    assert not store.remove_provider(db, application, "EMAIL", "default")
    assert store.channel_types(db, application) == {"EMAIL": True}
    assert store.remove_provider(db, application, "EMAIL", "spare")
    assert store.channel_types(db, application) == {"EMAIL": False}


def test_credentials_are_sealed_and_open_only_where_they_belong(db, application):
    store.set_channel(db, application, "EMAIL", adapter="smtp", settings={"password": "hunter2"})
    other = store.create_application(db, "other").id
    with db.engine.begin() as connection:
        (sealed,) = connection.execute(select(tables.channel.c.providers)).scalars()
        assert "hunter2" not in sealed
        connection.execute(
            tables.channel.insert().from_select(
                list(tables.channel.c.keys()),
                select(
                    literal(other),
                    *(column for column in tables.channel.c if column.name != "application_id"),
                ),
            )
        )
    with pytest.raises(ValueError, match="belongs elsewhere"):
        store.channels(db, other)
    assert "hunter2" not in repr(store.channels(db, application))


def test_keys_are_changed_without_an_outage(db, application):
    store.set_channel(db, application, "EMAIL", adapter="smtp", settings={"password": "hunter2"})
    new = vault.new_key()
    both = dataclasses.replace(db, vault=vault.Vault(vault.parse(f"{new},{KEY}")))
    before = store.channels(both, application)
    assert store.seal_again(both) == 1
    assert store.seal_again(both) == 0
    only_new = dataclasses.replace(db, vault=vault.Vault(vault.parse(new)))
    assert store.channels(only_new, application) == before
    with pytest.raises(ValueError, match="not known here"):
        store.channels(db, application)


def test_endpoints_are_found_by_any_case_of_their_id(db, application):
    request = wire.EndpointRequest(
        Address="a@example.com",
        ChannelType=wire.ChannelType.EMAIL,
        OptOut="ALL",
        Attributes={"Plan": ["gold"]},
        User=wire.EndpointUser(UserId="u1", UserAttributes={"First": ["Ann"]}),
    )
    store.put_endpoint(db, application, "Phone-1", request)
    found = store.endpoints(db, application, ["phone-1", "missing"])
    assert set(found) == {"phone-1"}
    endpoint = found["phone-1"]
    assert (endpoint.Id, endpoint.Address, endpoint.OptOut) == ("Phone-1", "a@example.com", "ALL")
    assert endpoint.EndpointStatus == "ACTIVE"
    assert endpoint.User == request.User
    assert endpoint.Attributes == {"Plan": ["gold"]}
    store.put_endpoint(db, application, "PHONE-1", wire.EndpointRequest(Address="b"))
    assert store.endpoints(db, application, ["phone-1"])["phone-1"].Address == "b"


def test_opt_outs_are_by_channel_and_address(db, application):
    store.add_opt_out(db, application, "SMS", "+1")
    store.add_opt_out(db, application, "SMS", "+1")
    asked = {("SMS", "+1"), ("VOICE", "+1"), ("SMS", "+2")}
    assert store.opt_outs(db, application, asked) == {("SMS", "+1")}
    assert store.opt_outs(db, application, ()) == set()


def test_who_opted_out_is_known_however_the_address_is_written(db, application):
    store.add_opt_out(db, application, "SMS", "+1 (555) 010-0200")
    store.add_opt_outs(db, application, [("EMAIL", "Ann@Example.com", None)])
    written = {
        *(
            ("SMS", one)
            for one in (
                "+15550100200",
                "15550100200",
                " +1 555.010.0200",
                "tel:+1(0)5550100200",
                "+1-555-010-0200",
            )
        ),
        *(("EMAIL", one) for one in ("ann@example.com", "ANN@EXAMPLE.COM", "Ann@Example.com")),
    }
    others = {
        ("SMS", "+15550100201"),
        ("SMS", "SHOP"),
        ("VOICE", "+15550100200"),
        ("CUSTOM", "ann@example.com"),
    }
    assert store.opt_outs(db, application, written | others) == written
    again = [("SMS", "15550100200", None), ("EMAIL", "ann@example.com", None)]
    assert store.add_opt_outs(db, application, again) == set()


def test_the_databases_own_clock_is_close_to_ours(database_url):
    db = store.connect(database_url)
    with db.engine.connect() as connection:
        now, later = connection.execute(select(db.after(0), db.after(90.5))).one()
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(later - now - timedelta(seconds=90.5)) < timedelta(seconds=1)
    db.close()


def test_what_happened_to_a_request_is_one_indexed_query(db, application):
    request_id, _ = save(db, application, "a")
    plan = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"
    with db.engine.connect() as connection:
        if db.engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        explained = " ".join(
            str(row)
            for row in connection.execute(
                text(f"{plan} SELECT * FROM message_result WHERE request_id = :id"),
                {"id": request_id.hex},
            )
        )
    assert "ix_message_result_request_id" in explained


@pytest.mark.parametrize("url", ["mysql://user:pw@host/db", "nonsense"])
def test_other_databases_are_refused_without_showing_the_password(url):
    with pytest.raises(ValueError, match="SENDPOINT_DATABASE_URL") as caught:
        store.connect(url)
    assert "pw" not in str(caught.value)


@pytest.fixture
def postgresql(postgresql_url):
    db = store.connect(postgresql_url)
    store.upgrade(db)
    yield db
    db.close()


def test_a_server_that_is_the_primary_no_longer_is_left(postgresql):
    """Its sessions live on where a name or a proxy leads to it, and refuse to write."""
    with postgresql.engine.connect() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only TO on")
        connection.commit()
    with pytest.raises(store.Unavailable):
        store.create_application(postgresql, "shop")
    assert store.create_application(postgresql, "shop").name == "shop"


@pytest.mark.parametrize(
    ("url", "hosts", "ports", "attributes"),
    [
        ("postgresql://u:p@a:1,b:2/n", "a,b", "1,2", "read-write"),
        ("postgresql://u:p@a,b/n?connect_timeout=3", "a,b", ",", "read-write"),
        ("postgres://u:p@a:1,b:2/n?target_session_attrs=any", "a,b", "1,2", "any"),
        ("postgresql://u:p@/n?host=a:1&host=b:2", "a,b", "1,2", "read-write"),
        ("postgresql+psycopg://u:p@a:1/n", "a", 1, None),
        ("postgresql://u:p,w@a:1/n", "a", 1, None),
    ],
)
def test_a_url_may_name_several_servers(url, hosts, ports, attributes):
    db = store.connect(url)
    _, given = db.engine.dialect.create_connect_args(db.engine.url)
    assert (given["host"], given["port"]) == (hosts, ports)
    assert given.get("target_session_attrs") == attributes
    assert (given["user"], given["dbname"]) == ("u", "n")


def test_times_are_utc_wherever_the_database_is(postgresql_url):
    db = store.connect(postgresql_url)
    with db.engine.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone TO 'America/New_York'")
    db.close()
    db = store.connect(postgresql_url)
    store.upgrade(db)
    times = [db.time(), store.create_application(db, "shop").created_at]
    db.close()
    assert [one.tzinfo for one in times] == [UTC, UTC]
    assert abs(times[0] - datetime.now(UTC)) < timedelta(minutes=1)


def test_nobody_waits_long_for_the_rows_of_another(postgresql):
    application_id = store.create_application(postgresql, "shop").id
    lock = select(tables.application).where(tables.application.c.id == application_id)
    with postgresql.engine.begin() as holder, postgresql.engine.begin() as waiter:
        assert waiter.exec_driver_sql("SHOW lock_timeout").scalar() == "10s"
        holder.execute(lock.with_for_update())
        waiter.exec_driver_sql("SET LOCAL lock_timeout TO '10ms'")
        with pytest.raises(store.Unavailable):
            waiter.execute(lock.with_for_update())


def test_a_process_that_stops_in_a_transaction_lets_go_of_its_rows(postgresql):
    application_id = store.create_application(postgresql, "shop").id
    lock = select(tables.application).where(tables.application.c.id == application_id)
    with postgresql.engine.connect() as stopped:
        bound = "idle_in_transaction_session_timeout"
        assert stopped.exec_driver_sql(f"SHOW {bound}").scalar() == "20s"
        stopped.exec_driver_sql(f"SET LOCAL {bound} TO '50ms'")
        stopped.execute(lock.with_for_update())
        with postgresql.engine.begin() as other:  # waits at most the ten seconds
            assert other.execute(lock.with_for_update()).first() is not None
        with pytest.raises(store.Unavailable):
            stopped.execute(lock)
