"""A message's life after it was accepted, in virtual time, on both databases."""

import asyncio
import dataclasses
import logging
import threading

import msgspec
import pytest
from sqlalchemy import update

from adapters.contract import (
    Fault,
    indeterminate,
    permanent,
    successful,
    temporary,
    throttled,
)
from tests.worker.flow import Backend, until
from worker import runtime, store, sweeping
from worker.store import tables


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    yield backend
    backend.close()


def ended(result):
    return result.state, result.delivery_status, result.attempt


def test_a_message_is_sent_once_and_recorded(backend):
    request_id = backend.accept("a", "b")
    backend.settle()
    assert sorted(one.address for one in backend.adapter.sent) == ["a", "b"]
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "SUCCESSFUL", 1)
    assert (result.status_code, result.message_id) == (200, "m")
    (delivery,) = [one for one in backend.adapter.sent if one.address == "a"]
    assert (delivery.id, delivery.request_id) == (str(result.id), str(request_id))
    assert 29 < delivery.timeout <= 30


def test_a_temporary_failure_is_retried_with_the_same_provider_id(backend):
    backend.adapter.says("a", temporary(451, "busy"), temporary(451, "busy"), successful())
    request_id = backend.accept("a")
    took = backend.settle()
    assert ended(backend.results(request_id)["a"]) == ("DONE", "SUCCESSFUL", 3)
    assert [one.attempt for one in backend.adapter.sent] == [1, 2, 3]
    assert len({one.id for one in backend.adapter.sent}) == 1
    assert took <= 2 + 4 + 1
    assert backend.count(tables.message_attempt) == 2


def test_attempts_are_bounded(backend):
    backend.adapter.says("a", temporary(451, "busy"))
    request_id = backend.accept("a")
    backend.settle()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "PERMANENT_FAILURE", 8)
    assert result.status_message == "Gave up after 8 attempts; the last said: busy"


def test_a_throttled_message_waits_as_asked_and_shows_it(backend):
    backend.adapter.says("a", *[throttled(429, "slow", retry_after=120)] * 20, successful())
    request_id = backend.accept("a")
    backend.work()
    assert ended(backend.results(request_id)["a"]) == ("QUEUED", "THROTTLED", 0)
    took = backend.settle()
    assert ended(backend.results(request_id)["a"]) == ("DONE", "SUCCESSFUL", 1)
    assert 20 * 120 <= took < 20 * 121


def test_our_own_throttle_holds_without_a_trace(backend):
    backend.limit("all", "1/7s")
    request_id = backend.accept("a", "b")
    backend.work()
    (sent,) = backend.adapter.sent
    held = backend.results(request_id)["b" if sent.address == "a" else "a"]
    assert ended(held) == ("QUEUED", None, 0)
    assert (held.due_at - backend.clock()).total_seconds() == pytest.approx(7, abs=0.01)
    assert backend.settle() == pytest.approx(7, abs=0.1)
    assert {ended(one) for one in backend.results(request_id).values()} == {
        ("DONE", "SUCCESSFUL", 1)
    }


def test_a_deadline_ends_the_waiting(backend):
    backend.adapter.says("a", throttled(429, "slow", retry_after=3000))
    request_id = backend.accept("a")
    took = backend.settle()
    assert ended(backend.results(request_id)["a"])[:2] == ("DONE", "TIMEOUT")
    assert took <= backend.runtime.settings.message_ttl


