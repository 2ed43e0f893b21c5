"""What Twilio's receipts come to, and that a receipt which Twilio did not sign is none."""

import re
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from adapters import twilio_receipts
from adapters.contract import DeliveryStatus, Fault, Forged
from adapters.doubles import twilio
from adapters.twilio_sms import TwilioSms
from adapters.twilio_voice import TwilioVoice

SETTINGS = {
    "account_sid": twilio.ACCOUNT_SID,
    "auth_token": twilio.AUTH_TOKEN,
    "status_callback": "https://cb.example/receipts?app=7",
}
URL = "https://cb.example/receipts?app=7&message=0f8d"
SUCCESSFUL, UNKNOWN = DeliveryStatus.SUCCESSFUL, DeliveryStatus.UNKNOWN_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE


def posted(fields, *, url=URL, token=twilio.AUTH_TOKEN):
    """A POST as Twilio makes it: headers and body."""
    headers = {"x-twilio-signature": twilio.signature(url, fields, token)}
    return headers, urlencode(fields).encode()


@pytest.mark.parametrize("status", ["queued", "sending", "accepted", "scheduled", "", "nonsense"])
def test_while_a_text_waits_nothing_is_said(status):
    assert twilio_receipts.of_message({"MessageStatus": status, "MessageSid": "SM1"}) is None


@pytest.mark.parametrize(
    ("status", "word", "final"),
    [
        ("sent", "SUCCESSFUL", False),
        ("delivered", "DELIVERED", True),
        ("read", "DELIVERED", True),
        ("partially_delivered", "DELIVERED", True),
    ],
)
def test_a_text_that_arrives(status, word, final):
    said = twilio_receipts.of_message({"MessageStatus": status, "MessageSid": "SM1"})
    assert (said.record_status, said.final) == (word, final)
    assert (said.outcome.status, said.outcome.message_id) == (SUCCESSFUL, "SM1")
    assert said.outcome.status_message == status


