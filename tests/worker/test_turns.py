"""Limits on messages, from the row that says so to the time at which they are sent, on both
databases."""

import asyncio
import dataclasses
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select

from adapters.contract import temporary
from tests.worker.flow import Backend, Script
from worker import backlog, limits, presence, rates, store, sweeping, throttle
from worker.store import tables


class Timed(Script):
    """Knows when each delivery came."""

    def __init__(self):
        super().__init__()
        self.times = []

    async def send(self, delivery):
        self.times.append(self.clock())
        return await super().send(delivery)


class Silent(throttle.Limiter):
    """Is not to be asked."""

    def ask(self, asks):
        raise AssertionError(asks)


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    timed = Timed()
    timed.clock = backend.clock
    backend.adapter = backend.channels.providers["default"] = timed
    yield backend
    backend.close()


def sent(backend):
    return [one.address for one in backend.adapter.sent]


def claims(backend):
    """How often each message was claimed: once for each time that it was held, and once more."""
    with backend.runtime.db.reading() as connection:
        return connection.execute(select(func.avg(tables.message_result.c.lease_token))).scalar()


def test_without_limits_nothing_is_asked(backend, monkeypatch):
    """But for a look at the limits every few seconds, and at the backlog, by a process and not by
    a message."""
    monkeypatch.setattr(rates, "FRESH", 3600.0)
    monkeypatch.setattr(backlog, "_GOOD_FOR", 3600.0)
    backend.runtime.throttle = Silent()
    statements = []
    listener = backend.runtime.db.engine, "before_cursor_execute"

    def note(connection, cursor, statement, *_):
        statements.append(statement)

    event.listen(*listener, note)
    for _ in range(3):
        backend.accept(*(f"a{number}" for number in range(100)))
        backend.work()
    event.remove(*listener, note)
    assert len(backend.adapter.sent) == 300
    assert len([one for one in statements if "rate_limit" in one]) == 1
    assert len([one for one in statements if "count(*)" in one]) == 1
    assert backend.runtime.rates.cached() == {}


def test_what_no_limit_is_for_is_not_asked_about(backend):
    backend.limit("email", "1/h")
    backend.limit("recipient", "1/h", owner="f" * 32)
    backend.runtime.throttle = Silent()
    backend.accept("a", "b")
    backend.settle()
    assert len(backend.adapter.sent) == 2


def test_a_crowd_goes_at_the_full_rate_and_never_faster(backend):
    backend.limit("all", "20/s")
    for start in range(0, 200, 100):
        backend.accept(*(f"a{number}" for number in range(start, start + 100)))
    started = backend.clock()
    while backend.work() or backend.rows_open():
        backend.clock.move(0.2)
        sweeping.sweep(backend.runtime)
    times = sorted((at - started).total_seconds() for at in backend.adapter.times)
    assert len(times) == 200
    assert times[-1] <= (200 - 20) / 20 / 0.95
    for index, at in enumerate(times):
        assert index + 1 <= 20 + 20 * at + 1e-6
    assert claims(backend) <= 3, "held less than twice each"


def test_a_held_message_waits_in_the_database_and_nobody_else_does(backend):
    """One application's messages that may not go leave the worker to the others."""
    backend.limit("all", "1/m")
    backend.channels.application = None
    for start in range(0, 300, 100):
        backend.accept(*(f"bulk{number}" for number in range(start, start + 100)))
    backend.work()
    assert backend.runtime.at_the_door == 0
    assert not sweeping.feed(backend.runtime).rung, "none of them is due before its place"
    other = store.create_application(backend.runtime.db, "other").id
    backend.application = other
    backend.accept("code")
    assert backend.work() == 1
    assert len(sent(backend)) == 2
    assert sent(backend)[-1] == "code"


