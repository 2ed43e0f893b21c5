"""The records against the samples of Pinpoint's developer guide, key by key."""

import dataclasses
import json

import pytest

from adapters.contract import DeliveryStatus, Fault, Outcome, permanent, successful, temporary
from adapters.messages import ApnsPush, Email, Part, RawEmail, Sms
from worker import event_records
from worker.event_records import Sent, of_outcome

AT = 1_564_618_622_690
SENT_AT = 1_564_618_621_380
SMS = Sent(
    id="0190a2b4-0000-7000-8000-000000000001",
    application_id="a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
    request_id="565d4425-4b3a-11e9-b0a5-example",
    channel="SMS",
    address="+14255550199",
    endpoint_id=None,
    accepted_at=SENT_AT,
    account="123456789012",
    message=Sms(body="Hello", origination_number="+12065550142"),
)
EMAIL = dataclasses.replace(
    SMS,
    channel="EMAIL",
    address="recipient@example.com",
    sender="sender@example.com",
    server="a8-53.smtp-out.amazonses.com",
    message=Email(from_address=None, subject=Part(data="Amazon Pinpoint Test")),
)
SAMPLE_SMS = {
    "event_type": "_SMS.BUFFERED",
    "event_timestamp": AT,
    "arrival_timestamp": AT,
    "event_version": "3.1",
    "application": {"app_id": "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", "sdk": {}},
    "client": {"client_id": "123456789012"},
    "device": {"platform": {}},
    "session": {},
    "attributes": {
        "sender_request_id": "565d4425-4b3a-11e9-b0a5-example",
        "origination_phone_number": "+12065550142",
        "destination_phone_number": "+14255550199",
        "record_status": "PENDING",
        "iso_country_code": "US",
        "treatment_id": "0",
        "number_of_message_parts": "1",
        "message_id": "1111-2222-3333",
        "message_type": "Transactional",
    },
    "metrics": {},
    "awsAccountId": "123456789012",
}
MAIL = {
    "message_id": "0200000073rnbmd1",
    "message_send_timestamp": SENT_AT,
    "from_address": "sender@example.com",
    "destination": ["recipient@example.com"],
    "headers_truncated": False,
    "headers": [
        {"name": "From", "value": "sender@example.com"},
        {"name": "To", "value": "recipient@example.com"},
        {"name": "Subject", "value": "Amazon Pinpoint Test"},
        {"name": "MIME-Version", "value": "1.0"},
    ],
    "common_headers": {
        "from": "sender@example.com",
        "to": ["recipient@example.com"],
        "subject": "Amazon Pinpoint Test",
    },
}


def sample_email(event_type, feedback, inner):
    return {
        "event_type": event_type,
        "event_timestamp": SENT_AT,
        "arrival_timestamp": AT,
        "event_version": "3.1",
        "application": {"app_id": "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", "sdk": {}},
        "client": {"client_id": EMAIL.id},
        "device": {"platform": {}},
        "session": {},
        "attributes": {"feedback": feedback},
        "client_context": {"custom": {"legacy_identifier": EMAIL.application_id}},
        "awsAccountId": "123456789012",
        "facets": {"email_channel": {"mail_event": {"mail": MAIL, **inner}}},
    }


def of(sent, outcome):
    return of_outcome(sent, outcome, at=AT)


def types(records):
    return [one["event_type"] for one in records]


def test_a_text_that_the_provider_took_is_buffered():
    assert of(SMS, successful(message_id="1111-2222-3333")) == [SAMPLE_SMS]


def test_a_receipt_is_told_in_the_same_words():
    record = event_records.of_sms(SMS, "_SMS.SUCCESS", "DELIVERED", "1111-2222-3333", at=AT)
    assert record == SAMPLE_SMS | {
        "event_type": "_SMS.SUCCESS",
        "attributes": SAMPLE_SMS["attributes"] | {"record_status": "DELIVERED"},
    }