def test_a_message_that_nobody_picked_up_times_out(backend):
    request_id = backend.accept("a")
    backend.rings.rung.clear()
    backend.clock.move(backend.runtime.settings.message_ttl)
    backend.settle()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "TIMEOUT", 0)
    assert backend.adapter.sent == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_all_that_is_too_late_is_closed_at_once(backend, monkeypatch):
    """What was accepted together ends together."""
    monkeypatch.setattr(sweeping, "AT_ONCE", 2)
    backend.runtime.settings = msgspec.structs.replace(
        backend.runtime.settings, sweep_interval=1000.0
    )
    request_id = backend.accept(*map(str, range(9)))
    backend.clock.move(backend.runtime.settings.message_ttl)
    sweeps = threading.Thread(
        target=asyncio.run, args=(sweeping.keep_sweeping(backend.runtime),), daemon=True
    )
    sweeps.start()
    until(lambda: not backend.rows_open())
    backend.runtime.draining = True
    sweeps.join(30)
    assert {ended(one) for one in backend.results(request_id).values()} == {("DONE", "TIMEOUT", 0)}


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("CUSTOM", ("DONE", "SUCCESSFUL", 2)),
        ("SMS", ("DONE", "UNKNOWN_FAILURE", 1)),
        ("VOICE", ("DONE", "UNKNOWN_FAILURE", 1)),
    ],
)
def test_no_answer_is_settled_by_the_channels_policy(backend, channel, expected):
    backend.adapter.says("+14255550100", indeterminate("silence"), successful())
    request_id = backend.accept("+14255550100", channel=channel)
    backend.settle()
    assert ended(backend.results(request_id)["+14255550100"]) == expected


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("CUSTOM", ("DONE", "SUCCESSFUL", 2)), ("SMS", ("DONE", "UNKNOWN_FAILURE", 1))],
)
def test_a_worker_that_dies_while_sending_loses_nothing(backend, channel, expected):
    request_id = backend.accept("+14255550100", channel=channel)
    (ring,) = backend.rings.rung
    store.claim(backend.runtime.db, [ring.id], lease=60)  # and is never heard of again
    backend.settle()
    assert ended(backend.results(request_id)["+14255550100"]) == expected


def test_a_message_that_kills_its_worker_does_so_a_bounded_number_of_times(backend):
    request_id = backend.accept("a")
    (ring,) = backend.rings.rung
    for _ in range(8):
        assert store.claim(backend.runtime.db, [ring.id], lease=60)
        backend.clock.move(60)
        sweeping.sweep(backend.runtime)
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "UNKNOWN_FAILURE", 8)
    assert "8 of 8" in result.status_message


def test_a_worker_that_comes_back_from_the_dead_cannot_overwrite(backend):
    async def stall(_):
        backend.clock.move(61)
        sweeping.sweep(backend.runtime)
        return permanent(550, "too late", fault=Fault.RECIPIENT)

    backend.adapter.says("a", stall, successful(message_id="second"))
    request_id = backend.accept("a")
    backend.settle()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "SUCCESSFUL", 2)
    assert result.message_id == "second"


def test_lost_rings_are_rung_again(backend):
    request_id = backend.accept("a", "b")
    backend.rings.rung.clear()
    took = backend.settle()
    assert {one.state for one in backend.results(request_id).values()} == {"DONE"}
    assert took <= backend.runtime.settings.ring_again_after + 1


def test_a_broker_that_is_down_costs_time_and_nothing_else(backend):
    backend.rings.broken = True
    request_id = backend.accept("a")
    sweeping.sweep(backend.runtime)
    assert backend.work() == 0
    backend.rings.broken = False
    sweeping.sweep(backend.runtime)
    assert backend.work() == 1, "rung at the first sweep, not after ring_again_after"
    assert ended(backend.results(request_id)["a"]) == ("DONE", "SUCCESSFUL", 1)


def test_while_the_broker_is_away_messages_are_taken_from_the_database(backend):
    request_id = backend.accept("a", "b", "c")
    lost = backend.rings.rung.copy()
    backend.rings.broken = True
    assert not sweeping.feed(backend.runtime, 10).here, "rung for, not waiting yet"
    backend.clock.move(backend.runtime.settings.ring_again_after)
    first = sweeping.feed(backend.runtime, 2).here
    assert len(first) == 2, "no more than there is capacity for"
    assert len(sweeping.feed(backend.runtime, 2).here) == 1
    assert not sweeping.feed(backend.runtime, 2).here
    backend.rings.rung = lost
    backend.work()
    backend.rings.rung = [*first]
    backend.work()
    results = backend.results(request_id).values()
    assert {ended(one) for one in results} == {("DONE", "SUCCESSFUL", 1)}
    assert len(backend.adapter.sent) == 3


def test_a_full_queue_takes_no_more_rings_and_is_fed_fairly(sqlite_url):
    backend = Backend(sqlite_url, window=40)
    other = store.create_application(backend.runtime.db, "other").id
    for start in range(0, 200, 50):
        backend.accept(*(f"bulk{number}" for number in range(start, start + 50)))
    assert len(backend.rings.rung) == 50, "a request is rung for whole, or not at all"
    bulk, backend.channels.application, backend.application = backend.application, None, other
    backend.accept("one", "two")
    assert len(backend.rings.rung) == 50
    assert not sweeping.feed(backend.runtime).rung, "there is no room"
    backend.work()
    fed = sweeping.feed(backend.runtime)
    assert (fed.rung, fed.more) == (40, True), "what one leaves of its share is the others'"
    backend.work()
    sent = [one.application_id for one in backend.adapter.sent[50:]]
    assert sent.count(other) == 2, "both, although 150 were there before them"
    assert sent.count(bulk) == 38
    backend.settle()
    assert len(backend.adapter.sent) == 202
    backend.close()


