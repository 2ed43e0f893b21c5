"""TwilioSms against a double of Twilio on loopback."""

from __future__ import annotations

import asyncio
import email.utils
import time

import pytest

from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.doubles import twilio
from adapters.doubles.stage import Answer as Said
from adapters.gsm import parts
from adapters.messages import Sms, Voice
from adapters.twilio_sms import BY_CODE, TwilioSms
from tests.adapters.twilio_scenes import FROM, TO, Scenes, TwilioContract

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE
OPT_OUT = DeliveryStatus.OPT_OUT

SERVICE = "MG" + 32 * "0"
NO_SENDER = "The provided number does not exist or does not belong to the account"


def sms(url, **settings):
    if not settings.keys() & {"sender_id", "messaging_service_sid"}:
        settings = {"origination_number": FROM, **settings}
    return TwilioSms(
        account_sid=twilio.ACCOUNT_SID, auth_token=twilio.AUTH_TOKEN, base_url=url, **settings
    )


def delivery(message=None, *, to=TO, delivery_id="0f8d", timeout=20.0, age=0.0):
    return Delivery(
        id=delivery_id,
        application_id="app",
        request_id="request",
        channel=ChannelType.SMS,
        address=to,
        message=message or Sms(body="Your code is 1234"),
        timeout=timeout,
        age=age,
    )


SCENES = Scenes(sms, delivery)
play, sent, outcome_of = SCENES.play, SCENES.sent, SCENES.outcome_of


def test_what_is_accepted_has_pinpoints_words_and_twilios_sid():
    async def scene(adapter, double):
        outcome = await adapter.send(delivery())
        return outcome, double.taken["Messages"][0]["sid"]

    outcome, sid = play(scene)
    assert outcome == Outcome(
        status=SUCCESSFUL, status_code=200, status_message=f"MessageId: {sid}", message_id=sid
    )


def test_the_request_is_the_text_between_two_numbers():
    assert sent() == {"To": TO, "From": FROM, "Body": "Your code is 1234"}


def test_what_pinpoint_has_and_twilio_has_not_is_left_out():
    message = Sms(body="Hi", promotional=True, keyword="K", entity_id="E", template_id="T")
    assert sent(message) == {"To": TO, "From": FROM, "Body": "Hi"}


def test_the_settings_go_along():
    fields = sent(
        status_callback="https://cb.example/twilio?app=7",
        validity_seconds=300,
        origination_number=FROM,
    )
    assert fields["StatusCallback"] == "https://cb.example/twilio?app=7&message=0f8d"
    assert fields["ValidityPeriod"] == "300"


@pytest.mark.parametrize(
    ("setting", "time_to_live", "age", "validity"),
    [
        (None, 600, 0.0, "600"),
        (None, 600, 12.7, "588"),
        (300, 600, 299.0, "300"),
        (300, 600, 301.0, "299"),
        (None, 86_400, 0.0, "36000"),
    ],
)
def test_twilio_is_told_for_how_long_a_message_is_good(setting, time_to_live, age, validity):
    async def scene(adapter, double):
        await adapter.send(delivery(Sms(body="Hi", time_to_live=time_to_live), age=age))
        ((_, _, fields),) = double.requests
        return fields["ValidityPeriod"]

    assert play(scene, validity_seconds=setting) == validity


def test_a_message_that_is_too_old_is_not_sent():
    async def scene(adapter, double):
        outcome = await adapter.send(delivery(Sms(body="Hi", time_to_live=600), age=600.0))
        return outcome.status, double.requests

    assert play(scene) == (DeliveryStatus.TIMEOUT, [])


def test_a_text_does_not_show_itself():
    assert "1234" not in repr(delivery())


def test_a_callback_without_a_query_gets_one():
    fields = sent(status_callback="https://cb.example/twilio")
    assert fields["StatusCallback"] == "https://cb.example/twilio?message=0f8d"


def test_media_goes_along():
    message = Sms(body="Look", media_url="https://cdn.example/cat.png?size=2")
    assert sent(message)["MediaUrl"] == "https://cdn.example/cat.png?size=2"


@pytest.mark.parametrize(
    ("message", "settings", "expected"),
    [
        ({"origination_number": "+1 425-555-0111"}, {}, {"From": "+14255550111"}),
        ({"origination_number": "72974"}, {}, {"From": "72974"}),
        ({"origination_number": "72974", "sender_id": "ACME"}, {}, {"From": "72974"}),
        ({"sender_id": "ACME 24"}, {}, {"From": "ACME 24"}),
        ({"sender_id": "ACME"}, {"messaging_service_sid": SERVICE}, {"From": "ACME"}),
        ({}, {"messaging_service_sid": SERVICE}, {"MessagingServiceSid": SERVICE}),
        ({}, {"sender_id": "Shop"}, {"From": "Shop"}),
        ({}, {"origination_number": "72974"}, {"From": "72974"}),
    ],
)
def test_the_sender_is_the_messages_own_or_else_the_channels(message, settings, expected):
    fields = sent(Sms(body="Hi", **message), **settings)
    assert fields == {"To": TO, "Body": "Hi", **expected}


