"""What a bounce or a complaint makes of its message, of the address that it went to and of what
event streams are told; and of nothing and nobody else."""

import json
from uuid import uuid4

import pytest

from adapters.contract import indeterminate, permanent, successful
from tests.adapters import returned
from tests.worker.flow import Backend
from worker import bounces, lifecycle, store, story, wire

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
TO = returned.TO
LETTER = {
    "DefaultMessage": {"Body": "Hello"},
    "EmailMessage": {
        "SimpleEmail": {"Subject": {"Data": "Your order"}, "TextPart": {"Data": "It is here"}}
    },
}


@pytest.fixture
def backend(database_url, tmp_path):
    backend = Backend(database_url, events=f"file://{tmp_path}/events.jsonl", lease=10)
    store.put_event_stream(
        backend.runtime.db, backend.application, destination=STREAM, role="r", by=None
    )
    yield backend
    backend.close()


class Letter:
    """A letter to an address that an endpoint has; unless a test says otherwise a relay took it."""

    def __init__(self, backend, *outcomes, to=TO, channel="EMAIL"):
        self.backend, self.to = backend, to
        self.db = backend.runtime.db
        endpoint = wire.convert({"Address": to, "ChannelType": channel}, wire.EndpointRequest)
        store.update_endpoints(self.db, backend.application, [(to, endpoint)])
        backend.adapter.says(to, *outcomes or (successful(message_id="m@shop.example"),))
        self.request_id = backend.accept(to, channel=channel, MessageConfiguration=LETTER)
        (self.id,) = (ring.id for ring in backend.rings.rung)
        backend.work()

    def hears(self, make, **more):
        return self.gets(make(self.id, self.to, **more))

    def gets(self, mail, recipient=None):
        return bounces.receive(self.backend.runtime, mail, recipient).news

    @property
    def row(self):
        return self.backend.results(self.request_id)[self.to]

    @property
    def status(self):
        return self.row.delivery_status, self.row.status_code, self.row.status_message

    @property
    def endpoint(self):
        found = store.endpoints(self.db, self.backend.application, [self.to])[self.to]
        return found.EndpointStatus, found.OptOut

    @property
    def opted_out(self):
        pair = ("EMAIL", self.to)
        return store.opt_outs(self.db, self.backend.application, [pair]) == {pair}

    def told(self):
        return [one["event_type"] for one in self.records()]

    def records(self):
        return [json.loads(one.record) for one in store.untold(self.db, limit=100)]

    def story(self):
        message = store.history(self.db, self.id)
        return [(one.what, one.status) for one in story.steps(message, self.backend.clock())]


TAKEN = ["_email.send", "_email.delivered"]


def test_a_hard_bounce(backend):
    letter = Letter(backend)
    assert letter.status[0] == "SUCCESSFUL"
    taken_at = backend.clock()
    backend.clock.move(3600)
    assert letter.hears(returned.postfix)
    (attempt,) = store.history(letter.db, letter.id).attempts
    assert attempt.ended_at == taken_at, "when the relay took it, not when it came back"
    words = "Bounced: 550 5.1.1 <***>: Recipient address rejected: User unknown"
    assert letter.status == ("PERMANENT_FAILURE", 550, words)
    assert letter.endpoint == ("INACTIVE", "NONE")
    assert letter.told() == [*TAKEN, "_email.hardbounce"]
    assert [one for one in letter.story() if one[1]] == [
        ("attempt 1", "SUCCESSFUL"),
        ("settled", "PERMANENT_FAILURE"),
    ]
    sent, *_, record = letter.records()
    assert record["facets"]["email_channel"]["mail_event"]["bounce"] == {
        "bounce_type": "Permanent",
        "bounce_sub_type": "General",
        "bounced_recipients": [
            {
                "email_address": TO,
                "action": "failed",
                "status": "5.1.1",
                "diagnostic_code": f"smtp; {words.removeprefix('Bounced: ')}",
            }
        ],
        "feedback_id": record["facets"]["email_channel"]["mail_event"]["bounce"]["feedback_id"],
        "reporting_mta": "dns; mx.shop.example",
    }
    assert record["attributes"]["feedback"] == "hardbounce"
    mail = record["facets"]["email_channel"]["mail_event"]["mail"]
    assert mail["message_id"] == "m@shop.example"
    assert mail["headers"] == sent["facets"]["email_channel"]["mail_event"]["mail"]["headers"]