@pytest.mark.parametrize(
    ("outcome", "record_status"),
    [
        (permanent(400, "no such number", fault=Fault.RECIPIENT, dead_address=True), "INVALID"),
        (permanent(400, "switched off", fault=Fault.RECIPIENT), "UNREACHABLE"),
        (permanent(400, "too long", fault=Fault.MESSAGE), "INVALID_MESSAGE"),
        (permanent(401, "who are you", fault=Fault.CREDENTIALS), "UNKNOWN"),
        (permanent(500, "attempts used up", fault=Fault.PROVIDER), "UNKNOWN"),
        (Outcome(status=DeliveryStatus.OPT_OUT, status_code=400), "OPTED_OUT"),
        (Outcome(status=DeliveryStatus.TIMEOUT, status_code=408), "TTL_EXPIRED"),
        (Outcome(status=DeliveryStatus.UNKNOWN_FAILURE, status_code=500), "UNKNOWN"),
    ],
)
def test_a_text_that_failed_says_why_in_pinpoints_words(outcome, record_status):
    (record,) = of(SMS, outcome)
    assert record["event_type"] == "_SMS.FAILURE"
    assert record["attributes"]["record_status"] == record_status
    assert record["attributes"]["message_id"] == SMS.id, "the provider gave none"


def test_what_a_text_says_of_itself():
    sms = Sms(body="ж" * 71, promotional=True)
    sent = dataclasses.replace(
        SMS, message=sms, sender="ACME", endpoint_id="e1", context={"order": "7", "ø": '"'}
    )
    (record,) = of(sent, successful(message_id="m"))
    assert record["client"] == {"client_id": "e1"}
    attributes = record["attributes"]
    assert attributes["number_of_message_parts"] == "2"
    assert attributes["message_type"] == "Promotional"
    assert attributes["origination_phone_number"] == "ACME"
    assert json.loads(attributes["customer_context"]) == {"order": "7", "ø": '"'}
    assert all(isinstance(one, str) for one in attributes.values())


def test_what_is_not_known_is_left_out():
    sent = dataclasses.replace(SMS, message=None, address="12345")
    (record,) = of(sent, Outcome(status=DeliveryStatus.TIMEOUT, status_code=408))
    assert record["attributes"].keys() == SAMPLE_SMS["attributes"].keys() - {
        "origination_phone_number",
        "iso_country_code",
        "number_of_message_parts",
    }


def test_a_letter_that_was_taken_is_sent_and_delivered():
    words = "250 ok:  Message 82080542 accepted"
    assert of(EMAIL, successful(message_id="0200000073rnbmd1", text=words)) == [
        sample_email("_email.send", "received", {"send": {}}),
        sample_email(
            "_email.delivered",
            "delivered",
            {
                "delivery": {
                    "smtp_response": words,
                    "reporting_mta": "a8-53.smtp-out.amazonses.com",
                    "recipients": ["recipient@example.com"],
                    "processing_time_millis": 1310,
                }
            },
        ),
    ]


@pytest.mark.parametrize(
    ("outcome", "told", "bounce"),
    [
        (
            permanent(550, "5.1.1 unknown", fault=Fault.RECIPIENT, dead_address=True),
            ["_email.send", "_email.hardbounce"],
            ("Permanent", "General"),
        ),
        (
            Outcome(status=DeliveryStatus.OPT_OUT, status_code=400),
            ["_email.send", "_email.hardbounce"],
            ("Permanent", "Suppressed"),
        ),
        (
            permanent(451, "attempts used up", fault=Fault.PROVIDER),
            ["_email.send", "_email.softbounce"],
            ("Transient", "General"),
        ),
        (temporary(503, "later"), ["_email.send", "_email.softbounce"], ("Transient", "General")),
        (
            Outcome(status=DeliveryStatus.TIMEOUT, status_code=408),
            ["_email.send", "_email.softbounce"],
            ("Transient", "General"),
        ),
        (permanent(400, "no subject", fault=Fault.MESSAGE), ["_email.rejected"], None),
        (permanent(535, "password", fault=Fault.CREDENTIALS), ["_email.rejected"], None),
    ],
)
def test_a_letter_that_was_not_bounces_or_is_rejected(outcome, told, bounce):
    records = of(EMAIL, outcome)
    assert types(records) == told
    event = records[-1]["facets"]["email_channel"]["mail_event"]
    assert records[-1]["attributes"]["feedback"] == told[-1].removeprefix("_email.")
    if bounce is None:
        assert event["reject"] == {"reason": outcome.status_message}
        return
    assert (event["bounce"]["bounce_type"], event["bounce"]["bounce_sub_type"]) == bounce
    (recipient,) = event["bounce"]["bounced_recipients"]
    assert recipient["email_address"] == EMAIL.address
    assert recipient["diagnostic_code"] == f"smtp; {outcome.status_message}"