@pytest.mark.parametrize(
    ("to", "settings", "expected"),
    [
        ("+1 425-555-0199", {}, "+14255550199"),
        ("tel:+1-425-555-0199", {}, "+14255550199"),
        ("+447860019066", {}, "+447860019066"),
        ("425 555 0199", {"default_country": "US"}, "+14255550199"),
        ("07860 019066", {"default_country": "GB"}, "+447860019066"),
        ("+14255550199", {"default_country": "GB"}, "+14255550199"),
    ],
)
def test_numbers_are_written_as_twilio_wants_them(to, settings, expected):
    assert sent(to=to, **settings)["To"] == expected


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("", {}),
        ("4255550199", {}),
        ("+15550100", {}),
        ("+999123", {}),
        ("somebody@example.org", {}),
        ("+1 425 555 0199 ext. 5", {}),
        ("+1 800 FLOWERS", {}),
        ("call +14255550199", {}),
        ("+14255550199\n", {}),
        ("whatsapp:+14255550199", {}),
        (TO, {"sender_id": "12345"}),
        (TO, {"sender_id": "much too long for one"}),
        (TO, {"sender_id": "Café"}),
        (TO, {"origination_number": "ACME"}),
        (TO, {"origination_number": "whatsapp:+14255550100"}),
        (TO, {"media_url": "http://cdn.example/cat.png"}),
        (TO, {"media_url": "https://me:pa55@cdn.example/cat.png"}),
        (TO, {"media_url": "https:///cat.png"}),
        (TO, {"body": "\ud800"}),
    ],
)
def test_what_can_not_be_sent_is_refused_here(to, message):
    async def scene(adapter, double):
        said = await adapter.send(delivery(Sms(**{"body": "Hi", **message}), to=to))
        return said, double.requests

    outcome, requests = play(scene)
    assert requests == []
    assert (outcome.status, outcome.status_code) == (PERMANENT, 400)
    assert outcome.fault is (Fault.MESSAGE if message else Fault.RECIPIENT)
    assert not outcome.dead_address


@pytest.mark.parametrize("message", [Sms(body="Hi"), Voice(body="Hi")], ids=["no sender", "a call"])
def test_what_is_not_for_this_channel_is_refused_here(message):
    async def go():
        adapter = TwilioSms(account_sid=twilio.ACCOUNT_SID, auth_token="t0ken")
        return await adapter.send(delivery(message))

    outcome = asyncio.run(go())
    assert (outcome.status, outcome.fault) == (PERMANENT, Fault.MESSAGE)


CREDENTIALS, MESSAGE = (PERMANENT, Fault.CREDENTIALS), (PERMANENT, Fault.MESSAGE)
DEAD = (PERMANENT, Fault.RECIPIENT)
SLOWER = (THROTTLED, Fault.PROVIDER)
TABLE = {
    20003: CREDENTIALS,
    20005: CREDENTIALS,
    20008: CREDENTIALS,
    10004: SLOWER,
    14107: SLOWER,
    20429: SLOWER,
    21211: DEAD,
    21212: CREDENTIALS,
    21215: MESSAGE,
    21216: MESSAGE,
    21217: DEAD,
    21408: MESSAGE,
    21602: MESSAGE,
    21603: MESSAGE,
    21604: MESSAGE,
    21606: CREDENTIALS,
    21608: CREDENTIALS,
    21610: (OPT_OUT, Fault.RECIPIENT),
    21611: SLOWER,
    21612: MESSAGE,
    21614: DEAD,
    21617: MESSAGE,
    21619: MESSAGE,
    21635: DEAD,
    21659: CREDENTIALS,
    21660: CREDENTIALS,
    21701: CREDENTIALS,
    21702: CREDENTIALS,
    21703: CREDENTIALS,
    21704: MESSAGE,
    21705: MESSAGE,
    21706: MESSAGE,
    21707: MESSAGE,
    21708: MESSAGE,
    21709: MESSAGE,
    21710: MESSAGE,
    21711: MESSAGE,
    29999: MESSAGE,
}


@pytest.mark.parametrize(("code", "expected"), TABLE.items())
def test_each_code_of_the_table(code, expected):
    outcome = outcome_of(twilio.refusal(code, "Twilio's words"))
    assert (outcome.status, outcome.fault) == expected
    assert (outcome.status_code, outcome.indeterminate) == (400, False)
    assert outcome.dead_address is (expected == DEAD)