def test_the_same_twice_and_what_comes_after_the_last_word_change_nothing(backend):
    letter = Letter(backend)
    assert letter.hears(returned.postfix)
    before = letter.status
    for make in (returned.postfix, returned.gmail, returned.postfix_gave_up):
        assert not letter.hears(make)
    assert not letter.hears(returned.postfix, action="delivered", status="2.0.0", reply="250 Ok")
    assert letter.status == before
    assert letter.told() == [*TAKEN, "_email.hardbounce"]


@pytest.mark.parametrize(
    ("make", "sub_type"),
    [
        (returned.postfix_gave_up, "General"),
        (
            lambda *of: returned.postfix(*of, status="5.2.2", reply="552 5.2.2 Over quota"),
            "MailboxFull",
        ),
        (
            lambda *of: returned.postfix(*of, status="5.7.1", reply="554 5.7.1 Spam"),
            "ContentRejected",
        ),
        (
            lambda *of: returned.postfix(*of, status="5.3.4", reply="552 5.3.4 Too big"),
            "MessageTooLarge",
        ),
        (lambda *of: returned.exim_of_old(*of, reason="retry timeout exceeded"), "Undetermined"),
    ],
)
def test_a_soft_bounce_is_a_failure_and_leaves_the_address(backend, make, sub_type):
    letter = Letter(backend)
    assert letter.hears(make)
    assert letter.status[0] == "PERMANENT_FAILURE"
    assert letter.endpoint == ("ACTIVE", "NONE")
    assert letter.told() == [*TAKEN, "_email.softbounce"]
    bounce = letter.records()[-1]["facets"]["email_channel"]["mail_event"]["bounce"]
    kind = "Undetermined" if sub_type == "Undetermined" else "Transient"
    assert (bounce["bounce_type"], bounce["bounce_sub_type"]) == (kind, sub_type)


def test_a_delay_and_a_delivery_change_nothing_for_the_worse(backend):
    letter = Letter(backend)
    before = letter.status
    assert not letter.hears(returned.postfix_gave_up, action="delayed")
    assert letter.status == before
    arrived = {"status": "2.0.0", "reply": "250 2.0.0 Ok"}
    assert letter.hears(returned.postfix, action="relayed", **arrived)
    assert letter.hears(returned.postfix, action="delivered", **arrived)
    assert letter.status == ("SUCCESSFUL", 200, "Delivered: 250 2.0.0 Ok")
    assert letter.told() == TAKEN, "that the relay took it is told once"
    assert letter.endpoint == ("ACTIVE", "NONE")


def test_a_report_settles_what_nobody_knew(backend):
    letter = Letter(backend, indeterminate("no answer"), permanent(550, "x", fault=None))
    assert letter.row.state == store.State.QUEUED
    arrived = {"action": "delivered", "status": "2.0.0", "reply": "250 2.0.0 Ok"}
    assert letter.hears(returned.postfix, **arrived)
    assert letter.row.state == store.State.DONE
    assert letter.status[0] == "SUCCESSFUL"
    assert letter.told() == ["_email.delivered"]
    backend.clock.move(3600)
    backend.sweep()
    assert (backend.work(), len(backend.adapter.sent)) == (0, 1)


def test_a_complaint_leaves_the_result_and_opts_the_address_out(backend):
    letter = Letter(backend)
    before = letter.status
    assert letter.hears(returned.complaint)
    assert letter.status == before
    assert letter.endpoint == ("ACTIVE", "ALL")
    assert letter.opted_out
    assert letter.told() == [*TAKEN, "_email.complaint"]
    record = letter.records()[-1]
    complaint = record["facets"]["email_channel"]["mail_event"]["complaint"]
    assert complaint.pop("feedback_id")
    assert complaint == {
        "complained_recipients": [{"email_address": TO}],
        "complaint_feedback_type": "abuse",
        "user_agent": "Mail.example-Feedback/1.0",
    }
    assert ("complained of", None) in letter.story()
    # Whoever complained has it; and the same again is not told again.
    for make in (returned.complaint, returned.postfix):
        assert not letter.hears(make)
    assert letter.status == before
    assert letter.told() == [*TAKEN, "_email.complaint"]
    assert letter.endpoint == ("ACTIVE", "ALL")