def test_context_is_in_both_places_of_a_letter():
    record = of(dataclasses.replace(EMAIL, context={"order": "7"}), successful())[0]
    assert record["attributes"] == {"order": "7", "feedback": "received"}
    assert record["client_context"]["custom"]["order"] == "7"


def test_headers_of_a_raw_letter_are_its_own():
    data = (
        b"From: A <a@example.com>\r\nTo: b@example.com\r\nSubject: Hi\r\nX-A: 1\r\n\r\nFrom: body"
    )
    record = of(dataclasses.replace(EMAIL, message=RawEmail(data=data)), successful())[0]
    mail = record["facets"]["email_channel"]["mail_event"]["mail"]
    assert [one["name"] for one in mail["headers"]] == ["From", "To", "Subject", "X-A"]
    assert mail["from_address"] == "A <a@example.com>"
    assert mail["common_headers"]["subject"] == "Hi"


def test_headers_that_go_on_and_on_are_cut():
    email = Email(
        from_address="a@example.com",
        subject=Part(data="Hi"),
        headers=tuple((f"X-{n}", "x" * 870) for n in range(15)),
    )
    record = of(dataclasses.replace(EMAIL, message=email), successful())[0]
    mail = record["facets"]["email_channel"]["mail_event"]["mail"]
    assert mail["headers_truncated"] is True
    assert len(json.dumps(mail["headers"])) < 12_000
    assert mail["common_headers"]["subject"] == "Hi"


@pytest.mark.parametrize(
    ("channel", "outcome", "event_type"),
    [
        ("GCM", successful(message_id="m"), "_PUSH.SUCCESS"),
        ("APNS", permanent(410, "gone", fault=Fault.RECIPIENT), "_PUSH.FAILURE"),
        ("VOICE", successful(message_id="m"), "_VOICE.BUFFERED"),
        ("CUSTOM", temporary(503, "down"), "_CUSTOM.FAILURE"),
    ],
)
def test_the_other_channels_have_events_of_our_own(channel, outcome, event_type):
    sent = dataclasses.replace(
        SMS, channel=channel, address="token", message=ApnsPush(payload={}), context={"a": "b"}
    )
    (record,) = of(sent, outcome)
    assert record.keys() == SAMPLE_SMS.keys()
    assert record["event_type"] == event_type
    assert record["attributes"] == {
        "sender_request_id": SMS.request_id,
        "delivery_type": channel,
        "destination": "token",
        "record_status": "PENDING" if "BUFFERED" in event_type else outcome.status,
        "status_code": str(outcome.status_code),
        "status_message": outcome.status_message,
        "message_id": outcome.message_id or SMS.id,
        "customer_context": '{"a":"b"}',
    }


def test_a_record_can_always_be_written():
    (record,) = of(
        dataclasses.replace(SMS, channel="GCM"), permanent(400, "\ud800\0", fault=Fault.MESSAGE)
    )
    assert json.loads(event_records.encode(record))["attributes"]["status_message"] == "?\0"


@pytest.mark.parametrize(
    ("arn", "account", "stream"),
    [
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/x.y", "123456789012", "x.y"),
        ("arn:aws:firehose:eu-west-1:210987654321:deliverystream/z", "210987654321", "z"),
        ("", event_records.NOBODY, ""),
    ],
)
def test_what_an_arn_says(arn, account, stream):
    assert event_records.account_of(arn) == account
    assert event_records.stream_of(arn) == stream