@pytest.mark.parametrize(
    ("what", "channel", "addresses", "expected"),
    [
        ("custom", "CUSTOM", ["a", "b", "c"], 1),
        ("email", "CUSTOM", ["a", "b", "c"], 3),
        ("recipient", "CUSTOM", ["a", "b", "c"], 3),
        ("provider", "CUSTOM", ["a", "b"], 1),
        ("provider:default", "CUSTOM", ["a", "b"], 1),
        ("provider:other", "CUSTOM", ["a", "b"], 2),
        ("domain", "EMAIL", ["a@x.example", "b@X.example", "c@y.example"], 2),
        ("domain:x.example", "EMAIL", ["a@x.example", "b@X.example", "c@y.example"], 2),
        ("domain:bücher.example", "EMAIL", ["a@bücher.example", "b@xn--bcher-kva.example"], 1),
        ("domain", "CUSTOM", ["a@x.example", "b@x.example"], 2),
        ("push", "GCM", ["a", "b"], 1),
        ("push", "CUSTOM", ["a", "b"], 2),
        ("apns", "GCM", ["a", "b"], 2),
        ("sender", "CUSTOM", ["a", "b"], 1),
    ],
)
def test_each_kind_of_limit_counts_what_it_is_for(sqlite_url, what, channel, addresses, expected):
    backend = Backend(sqlite_url)
    backend.limit(what, "1/h")
    backend.accept(*addresses, channel=channel)
    backend.work()
    assert len(backend.adapter.sent) == expected
    backend.close()


@pytest.mark.parametrize(
    ("message", "sender"),
    [
        ({"SMSMessage": {"Body": "x", "OriginationNumber": "+1555"}}, "+1555"),
        ({"SMSMessage": {"Body": "x", "SenderId": "Shop"}}, "Shop"),
        ({"SMSMessage": {"Body": "x"}}, "+1999"),
    ],
)
def test_a_sender_is_the_messages_or_the_channels(sqlite_url, message, sender):
    backend = Backend(sqlite_url)
    backend.adapter.sender = "+1999"
    backend.limit(f"sender:{sender}", "1/h")
    backend.limit("sender:somebody", "1/d")
    backend.accept("+14255550100", "+14255550101", channel="SMS", MessageConfiguration=message)
    backend.accept(
        "+14255550102",
        channel="SMS",
        MessageConfiguration={"SMSMessage": {"Body": "x", "SenderId": "Another"}},
    )
    backend.work()
    assert len(backend.adapter.sent) == 2
    backend.close()


def test_one_recipient_gets_so_many_and_the_others_theirs(backend):
    backend.limit("recipient", "2/h")
    for _ in range(3):
        backend.accept("a", "b")
        backend.work()
    assert Counter(sent(backend)) == {"a": 2, "b": 2}
    backend.settle()
    assert Counter(sent(backend)) == {"a": 3, "b": 3}


def test_a_message_goes_only_if_all_limits_let_it(backend):
    backend.limit("all", "10/s")
    backend.limit("recipient", "1/h")
    backend.limit("custom", "3/h", owner=limits.EVERYBODY)
    backend.accept("a", "b")
    backend.accept("a")
    backend.work()
    assert sorted(sent(backend)) == ["a", "b"]
    backend.accept("c", "d")
    backend.work()
    assert len(sent(backend)) == 3, "the recipient that was held took nothing from the others"


def test_a_limit_of_all_is_shared_by_the_applications(backend):
    backend.limit("all", "1/h", owner=limits.EVERYBODY)
    backend.channels.application = None
    backend.accept("a")
    backend.application = store.create_application(backend.runtime.db, "other").id
    backend.accept("b")
    backend.work()
    assert len(sent(backend)) == 1


