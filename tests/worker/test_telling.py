"""What an application's event stream is told as its messages are settled, in one transaction with
that; and that nobody else is told anything."""

import asyncio
import json

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from adapters.contract import DeliveryStatus, Fault, Outcome, permanent, successful, temporary
from tests.worker.flow import Backend
from worker import event_records, runtime, store, sweeping

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
SMS, EMAIL = "+14255550199", "ann@example.com"


@pytest.fixture
def make(database_url, tmp_path):
    made = []

    def make(*, sink=True, stream=True, **changes):
        events = f"file://{tmp_path}/events.jsonl" if sink else ""
        made.append(Backend(database_url, events=events, **changes))
        backend = made[-1]
        if stream:
            store.put_event_stream(
                backend.runtime.db, backend.application, destination=STREAM, role="r", by=None
            )
        return backend

    yield make
    for one in made:
        one.close()


def told(backend):
    return [json.loads(one.record) for one in store.untold(backend.runtime.db, limit=1000)]


def types(backend):
    return [one["event_type"] for one in told(backend)]


def test_a_settled_message_is_told_with_its_request(make):
    backend = make()
    backend.adapter.says(SMS, successful(message_id="SM1"))
    request_id = backend.accept(
        SMS,
        channel="SMS",
        Context={"order": "7", "shop": "a"},
        Addresses={SMS: {"ChannelType": "SMS", "Context": {"shop": "b"}}},
        MessageConfiguration={"SMSMessage": {"Body": "Hi", "MessageType": "PROMOTIONAL"}},
    )
    backend.settle()
    (record,) = told(backend)
    attributes = record["attributes"]
    assert record["event_type"] == "_SMS.BUFFERED"
    assert record["awsAccountId"] == "123456789012"
    assert attributes["sender_request_id"] == str(request_id)
    assert attributes["message_id"] == "SM1" == backend.results(request_id)[SMS].message_id
    assert attributes["message_type"] == "Promotional"
    assert attributes["number_of_message_parts"] == "1"
    assert json.loads(attributes["customer_context"]) == {"order": "7", "shop": "b"}


def test_it_is_told_with_its_request_although_that_is_kept_no_longer(make, monkeypatch):
    """Others have pushed it out while the provider took its time."""
    monkeypatch.setattr(runtime, "KEPT_SIZE", 0)
    backend = make()
    request_id = backend.accept(SMS, channel="SMS", Context={"order": "7"})
    backend.settle()
    assert backend.runtime.known(request_id) is None
    (record,) = told(backend)
    assert json.loads(record["attributes"]["customer_context"]) == {"order": "7"}


def test_it_is_told_although_the_database_was_away_before_the_stream_was_known(make):
    backend = make()
    backend.accept(SMS, channel="SMS")
    read = backend.runtime._streams.put
    away = iter([True, True, False])

    async def put(application_id):
        if next(away):
            raise store.Unavailable("SELECT", None, OSError())
        return await read(application_id)

    backend.runtime._streams.put = put
    backend.work()
    assert types(backend) == ["_SMS.BUFFERED"]


def test_only_what_settles_a_message_is_told(make):
    backend = make()
    backend.adapter.says(EMAIL, temporary(451, "greylisted"), successful(message_id="<m>"))
    backend.accept(EMAIL, channel="EMAIL", **letter())
    backend.work()
    assert told(backend) == []
    backend.settle()
    assert types(backend) == ["_email.send", "_email.delivered"]


def test_what_was_refused_at_intake_is_not_told(make):
    backend = make()
    store.add_opt_out(backend.runtime.db, backend.application, "SMS", SMS)
    backend.accept(SMS, channel="SMS")
    assert told(backend) == []


def test_a_message_that_cannot_be_rendered_is_told(make):
    backend = make()
    backend.accept(SMS, channel="SMS", MessageConfiguration={"GCMMessage": {"Body": "x"}})
    backend.settle()
    (record,) = told(backend)
    assert record["event_type"] == "_SMS.FAILURE"
    assert record["attributes"]["record_status"] == "INVALID_MESSAGE"


@pytest.mark.parametrize(("sink", "stream"), [(False, True), (True, False), (False, False)])
def test_without_a_sink_or_a_stream_nobody_is_told(make, sink, stream):
    backend = make(sink=sink, stream=stream)
    backend.accept(SMS, EMAIL, channel="SMS")
    backend.settle()
    assert told(backend) == []