def test_a_complaint_that_is_heard_again_undoes_no_return(backend):
    letter = Letter(backend)
    letter.hears(returned.complaint)
    endpoint = {"Address": TO, "ChannelType": "EMAIL", "OptOut": "NONE"}
    back = wire.convert(endpoint, wire.EndpointRequest)
    store.update_endpoints(letter.db, backend.application, [(TO, back)])
    assert not letter.hears(returned.complaint)
    assert letter.endpoint == ("ACTIVE", "NONE")


def test_a_complaint_of_what_bounced_before(backend):
    letter = Letter(backend)
    assert letter.hears(returned.postfix)
    assert letter.hears(returned.complaint)
    assert letter.status[0] == "PERMANENT_FAILURE"
    assert letter.opted_out
    assert letter.told() == [*TAKEN, "_email.hardbounce", "_email.complaint"]


def test_who_is_interrupted_and_hears_it_again_does_it_all(backend, monkeypatch):
    letter = Letter(backend)

    def unavailable(*_, **__):
        raise store.Unavailable("", None, OSError())

    for name, make in (("report", returned.postfix), ("complain", returned.complaint)):
        with monkeypatch.context() as patched:
            patched.setattr(store, name, unavailable)
            with pytest.raises(store.Unavailable):
                letter.hears(make)
        assert letter.hears(make)
    assert letter.endpoint == ("INACTIVE", "ALL")


def test_it_touches_its_own_message_and_address_only(backend):
    """A report names whom it likes; only the message's own address is meant."""
    letter, other = Letter(backend), Letter(backend, to="other@example.net")
    forged = returned.postfix(letter.id, other.to)
    assert letter.gets(forged)
    assert letter.status[0] == "PERMANENT_FAILURE"
    assert (letter.endpoint, other.endpoint) == (("ACTIVE", "NONE"), ("ACTIVE", "NONE"))
    assert other.status[0] == "SUCCESSFUL"
    assert letter.gets(returned.complaint(letter.id, other.to, redacted=False))
    assert (letter.opted_out, other.opted_out) == (True, False)


def test_what_is_about_no_letter_of_ours(backend):
    text = Letter(backend, to="+14255550199", channel="SMS")
    for message in (uuid4(), text.id):
        for make in (returned.postfix, returned.complaint):
            heard = bounces.receive(backend.runtime, make(message))
            assert (heard.message, heard.news) == (None, False)
    assert text.status[0] == "SUCCESSFUL"


def test_when_too_many_look_dead_it_is_rather_us(backend, caplog):
    """Each bounce is heard by a process of its own: the ledger knows of the others."""
    letters = [Letter(backend, to=f"u{n}@example.net") for n in range(15)]
    for letter in letters:
        assert letter.hears(returned.postfix)
        assert letter.status[0] == "PERMANENT_FAILURE"
    retired = [letter.endpoint[0] == "INACTIVE" for letter in letters]
    assert retired == [True] * 11 + [False] * 4, "up to ten before it are no reason for doubt"
    assert "none is deactivated until its relay was looked at" in caplog.text


def test_others_do_not_count_among_them(backend):
    for number in range(12):
        Letter(
            backend, permanent(400, "gone", fault=None), to=f"+1425555{number:04}", channel="SMS"
        )
    letter = Letter(backend)
    handed = store.find_handed(letter.db, letter.id)
    assert store.refused_before(letter.db, handed, most=lifecycle.WINDOW) == [False]


def test_without_a_stream_nothing_is_told(database_url):
    backend = Backend(database_url)
    try:
        letter = Letter(backend)
        assert letter.hears(returned.postfix)
        assert letter.told() == []
    finally:
        backend.close()