def test_no_code_is_left_out():
    assert BY_CODE.keys() == TABLE.keys() - {29999}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, (UNKNOWN, Fault.PROVIDER, False)),
        (400, (PERMANENT, Fault.MESSAGE, False)),
        (401, (PERMANENT, Fault.CREDENTIALS, False)),
        (403, (PERMANENT, Fault.CREDENTIALS, False)),
        (404, (PERMANENT, Fault.CREDENTIALS, False)),
        (429, (THROTTLED, Fault.PROVIDER, False)),
        (499, (PERMANENT, Fault.MESSAGE, False)),
        (500, (UNKNOWN, Fault.PROVIDER, True)),
        (502, (UNKNOWN, Fault.PROVIDER, True)),
        (503, (UNKNOWN, Fault.PROVIDER, True)),
        (504, (UNKNOWN, Fault.PROVIDER, True)),
    ],
)
def test_without_a_code_the_status_decides(status, expected):
    outcome = outcome_of(Said(status=status, body="<html>Sorry</html>"))
    assert (outcome.status, outcome.fault, outcome.indeterminate) == expected
    assert (outcome.status_code, outcome.status_message) == (status, f"HTTP {status}")


@pytest.mark.parametrize("code", [20500, 20503, 21211])
def test_what_failed_at_twilio_may_have_been_sent_whatever_the_code(code):
    outcome = outcome_of(twilio.refusal(code, "Internal error", status=500))
    assert (outcome.status, outcome.indeterminate) == (UNKNOWN, True)


@pytest.mark.parametrize("body", ["<html>", "[]", {"sid": None}, {"sid": 7}], ids=str)
def test_an_acceptance_that_can_not_be_read_is_indeterminate(body):
    outcome = outcome_of(Said(status=201, body=body))
    assert (outcome.status, outcome.indeterminate) == (UNKNOWN, True)


def test_an_opted_out_number_has_pinpoints_words():
    outcome = outcome_of(twilio.refusal(21610, f"Attempt to send to unsubscribed {TO}"))
    assert outcome == Outcome(
        status=OPT_OUT,
        status_code=400,
        status_message="Destination phone number opted out",
        fault=Fault.RECIPIENT,
    )


@pytest.mark.parametrize("code", [21212, 21606, 21659, 21660])
def test_a_wrong_sender_is_the_fault_of_who_named_it(code):
    said = twilio.refusal(code, "The From number is not yours")
    channels = outcome_of(said)
    messages = outcome_of(said, Sms(body="Hi", origination_number="+14255550111"))
    assert (channels.fault, channels.status_message) == (Fault.CREDENTIALS, NO_SENDER)
    assert (messages.fault, messages.status_message) == (Fault.MESSAGE, NO_SENDER)


@pytest.mark.parametrize(
    ("header", "expected"), [(None, None), ("17", 17.0), ("soon", None)], ids=str
)
def test_a_throttle_tells_how_long_to_wait(header, expected):
    headers = {"Retry-After": header} if header else {}
    said = twilio.refusal(20429, "Too many requests", status=429, headers=headers)
    outcome = outcome_of(said)
    assert (outcome.status, outcome.status_code) == (THROTTLED, 429)
    assert outcome.retry_after == expected
    assert outcome.status_message == "Too many requests (Twilio 20429)"


def test_twilios_words_are_shown_without_what_they_repeat():
    words = f"To {TO} (1 (425) 555-0199, {TO[1:]}) from {FROM} said Your code is 1234\nwith "
    outcome = outcome_of(twilio.refusal(21602, words + twilio.AUTH_TOKEN))
    assert outcome.status_message == "To *** (***, ***) from *** said *** with *** (Twilio 21602)"


def test_a_number_at_the_cut_is_not_shown_in_part():
    outcome = outcome_of(twilio.refusal(21602, "x" * 495 + " +4930123456789"))
    assert outcome.status_message == "x" * 495 + " *** (Twilio 21602)"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("+15005550001", (PERMANENT, True)),
        ("+15005550002", (PERMANENT, False)),
        ("+15005550003", (PERMANENT, False)),
        ("+15005550004", (OPT_OUT, False)),
        ("+15005550009", (PERMANENT, True)),
        ("+15005550010", (SUCCESSFUL, False)),
    ],
)
def test_twilios_own_test_numbers(to, expected):
    async def scene(adapter, double):
        return await adapter.send(delivery(to=to))

    outcome = play(scene)
    assert (outcome.status, outcome.dead_address) == expected
    assert to[1:] not in repr(outcome)