def test_without_a_sink_a_delivery_costs_not_one_statement_more(make):
    """The statements of one delivery, with and without the application's having a stream."""

    def statements(backend):
        ran = []
        engine = backend.runtime.db.engine
        backend.accept(SMS, channel="SMS")
        sqlalchemy_event.listen(
            engine, "before_cursor_execute", lambda *args: ran.append(args[2].split("(")[0])
        )
        backend.work()
        return ran

    assert statements(make(sink=False)) == statements(make(sink=False, stream=False))


def test_an_event_is_written_with_the_result_or_not_at_all(make):
    backend = make(lease=2)  # for as long as it holds, the record is tried again
    request_id = backend.accept(SMS, channel="SMS")

    def rename(old, new):
        with backend.runtime.db.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    rename("event", "away")
    backend.work()
    assert backend.results(request_id)[SMS].state == store.State.SENDING
    rename("away", "event")
    backend.settle()
    assert backend.results(request_id)[SMS].delivery_status == "UNKNOWN_FAILURE"
    assert types(backend) == ["_SMS.FAILURE"]


def test_a_late_result_is_not_told(make):
    backend = make(lease=10)

    async def slow(_):
        backend.clock.move(11)
        sweeping.sweep(backend.runtime)
        return successful(message_id="late")

    backend.adapter.says(SMS, slow)
    request_id = backend.accept(SMS, channel="SMS")
    backend.work()
    assert backend.results(request_id)[SMS].delivery_status == "UNKNOWN_FAILURE"
    (record,) = told(backend)
    assert record["attributes"]["record_status"] == "UNKNOWN"
    assert record["attributes"]["number_of_message_parts"] == "1"


def test_a_message_that_a_worker_lost_is_told_once_it_is_settled(make):
    backend = make(lease=10, max_attempts=2)
    backend.accept(EMAIL, channel="EMAIL", **letter())
    for _ in range(2):
        ids = [ring.id for ring in backend.rings.rung]
        store.claim(backend.runtime.db, ids, lease=10)
        backend.clock.move(11)
        sweeping.sweep(backend.runtime)
    assert types(backend) == ["_email.send", "_email.softbounce"]
    mail = told(backend)[1]["facets"]["email_channel"]["mail_event"]["mail"]
    assert mail["common_headers"]["subject"] == "Hi"


def test_a_message_that_expired_is_told(make):
    backend = make(message_ttl=60)
    backend.accept(SMS, channel="SMS")
    backend.clock.move(61)
    sweeping.sweep(backend.runtime)
    (record,) = told(backend)
    assert record["attributes"]["record_status"] == "TTL_EXPIRED"


def test_sweeping_tells_only_who_has_a_stream(make):
    backend = make(stream=False, message_ttl=60)
    backend.accept(SMS, channel="SMS")
    backend.clock.move(61)
    assert sweeping.sweep(backend.runtime).expired == 1
    assert told(backend) == []


def test_what_cannot_be_told_keeps_no_result_from_being_recorded(make, monkeypatch, caplog):
    backend = make()

    def broken(*_, **__):
        raise RuntimeError("no record of this")

    monkeypatch.setattr(event_records, "of_outcome", broken)
    request_id = backend.accept(SMS, channel="SMS")
    backend.settle()
    assert backend.results(request_id)[SMS].delivery_status == "SUCCESSFUL"
    assert "nothing is told of it" in caplog.text


@pytest.mark.parametrize(
    "outcome",
    [
        permanent(400, "no", fault=Fault.RECIPIENT),
        Outcome(status=DeliveryStatus.OPT_OUT, status_code=400, fault=Fault.RECIPIENT),
    ],
)
def test_failures_of_every_channel_are_told(make, outcome):
    backend = make()
    backend.adapter.says("x", outcome)
    backend.accept("x", channel="CUSTOM")
    backend.settle()
    (record,) = told(backend)
    assert record["attributes"]["record_status"] == outcome.status


def test_a_stream_is_read_once_for_many_messages(make, monkeypatch):
    backend = make()
    reads = []
    read = store.event_streams
    monkeypatch.setattr(store, "event_streams", lambda *args: reads.append(1) or read(*args))

    async def ask():
        return await asyncio.gather(
            *(backend.runtime.stream(backend.application) for _ in range(50))
        )

    assert {one.destination for one in asyncio.run(ask())} == {STREAM}
    asyncio.run(ask())
    assert len(reads) == 1


def letter():
    parts = {"Subject": {"Data": "Hi"}, "TextPart": {"Data": "Hello"}}
    return {
        "MessageConfiguration": {
            "EmailMessage": {"FromAddress": "shop@example.com", "SimpleEmail": parts}
        }
    }
