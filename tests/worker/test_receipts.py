"""What a receipt makes of a message's row, wherever the row stands: it moves forward, once."""

import asyncio
import json

import pytest

from adapters.contract import (
    DeliveryStatus,
    Outcome,
    Receipt,
    indeterminate,
    successful,
    throttled,
)
from tests.worker.flow import Backend
from worker import store, sweeping, telling

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
TO = "+14255550199"


@pytest.fixture
def backend(database_url, tmp_path):
    backend = Backend(database_url, events=f"file://{tmp_path}/events.jsonl", lease=10)
    store.put_event_stream(
        backend.runtime.db, backend.application, destination=STREAM, role="r", by=None
    )
    yield backend
    backend.close()


class Text:
    """A text that was accepted."""

    def __init__(self, backend, *outcomes):
        self.backend = backend
        backend.adapter.says(TO, *outcomes or (successful(message_id="SM1"),))
        self.request_id = backend.accept(TO, channel="SMS")
        (self.id,) = (ring.id for ring in backend.rings.rung)

    @property
    def row(self):
        return self.backend.results(self.request_id)[TO]

    @property
    def status(self):
        return self.row.delivery_status, self.row.status_message

    def hears(self, status, *, sid="SM1", final=True, word="WORD", text="said"):
        outcome = Outcome(
            status=DeliveryStatus(status), status_code=400, status_message=text, message_id=sid
        )
        receipt = Receipt(outcome=outcome, final=final, record_status=word)
        report = store.Report(
            id=self.id,
            delivery_status=status,
            status_code=400,
            status_message=text,
            message_id=sid,
            final=final,
        )
        runtime = self.backend.runtime
        tell = telling.of_receipt(runtime, receipt, {"origination_number": "+14255550100"})
        return store.report(runtime.db, report, tell=tell)

    def told(self):
        return [
            (one["event_type"], one["attributes"]["record_status"])
            for one in map(json.loads, self.records())
        ]

    def records(self):
        return [one.record for one in store.untold(self.backend.runtime.db, limit=100)]


def test_it_moves_forward_and_each_step_once(backend):
    text = Text(backend)
    backend.work()
    assert text.hears("SUCCESSFUL", final=False, word="SUCCESSFUL", text="sent")
    assert not text.hears("SUCCESSFUL", final=False, text="sent again")
    assert text.status == ("SUCCESSFUL", "sent")
    assert text.hears("SUCCESSFUL", word="DELIVERED", text="delivered")
    for late in ("SUCCESSFUL", "PERMANENT_FAILURE"):
        assert not text.hears(late, final=False)
        assert not text.hears(late)
    assert text.status == ("SUCCESSFUL", "delivered")
    assert text.told() == [
        ("_SMS.BUFFERED", "PENDING"),
        ("_SMS.BUFFERED", "SUCCESSFUL"),
        ("_SMS.SUCCESS", "DELIVERED"),
    ]
    attributes = json.loads(text.records()[-1])["attributes"]
    assert attributes["message_id"] == "SM1"
    assert attributes["origination_phone_number"] == "+14255550100"
    assert attributes["sender_request_id"] == str(text.request_id)


def test_a_failure_is_the_last_word_and_the_acceptance_stays_in_the_history(backend):
    text = Text(backend)
    backend.work()
    assert text.hears("PERMANENT_FAILURE", word="INVALID", text="undelivered")
    assert not text.hears("SUCCESSFUL", text="delivered")
    assert text.status == ("PERMANENT_FAILURE", "undelivered")
    assert text.row.message_id == "SM1"
    assert text.told()[-1] == ("_SMS.FAILURE", "INVALID")
    history = store.rows.message_attempt
    assert backend.count(history) == 1
    assert backend.scalar(history.select().with_only_columns(history.c.late)) == 0


def test_it_tells_what_became_of_a_message_without_an_answer(backend):
    text = Text(backend, indeterminate("no answer"))
    backend.work()
    assert text.status[0] == "UNKNOWN_FAILURE"
    assert text.hears("SUCCESSFUL", final=False, text="sent")
    assert text.status == ("SUCCESSFUL", "sent")
    assert text.row.message_id == "SM1"


@pytest.mark.parametrize("status", ["SUCCESSFUL", "PERMANENT_FAILURE"])
def test_one_that_overtakes_the_answer_settles_the_message(backend, status):
    text = Text(backend)

    async def send(_):
        assert text.row.state == store.State.SENDING
        assert text.hears(status, text="said first")
        return successful(message_id="SM1", text="accepted")

    backend.adapter.says(TO, send)
    backend.work()
    assert text.row.state == store.State.DONE
    assert text.status == (status, "said first")
    assert len(text.told()) == 1, "what the worker came to is late, and told to nobody"
    backend.clock.move(60)
    sweeping.sweep(backend.runtime)
    assert (backend.work(), len(backend.adapter.sent)) == (0, 1)


def test_one_for_a_message_whose_worker_is_lost_settles_it(backend):
    text = Text(backend)
    store.claim(backend.runtime.db, [text.id], lease=10)
    assert text.hears("SUCCESSFUL")
    backend.clock.move(11)
    assert sweeping.sweep(backend.runtime).rescued == 0
    assert text.status == ("SUCCESSFUL", "said")


def test_a_failure_of_another_attempt_says_nothing(backend):
    """Of two texts for one message, since the first had no answer, either may have arrived."""
    text = Text(backend)
    backend.work()
    assert not text.hears("PERMANENT_FAILURE", sid="SM0")
    assert text.hears("SUCCESSFUL", sid="SM0", text="delivered")
    assert text.status == ("SUCCESSFUL", "delivered")


def test_a_failure_does_not_settle_a_message_that_is_tried_again(backend):
    text = Text(backend)
    for _ in range(2):
        store.claim(backend.runtime.db, [text.id], lease=10)
        finish = store.Finish(id=text.id, lease_token=1, state=store.State.QUEUED)
        store.finish(backend.runtime.db, [finish])
    assert (text.row.state, text.row.attempt) == (store.State.SENDING, 2)
    assert not text.hears("PERMANENT_FAILURE", sid="SM0")
    assert text.row.state == store.State.SENDING


def test_only_what_was_attempted_can_have_a_receipt(backend):
    text = Text(backend, throttled(429, "slow"))
    db = backend.runtime.db
    assert store.find_handed(db, text.id) is None
    backend.work()
    assert store.find_handed(db, text.id) is None, "what was refused is not at the provider"


def test_what_cannot_be_stored_is_replaced(backend):
    text = Text(backend)
    backend.work()
    assert text.hears("SUCCESSFUL", text="de\0livered \ud800")
    assert text.status == ("SUCCESSFUL", "de\N{REPLACEMENT CHARACTER}livered ?")


def test_many_at_once_are_one(backend):
    text = Text(backend)
    backend.work()

    async def hear():
        calls = (asyncio.to_thread(text.hears, "SUCCESSFUL") for _ in range(20))
        return await asyncio.gather(*calls)

    assert sum(asyncio.run(hear())) == 1
    assert text.told().count(("_SMS.SUCCESS", "WORD")) == 1