# Twilio's code; what it comes to, whose fault, whether the number is dead, and Pinpoint's word.
FAILURES = [
    ("21610", DeliveryStatus.OPT_OUT, Fault.RECIPIENT, False, "OPTED_OUT"),
    ("63014", DeliveryStatus.OPT_OUT, Fault.RECIPIENT, False, "OPTED_OUT"),
    ("30001", TEMPORARY, Fault.PROVIDER, False, "UNKNOWN"),
    ("30002", PERMANENT, Fault.CREDENTIALS, False, "BLOCKED"),
    ("30003", TEMPORARY, Fault.RECIPIENT, False, "UNREACHABLE"),
    ("30004", PERMANENT, Fault.RECIPIENT, False, "BLOCKED"),
    ("30005", PERMANENT, Fault.RECIPIENT, True, "INVALID"),
    ("30006", PERMANENT, Fault.RECIPIENT, True, "CARRIER_UNREACHABLE"),
    ("30007", PERMANENT, Fault.MESSAGE, False, "CARRIER_BLOCKED"),
    ("30010", PERMANENT, Fault.MESSAGE, False, "MAX_PRICE_EXCEEDED"),
    ("30011", PERMANENT, Fault.MESSAGE, False, "INVALID_MESSAGE"),
    ("30012", PERMANENT, Fault.MESSAGE, False, "INVALID_MESSAGE"),
    ("30022", DeliveryStatus.THROTTLED, Fault.PROVIDER, False, "CARRIER_BLOCKED"),
    ("30023", DeliveryStatus.THROTTLED, Fault.PROVIDER, False, "CARRIER_BLOCKED"),
    ("30027", DeliveryStatus.THROTTLED, Fault.PROVIDER, False, "CARRIER_BLOCKED"),
    ("30410", TEMPORARY, Fault.PROVIDER, False, "UNKNOWN"),
    ("30500", TEMPORARY, Fault.PROVIDER, False, "UNKNOWN"),
    ("30032", PERMANENT, Fault.CREDENTIALS, False, "BLOCKED"),
    ("30034", PERMANENT, Fault.CREDENTIALS, False, "BLOCKED"),
    ("30035", PERMANENT, Fault.CREDENTIALS, False, "BLOCKED"),
    ("30036", DeliveryStatus.TIMEOUT, Fault.PROVIDER, False, "TTL_EXPIRED"),
    ("30008", UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
    ("99999", UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
    ("", UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
    ("<b>", UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
    ("-30005", UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
    ("9" * 5000, UNKNOWN, Fault.PROVIDER, False, "UNKNOWN"),
]


@pytest.mark.parametrize("status", ["undelivered", "failed", "canceled"])
@pytest.mark.parametrize(("code", "expected", "fault", "dead", "word"), FAILURES)
def test_a_text_that_does_not(status, code, expected, fault, dead, word):
    said = twilio_receipts.of_message(
        {"MessageStatus": status, "MessageSid": "SM1", "ErrorCode": code}
    )
    outcome = said.outcome
    assert (outcome.status, outcome.fault, outcome.dead_address) == (expected, fault, dead)
    assert (said.record_status, said.final) == (word, True)
    shown = f"{status} (Twilio {code})" if re.fullmatch("[0-9]{1,6}", code) else status
    assert outcome.status_message == shown


def test_every_code_is_tested():
    assert {str(code) for code in twilio_receipts.BY_CODE} <= {one[0] for one in FAILURES}


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", ""])
def test_while_a_call_goes_on_nothing_is_said(status):
    assert twilio_receipts.of_call({"CallStatus": status, "CallSid": "CA1"}) is None


@pytest.mark.parametrize(
    ("fields", "expected", "dead", "word"),
    [
        ({"CallStatus": "completed"}, SUCCESSFUL, False, "DELIVERED"),
        ({"CallStatus": "busy"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "no-answer"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "canceled"}, UNKNOWN, False, "UNKNOWN"),
        ({"CallStatus": "failed"}, UNKNOWN, False, "UNKNOWN"),
        ({"CallStatus": "failed", "SipResponseCode": "404"}, PERMANENT, True, "INVALID"),
        ({"CallStatus": "failed", "SipResponseCode": "484"}, PERMANENT, True, "INVALID"),
        ({"CallStatus": "failed", "SipResponseCode": "604"}, PERMANENT, True, "INVALID"),
        ({"CallStatus": "failed", "SipResponseCode": "480"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "failed", "SipResponseCode": "486"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "failed", "SipResponseCode": "487"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "failed", "SipResponseCode": "503"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "failed", "SipResponseCode": "600"}, TEMPORARY, False, "UNREACHABLE"),
        ({"CallStatus": "failed", "SipResponseCode": "403"}, PERMANENT, False, "BLOCKED"),
        ({"CallStatus": "failed", "SipResponseCode": "603"}, PERMANENT, False, "BLOCKED"),
        ({"CallStatus": "failed", "SipResponseCode": "500"}, UNKNOWN, False, "UNKNOWN"),
    ],
)
def test_how_a_call_ended(fields, expected, dead, word):
    said = twilio_receipts.of_call({"CallSid": "CA1", **fields})
    assert (said.outcome.status, said.outcome.dead_address) == (expected, dead)
    assert (said.record_status, said.final, said.outcome.message_id) == (word, True, "CA1")


def test_a_genuine_receipt_is_read():
    text = posted({"MessageStatus": "delivered", "MessageSid": "SM1", "To": "+1 é&="})
    assert TwilioSms.receipt(SETTINGS, "0f8d", *text).record_status == "DELIVERED"
    call = posted({"CallStatus": "busy", "CallSid": "CA1"})
    assert TwilioVoice.receipt(SETTINGS, "0f8d", *call).record_status == "UNREACHABLE"


def test_with_an_api_key_the_accounts_token_is_a_setting_of_its_own():
    settings = {**SETTINGS, "callback_token": "the account's", "auth_token": None}
    good = posted({"MessageStatus": "sent", "MessageSid": "SM1"}, token="the account's")
    assert TwilioSms.receipt(settings, "0f8d", *good).record_status == "SUCCESSFUL"
    with pytest.raises(ValueError, match="callback_token is of no use without status_callback"):
        TwilioSms(account_sid=twilio.ACCOUNT_SID, auth_token="t", callback_token="t")


def test_the_doubles_signature_is_that_of_twilios_own_library():
    fields = {"MessageStatus": "sent", "To": "+1é", "Body": ""}
    expected = RequestValidator(twilio.AUTH_TOKEN).compute_signature(URL, fields)
    assert twilio.signature(URL, fields) == expected


FIELDS = {"MessageStatus": "delivered", "MessageSid": "SM1"}
GENUINE = posted(FIELDS)


@pytest.mark.parametrize(
    ("real", "split"),
    [
        (
            {"ApiVersion": "2010", "ErrorCode": "30005", "MessageStatus": "failed"},
            {"ApiVersion": "2010ErrorCode30005", "MessageStatus": "failed"},
        ),
        (
            {"ErrorCode": "30005", "MessageStatus": "failed"},
            {"E": "rrorCode30005", "MessageStatus": "failed"},
        ),
        ({"From": "1", "MessageStatus": "failed"}, {"From": "1MessageStatusfailed"}),
    ],
)
def test_fields_that_run_into_each_other_are_forged(real, split):
    """Twilio's signature is the same for both."""
    assert twilio.signature(URL, real) == twilio.signature(URL, split)
    assert TwilioSms.receipt(SETTINGS, "0f8d", *posted(real)) is not None
    with pytest.raises(Forged):
        TwilioSms.receipt(SETTINGS, "0f8d", *posted(split))


@pytest.mark.parametrize("name", ["SmsMessageSid", "ParentCallSid", "MessagingServiceSid"])
def test_fields_that_twilio_has_too_do_no_harm(name):
    said = TwilioSms.receipt(
        SETTINGS, "0f8d", *posted({"MessageStatus": "sent", "MessageSid": "SM1", name: "SM1"})
    )
    assert said.outcome.message_id == "SM1"


def test_a_field_that_is_there_twice_is_forged():
    headers, body = posted({"MessageStatus": "failed"})
    with pytest.raises(Forged):
        TwilioSms.receipt(SETTINGS, "0f8d", headers, b"MessageStatus=sent&" + body)


@pytest.mark.parametrize(
    ("settings", "message", "headers", "body"),
    [
        (SETTINGS, "0f8e", *GENUINE),
        (SETTINGS, "0f8d", {}, GENUINE[1]),
        (SETTINGS, "0f8d", {"x-twilio-signature": ""}, GENUINE[1]),
        (SETTINGS, "0f8d", {"x-twilio-signature": "é" * 28}, GENUINE[1]),
        (SETTINGS, "0f8d", GENUINE[0], GENUINE[1] + b"&ErrorCode=30005"),
        (SETTINGS, "0f8d", GENUINE[0], GENUINE[1].replace(b"delivered", b"failed")),
        (SETTINGS, "0f8d", GENUINE[0], b""),
        (SETTINGS, "0f8d", GENUINE[0], b"\xff\xfe"),
        (SETTINGS, "0f8d", GENUINE[0], b"&".join(b"a%d=1" % one for one in range(300))),
        (SETTINGS, "0f8d", *posted(FIELDS, token="another account's")),
        (SETTINGS, "0f8d", *posted(FIELDS, url="https://cb.example/receipts?message=0f8d")),
        ({**SETTINGS, "status_callback": "https://other.example/"}, "0f8d", *GENUINE),
        ({**SETTINGS, "status_callback": None}, "0f8d", *GENUINE),
        ({**SETTINGS, "auth_token": None}, "0f8d", *posted(FIELDS, token="")),
    ],
)
def test_what_twilio_did_not_sign_is_forged(settings, message, headers, body):
    with pytest.raises(Forged):
        TwilioSms.receipt(settings, message, headers, body)