def test_what_cannot_be_sent_takes_no_turn(backend):
    backend.limit("all", "1/h")
    backend.accept(
        "b" * 10, channel="SMS", MessageConfiguration={"SMSMessage": {"Body": "x" * 3000}}
    )
    backend.channels.missing = {"VOICE"}
    backend.accept("+14255550100", channel="VOICE")
    backend.work()
    backend.accept("a")
    backend.work()
    assert sent(backend) == ["a"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_promotional_messages_do_not_go_before_transactional_ones(backend):
    backend.limit("sms", "2/s")
    promotional = {"SMSMessage": {"Body": "x", "MessageType": "PROMOTIONAL"}}
    numbers = [f"+1425555{number:04}" for number in range(60)]
    backend.accept(*numbers[:40], channel="SMS", MessageConfiguration=promotional)
    backend.work()
    backend.accept(*numbers[40:], channel="SMS")
    started = backend.clock()
    backend.settle(2000)
    times = {
        one.address: at for one, at in zip(backend.adapter.sent, backend.adapter.times, strict=True)
    }
    last = max(times[one] for one in numbers[40:])
    assert (last - started).total_seconds() <= 20 / 2 + 1
    assert max(times.values()) - started <= timedelta(seconds=60 / 2 / 0.95)


def test_a_faster_rate_calls_up_those_who_wait(backend):
    backend.limit("all", "1/h")
    backend.accept(*(f"a{number}" for number in range(20)))
    backend.work()
    assert len(sent(backend)) == 1
    backend.limit("all", "100/s")
    sweeping.sweep(backend.runtime)
    assert not backend.rings.rung
    assert store.call_up(backend.runtime.db, "0" * 32, after=5) == 0
    assert store.call_up(backend.runtime.db, backend.application, after=5, limit=10) == 10
    assert store.call_up(backend.runtime.db, backend.application, after=5) == 9
    assert store.call_up(backend.runtime.db, backend.application, after=5) == 0
    assert backend.settle() < 7
    assert len(sent(backend)) == 20


def test_a_failed_message_is_not_called_up(backend):
    backend.adapter.says("a", temporary(451, "busy"))
    backend.accept("a")
    for _ in range(5):
        backend.work()
        backend.clock.move(20)
        sweeping.sweep(backend.runtime)
    assert store.call_up(backend.runtime.db, backend.application, after=0) == 0


def test_a_message_that_would_come_too_late_times_out_at_its_deadline(sqlite_url):
    backend = Backend(sqlite_url, message_ttl=60.0)
    backend.limit("all", "1/m")
    backend.accept("a", "b", "c")
    took = backend.settle()
    assert len(backend.adapter.sent) == 1
    assert took == pytest.approx(60, abs=1)
    backend.close()


def test_a_draining_worker_takes_no_turn(backend):
    backend.limit("all", "1/h")
    backend.accept("a")
    (ring,) = backend.rings.rung
    claim = backend.runtime.claims.put

    async def drain(one):
        claimed = await claim(one)
        backend.runtime.draining = True
        return claimed

    backend.runtime.claims.put = drain
    backend.work()
    backend.runtime.claims.put, backend.runtime.draining = claim, False
    store.unring(backend.runtime.db, [ring.id])
    backend.settle()
    assert sent(backend) == ["a"]


def test_limits_are_set_changed_and_removed(backend):
    db = backend.runtime.db
    store.set_limit(db, "*", "all", limits.rate("5/m"), 7)
    store.set_limit(db, backend.application, "backlog", None, 1000)
    all_, backlog = store.limits(db)
    assert (all_.owner, all_.what, str(all_.rate), all_.burst) == ("*", "all", "5/m", 7)
    assert (backlog.rate, backlog.burst) == (None, 1000)
    store.set_limit(db, "*", "all", limits.rate("6/h"), 1)
    changed, _ = store.limits(db)
    assert dataclasses.replace(changed, rate=all_.rate, burst=7) == all_, "its count goes on"
    assert store.remove_limit(db, "*", "all")
    assert not store.remove_limit(db, "*", "all")
    store.delete_application(db, backend.application)
    assert store.limits(db) == []


def test_workers_count_each_other(backend):
    db = backend.runtime.db
    here, there = uuid4(), uuid4()
    assert store.be_present(db, here, 15) == 1
    assert store.be_present(db, there, 15) == 2
    assert store.be_present(db, here, 15) == 2
    backend.clock.move(10)
    assert store.be_present(db, here, 15) == 2
    backend.clock.move(6)
    assert store.be_present(db, here, 15) == 1
    store.be_gone(db, here)
    assert store.be_present(db, there, 15) == 1


def test_a_worker_keeps_to_its_share_as_long_as_there_are_others(backend):
    runtime, other = backend.runtime, uuid4()
    store.be_present(runtime.db, other, 15)

    async def be_there():
        present = asyncio.create_task(presence.keep_present(runtime))
        while runtime.throttle.shares == 1:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
        present.cancel()

    asyncio.run(asyncio.wait_for(be_there(), 30))
    assert runtime.throttle.shares == 2
    presence.end(runtime)
    assert store.be_present(runtime.db, other, 15) == 1


def test_the_backlog_of_an_application_is_counted_up_to_a_bound(backend):
    backend.accept("a", "b", "c")
    assert store.backlog_of(backend.runtime.db, backend.application, "sendpoint.custom", 100) == 3
    assert store.backlog_of(backend.runtime.db, backend.application, "sendpoint.custom", 2) == 2
    assert store.backlog_of(backend.runtime.db, "0" * 32, "sendpoint.custom", 100) == 0
    backend.settle()
    assert store.backlog_of(backend.runtime.db, backend.application, "sendpoint.custom", 100) == 0