def test_the_sweep_fills_the_window_and_no_more(sqlite_url):
    backend = Backend(sqlite_url, window=30)
    for _ in range(2):
        backend.accept(*(f"a{number}" for number in range(50)))
    backend.rings.rung.clear()
    backend.clock.move(60)
    sweeping.sweep(backend.runtime)
    assert len(backend.rings.rung) == 30
    sweeping.sweep(backend.runtime)
    assert len(backend.rings.rung) == 30
    backend.settle()
    assert len(backend.adapter.sent) == 100
    backend.close()


def test_settings_are_read_once_for_all_that_wait_and_wrong_ones_are_nobody_elses_trouble(backend):
    """Channels' settings are read anew every few seconds, when hundreds of messages may ask."""
    of, asked = backend.channels.of, []

    def read(application_id):
        asked.append(application_id)
        if application_id != backend.application:
            raise ValueError("They were sealed with another key")
        return of(application_id)

    other = store.create_application(backend.runtime.db, "other").id
    requests = [backend.accept("a", "b", "c")]
    backend.application, first = other, backend.application
    backend.channels.application = other
    requests.append(backend.accept("d", "e"))
    backend.application = backend.channels.application = first
    backend.channels.of, backend.channels.cached = read, lambda _: None
    backend.work()
    assert sorted(asked) == sorted([first, other])
    assert {ended(one) for one in backend.results(requests[0]).values()} == {
        ("DONE", "SUCCESSFUL", 1)
    }
    backend.application = other
    results = backend.results(requests[1])
    assert {one.status_message for one in results.values()} == {"The channel's settings are wrong"}


def test_requests_are_kept_for_their_other_recipients_as_far_as_they_are_small(
    backend, monkeypatch
):
    """How large they are is for callers to say, and nobody's memory may depend on it."""
    monkeypatch.setattr(runtime, "KEPT_SIZE", 10_000)
    body = {"DefaultMessage": {"Body": 3000 * "a"}}
    requests = []
    for number in range(5):
        requests.append(backend.accept(str(number), MessageConfiguration=body))
        backend.work()
    assert [backend.runtime.known(one) is not None for one in requests] == [False] * 2 + [True] * 3


def test_an_adapter_that_raises_is_an_unknown_outcome(backend, caplog):
    backend.adapter.says("a", RuntimeError("secret-token"), successful())
    request_id = backend.accept("a")
    with caplog.at_level(logging.ERROR):
        backend.work()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("QUEUED", "UNKNOWN_FAILURE", 1)
    assert "secret-token" not in result.status_message
    assert "Script broke its contract" in caplog.text


def test_an_adapter_that_never_answers_is_cut_off(sqlite_url):
    backend = Backend(sqlite_url, lease=1)  # a send has half of it, and a second of grace

    async def hang(_):
        await asyncio.Event().wait()

    backend.adapter.says("a", hang)
    request_id = backend.accept("a")
    backend.work()
    assert backend.results(request_id)["a"].delivery_status == "UNKNOWN_FAILURE"
    backend.close()


def test_content_that_cannot_be_rendered_fails_its_recipient_alone(backend):
    request_id = backend.accept(
        "+14255550100",
        channel="SMS",
        MessageConfiguration={"SMSMessage": {"Body": "x" * 1601}},
    )
    backend.settle()
    result = backend.results(request_id)["+14255550100"]
    assert ended(result) == ("DONE", "PERMANENT_FAILURE", 1)
    assert backend.adapter.sent == []


def test_a_request_that_cannot_be_read_is_no_other_messages_trouble(backend, caplog):
    """Such as one that a newer version has stored."""
    broken, well = backend.accept("a"), backend.accept("b")
    request = tables.message_request
    with backend.runtime.db.engine.begin() as connection:
        connection.execute(
            update(request)
            .where(request.c.request_id == broken)
            .values(body='{"MessageConfiguration": []}')
        )
    backend.work()
    assert ended(backend.results(well)["b"]) == ("DONE", "SUCCESSFUL", 1)
    assert ended(backend.results(broken)["a"]) == ("DONE", "PERMANENT_FAILURE", 1)
    assert f"Request {broken} cannot be read" in caplog.text