def test_find_tells_what_a_lost_answer_said():
    async def scene(adapter, double):
        double.script.say(TO, Said(raw=b""))
        lost = await adapter.send(delivery())
        return lost, await adapter.find(delivery()), double

    lost, found, double = play(scene)
    sid = double.taken["Messages"][0]["sid"]
    assert lost.indeterminate
    assert found == Outcome(
        status=SUCCESSFUL, status_code=200, status_message=f"MessageId: {sid}", message_id=sid
    )
    assert double.requests[1] == ("GET", "Messages", {"To": TO, "PageSize": "50"})


@pytest.mark.parametrize(
    ("change", "age", "expected"),
    [
        ({}, 0.0, True),
        ({"status": "delivered", "date_sent": "Mon, 23 Nov 2026 10:00:00 +0000"}, 0.0, True),
        ({"status": "failed", "error_code": 30003}, 0.0, True),
        ({"minutes": 59}, 3600.0, True),
        ({"minutes": 62}, 3600.0, False),
        ({"body": "Your code is 4321"}, 0.0, False),
        ({"body": ""}, 0.0, False),
        ({"direction": "inbound"}, 0.0, False),
        ({"date_created": None}, 0.0, False),
    ],
)
def test_find_goes_by_number_text_and_time(change, age, expected):
    async def scene(adapter, double):
        await adapter.send(delivery())
        record = double.taken["Messages"][0]
        if "minutes" in change:
            then = time.time() - 60 * change["minutes"]
            record["date_created"] = email.utils.formatdate(then)
        else:
            record.update(change)
        return await adapter.find(delivery(age=age))

    assert (play(scene) is not None) is expected


def test_find_does_not_choose_between_two():
    async def scene(adapter, double):
        await adapter.send(delivery(delivery_id="1"))
        await adapter.send(delivery(delivery_id="2"))
        return await adapter.find(delivery(delivery_id="2"))

    assert play(scene) is None


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (Said(status=500, body="<html>"), {}),
        (Said(status=429, body=""), {}),
        (Said(raw=b""), {}),
        (Said(status=200, body="[]"), {}),
        (Said(status=200, body={"messages": 7, "other": 8}), {}),
        (Said(status=200, body={"messages": 7}), {}),
        (Said(status=200, body={"messages": [7]}), {}),
        (Said(), {"to": "nobody"}),
        (Said(), {"message": Voice(body="Hi")}),
    ],
)
def test_find_knows_nothing_when_twilio_does_not_say(said, what):
    async def scene(adapter, double):
        double.script.say("list", said)
        return await adapter.find(delivery(**what))

    assert play(scene) is None


def test_find_keeps_to_its_time():
    async def scene(adapter, double):
        go_on = asyncio.Event()
        double.script.say("list", Said(after=go_on))
        found = await adapter.find(delivery(timeout=0.05))
        go_on.set()
        return found

    assert play(scene) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("^{}\\[~]|€\f" * 8, 1),
        ("é" * 160, 1),
        ("ё" * 70, 1),
        ("ё" * 71, 2),
        ("ё" * 134, 2),
        ("ё" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("ё" * 66 + "😀" + "ё" * 65, 2),
        ("`" + "a" * 69, 1),
        ("`" + "a" * 70, 2),
    ],
)
def test_parts(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"account_sid": "pa55"}, "account_sid"),
        ({"auth_token": None}, "auth_token"),
        ({"messaging_service_sid": "pa55"}, "messaging_service_sid"),
        ({"messaging_service_sid": SERVICE, "sender_id": "ACME"}, "one of"),
        ({"origination_number": "12"}, "origination_number"),
        ({"sender_id": "12345"}, "sender_id"),
        ({"status_callback": "cb.example"}, "status_callback"),
        ({"status_callback": "https://me:pa55@cb.example/"}, "status_callback"),
        ({"status_callback": "https://cb_1.example/"}, "status_callback"),
        ({"status_callback": "https://cb.example/#x"}, "status_callback"),
        ({"status_callback": "https://cb.example/?message="}, "status_callback"),
        ({"validity_seconds": 0}, "validity_seconds"),
        ({"validity_seconds": 36_001}, "validity_seconds"),
        ({"base_url": "api.twilio.com"}, "base_url"),
        ({"connections": 0}, "connections"),
        ({"default_country": "XX"}, "default_country"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as error:
        TwilioSms(**{"account_sid": twilio.ACCOUNT_SID, "auth_token": "t0ken", **settings})
    assert "pa55" not in str(error.value)


class TestTwilioSms(TwilioContract):
    gone = OPT_OUT

    def peer(self):
        return SCENES.peer(gone=twilio.refusal(21610, "unsubscribed recipient"))