def test_a_channel_taken_away_after_acceptance_answers_as_pinpoint_does(backend):
    request_id = backend.accept("a")
    backend.channels.missing = {"CUSTOM"}
    backend.settle()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "PERMANENT_FAILURE", 1)
    assert "No channel of type CUSTOM is enabled" in result.status_message


def test_wrong_channel_settings_are_retried_until_they_are_mended(backend, caplog):
    backend.channels.error = ValueError("host is missing")
    request_id = backend.accept("a")
    backend.work()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("QUEUED", "TEMPORARY_FAILURE", 1)
    assert "host is missing" in caplog.text
    backend.channels.error = None
    backend.settle()
    assert ended(backend.results(request_id)["a"]) == ("DONE", "SUCCESSFUL", 2)


def test_a_draining_worker_claims_nothing_and_remembers_the_rings(backend):
    backend.runtime.draining = True
    request_id = backend.accept("a")
    (ring,) = backend.rings.rung
    backend.work()
    assert ended(backend.results(request_id)["a"]) == ("QUEUED", None, 0)
    assert set(backend.runtime.unanswered) == {ring.id}
    backend.runtime.draining = False
    sweeping.sweep(backend.runtime)
    assert [one.id for one in backend.rings.rung] == [ring.id]


def test_a_result_is_recorded_although_the_database_was_away(backend):
    class Flaky:
        failures = 3

        def __init__(self, batch):
            self.batch = batch

        async def put(self, finish):
            if self.failures:
                self.failures -= 1
                raise store.Unavailable("UPDATE", None, OSError())
            return await self.batch.put(finish)

    backend.runtime.finishes = Flaky(backend.runtime.finishes)
    request_id = backend.accept("a")
    backend.work()
    assert ended(backend.results(request_id)["a"]) == ("DONE", "SUCCESSFUL", 1)
    assert len(backend.adapter.sent) == 1


def test_a_result_that_cannot_be_written_takes_no_other_with_it(backend, caplog):
    backend.adapter.says("a", successful(code=10**12))
    request_id = backend.accept("a", "b", "c")
    backend.work()
    results = backend.results(request_id)
    assert {results[one].state for one in ("b", "c")} == {"DONE"}
    if results["a"].state != "DONE":  # SQLite's integers are larger
        assert "cannot be recorded" in caplog.text


def test_a_providers_words_are_stored_whatever_they_are(backend):
    words = "a\0b\ud800"
    backend.adapter.says("a", successful(text=words, message_id=words))
    request_id = backend.accept("a", "b")
    backend.settle()
    result = backend.results(request_id)["a"]
    assert ended(result) == ("DONE", "SUCCESSFUL", 1)
    assert result.status_message == "a\N{REPLACEMENT CHARACTER}b?"


@pytest.mark.parametrize("channel", ["CUSTOM", "SMS"])
def test_a_send_that_would_begin_too_late_does_not_begin_and_is_no_attempt(backend, channel):
    class Slow:
        def __init__(self, batch):
            self.batch = batch

        async def put(self, item):
            claimed = await self.batch.put(item)
            return claimed and dataclasses.replace(claimed, held_until=0.0)

    fast, backend.runtime.claims = backend.runtime.claims, Slow(backend.runtime.claims)
    request_id = backend.accept("+14255550100", channel=channel)
    backend.work()
    assert backend.adapter.sent == []
    backend.runtime.claims = fast
    assert backend.settle() < 1, "it was given back, not left to its lease"
    assert ended(backend.results(request_id)["+14255550100"]) == ("DONE", "SUCCESSFUL", 1)


def test_no_address_and_no_body_reaches_a_log(backend, caplog):
    backend.adapter.says("secret@example.com", temporary(451, "busy"), successful())
    with caplog.at_level(logging.DEBUG):
        backend.accept(
            "secret@example.com",
            MessageConfiguration={"DefaultMessage": {"Body": "top secret"}},
        )
        backend.settle()
    assert "attempted" in caplog.text
    assert "secret" not in caplog.text
