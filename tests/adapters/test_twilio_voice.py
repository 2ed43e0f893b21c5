"""TwilioVoice against a double of Twilio on loopback."""

from __future__ import annotations

import email.utils
import time
import xml.etree.ElementTree as ET

import pytest
from twilio.twiml.voice_response import VoiceResponse

from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.doubles import twilio
from adapters.doubles.stage import Answer as Said
from adapters.messages import Sms, Voice
from adapters.twilio_voice import BY_CODE, TwilioVoice
from tests.adapters.twilio_scenes import FROM, TO, Scenes, TwilioContract

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE


def voice(url, **settings):
    settings = {"origination_number": FROM, **settings}
    return TwilioVoice(
        account_sid=twilio.ACCOUNT_SID, auth_token=twilio.AUTH_TOKEN, base_url=url, **settings
    )


def delivery(message=None, *, to=TO, timeout=20.0, age=0.0):
    return Delivery(
        id="0f8d",
        application_id="app",
        request_id="request",
        channel=ChannelType.VOICE,
        address=to,
        message=message or Voice(body="Your code is 1 2 3 4"),
        timeout=timeout,
        age=age,
    )


SCENES = Scenes(voice, delivery)
play, called, outcome_of = SCENES.play, SCENES.sent, SCENES.outcome_of


def test_what_is_accepted_has_twilios_sid():
    async def scene(adapter, double):
        outcome = await adapter.send(delivery())
        return outcome, double.taken["Calls"][0]["sid"]

    outcome, sid = play(scene)
    assert outcome == Outcome(
        status=SUCCESSFUL, status_code=200, status_message=f"MessageId: {sid}", message_id=sid
    )


def test_the_request_has_the_words_with_it():
    assert called() == {
        "To": TO,
        "From": FROM,
        "Twiml": "<Response><Say>Your code is 1 2 3 4</Say></Response>",
        "Timeout": "60",
    }


def test_the_settings_go_along():
    fields = called(status_callback="https://cb.example/calls?app=7", ring_seconds=15)
    assert fields["StatusCallback"] == "https://cb.example/calls?app=7&message=0f8d"
    assert fields["Timeout"] == "15"


@pytest.mark.parametrize(
    ("to", "message", "expected"),
    [
        ("+1 425-555-0199", {}, (TO, FROM)),
        (TO, {"origination_number": "+1 425-555-0111"}, (TO, "+14255550111")),
    ],
)
def test_numbers_are_written_as_twilio_wants_them(to, message, expected):
    fields = called(Voice(body="Hi", **message), to=to)
    assert (fields["To"], fields["From"]) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"voice_id": "Joanna"}, {"voice": "Polly.Joanna"}),
        ({"voice_id": "Joanna-Neural"}, {"voice": "Polly.Joanna-Neural"}),
        ({"voice_id": "Polly.Joanna"}, {"voice": "Polly.Joanna"}),
        ({"voice_id": "Google.en-US-Wavenet-A"}, {"voice": "Google.en-US-Wavenet-A"}),
        ({"voice_id": "alice"}, {"voice": "alice"}),
        ({"language_code": "en-US"}, {"language": "en-US"}),
        ({"language_code": "arb"}, {"language": "arb"}),
        (
            {"voice_id": "Marlene", "language_code": "de-DE"},
            {"voice": "Polly.Marlene", "language": "de-DE"},
        ),
    ],
)
def test_voice_and_language(message, expected):
    say = ET.fromstring(called(Voice(body="Hi", **message))["Twiml"])[0]
    assert (say.tag, say.attrib) == ("Say", expected)


@pytest.mark.parametrize(
    ("body", "spoken"),
    [
        ("Tom & Jerry <3 \"x\" 'y'", "Tom & Jerry <3 \"x\" 'y'"),
        ("</Say><Dial>+19005550100</Dial><Say>", "</Say><Dial>+19005550100</Dial><Say>"),
        ("Привет, 😀", "Привет, 😀"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("a\x00b\x0cc\ud800d\ufffee", "a b c d e"),
    ],
)
def test_the_text_is_spoken_and_never_read_as_markup(body, spoken):
    twiml = ET.fromstring(called(Voice(body=body))["Twiml"])
    assert [element.tag for element in twiml.iter()] == ["Response", "Say"]
    assert twiml[0].text == spoken


@pytest.mark.parametrize("body", ["Your code is 1", "Tom & Jerry <3 \"x\" 'y'", "Привет, 😀\n\tda"])
@pytest.mark.parametrize("voice", [{}, {"language_code": "de-DE", "voice_id": "Polly.Marlene"}])
def test_the_words_are_written_as_twilios_library_writes_them(body, voice):
    theirs = VoiceResponse()
    theirs.say(body, voice=voice.get("voice_id"), language=voice.get("language_code"))
    assert called(Voice(body=body, **voice))["Twiml"] == theirs.to_xml(xml_declaration=False)


@pytest.mark.parametrize(
    ("body", "fits"), [("a" * 3968, True), ("a" * 3969, False)], ids=["fits", "too long"]
)
def test_all_of_the_words_or_none(body, fits):
    async def scene(adapter, double):
        return await adapter.send(delivery(Voice(body=body))), len(double.requests)

    outcome, requests = play(scene)
    if fits:
        assert (outcome.status, requests) == (SUCCESSFUL, 1)
    else:
        assert (outcome.status, outcome.status_code, requests) == (PERMANENT, 400, 0)
        assert outcome.fault is Fault.MESSAGE
        assert outcome.status_message.startswith("Message too long")


def test_what_is_escaped_counts_as_it_is_written():
    async def scene(adapter, double):
        return await adapter.send(delivery(Voice(body="&" * 800)))

    assert play(scene).status is PERMANENT


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("4255550199", {}),
        ("sip:somebody@example.org", {}),
        ("+1 425 555 0199 ext. 5", {}),
        (TO, {"origination_number": "72974"}),
        (TO, {"voice_id": "Joanna'><Hangup/>"}),
        (TO, {"language_code": "American English"}),
    ],
)
def test_what_can_not_be_called_is_refused_here(to, message):
    async def scene(adapter, double):
        said = await adapter.send(delivery(Voice(**{"body": "Hi", **message}), to=to))
        return said, double.requests

    outcome, requests = play(scene)
    assert requests == []
    assert (outcome.status, outcome.status_code) == (PERMANENT, 400)
    assert outcome.fault is (Fault.MESSAGE if message else Fault.RECIPIENT)


@pytest.mark.parametrize("message", [Voice(body="Hi"), Sms(body="Hi")], ids=["no number", "a text"])
def test_what_is_not_for_this_channel_is_refused_here(message):
    async def scene(adapter, double):
        return await adapter.send(delivery(message)), double.requests

    outcome, requests = play(scene, origination_number=None)
    assert (outcome.status, outcome.fault, requests) == (PERMANENT, Fault.MESSAGE, [])


CREDENTIALS, MESSAGE = (PERMANENT, Fault.CREDENTIALS, False), (PERMANENT, Fault.MESSAGE, False)
DEAD, UNREACHABLE = (PERMANENT, Fault.RECIPIENT, True), (PERMANENT, Fault.RECIPIENT, False)
SLOWER = (THROTTLED, Fault.PROVIDER, False)
TABLE = {
    10001: CREDENTIALS,
    10002: CREDENTIALS,
    10004: SLOWER,
    13223: DEAD,
    13224: UNREACHABLE,
    13225: MESSAGE,
    13226: DEAD,
    13227: MESSAGE,
    20003: CREDENTIALS,
    20005: CREDENTIALS,
    20008: CREDENTIALS,
    20429: SLOWER,
    21201: MESSAGE,
    21210: CREDENTIALS,
    21211: DEAD,
    21212: CREDENTIALS,
    21213: CREDENTIALS,
    21214: UNREACHABLE,
    21215: MESSAGE,
    21216: MESSAGE,
    21217: DEAD,
    21219: CREDENTIALS,
    29999: MESSAGE,
}


@pytest.mark.parametrize(("code", "expected"), TABLE.items())
def test_each_code_of_the_table(code, expected):
    outcome = outcome_of(twilio.refusal(code, "Twilio's words"))
    assert (outcome.status, outcome.fault, outcome.dead_address) == expected
    assert (outcome.status_code, outcome.indeterminate) == (400, False)


def test_no_code_is_left_out():
    assert BY_CODE.keys() == TABLE.keys() - {29999}


@pytest.mark.parametrize("code", [20500, 20503, 21211])
def test_what_failed_at_twilio_may_ring_whatever_the_code(code):
    outcome = outcome_of(twilio.refusal(code, "Internal error", status=500))
    assert (outcome.status, outcome.indeterminate) == (UNKNOWN, True)


def test_a_wrong_number_of_ours_is_the_fault_of_who_named_it():
    said = twilio.refusal(21210, "The source phone number is not verified")
    named = Voice(body="Hi", origination_number="+14255550111")
    assert outcome_of(said).fault is Fault.CREDENTIALS
    assert outcome_of(said, named).fault is Fault.MESSAGE


def test_twilios_words_are_shown_without_what_they_repeat():
    words = f"Calling {TO} to say Tom & Jerry: <Response><Say>Tom &amp; Jerry</Say></Response>"
    outcome = outcome_of(twilio.refusal(21205, words), Voice(body="Tom & Jerry"))
    assert outcome.status_message == "Calling *** to say ***: *** (Twilio 21205)"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("+15005550001", (PERMANENT, True)),
        ("+15005550002", (PERMANENT, False)),
        ("+15005550003", (PERMANENT, False)),
        ("+15005550004", (PERMANENT, False)),
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
    sid = double.taken["Calls"][0]["sid"]
    assert lost.indeterminate
    assert (found.status, found.message_id) == (SUCCESSFUL, sid)
    assert double.requests[1] == ("GET", "Calls", {"To": TO, "From": FROM, "PageSize": "50"})


@pytest.mark.parametrize(
    ("change", "age", "expected"),
    [
        ({}, 0.0, True),
        ({"status": "no-answer", "start_time": "Mon, 23 Nov 2026 10:00:00 +0000"}, 0.0, True),
        ({"minutes": 59}, 3600.0, True),
        ({"minutes": 62}, 3600.0, False),
        ({"from": "+14255550111"}, 0.0, False),
        ({"direction": "inbound"}, 0.0, False),
        ({"date_created": None}, 0.0, False),
    ],
)
def test_find_goes_by_numbers_and_time(change, age, expected):
    async def scene(adapter, double):
        await adapter.send(delivery())
        record = double.taken["Calls"][0]
        if "minutes" in change:
            then = time.time() - 60 * change["minutes"]
            record["date_created"] = email.utils.formatdate(then)
        else:
            record.update(change)
        return await adapter.find(delivery(age=age))

    assert (play(scene) is not None) is expected


def test_find_does_not_choose_between_two():
    async def scene(adapter, double):
        await adapter.send(delivery())
        await adapter.send(delivery())
        return await adapter.find(delivery())

    assert play(scene) is None


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (Said(status=500, body="<html>"), {}),
        (Said(raw=b""), {}),
        (Said(status=200, body={"calls": [7]}), {}),
        (Said(), {"to": "nobody"}),
        (Said(), {"message": Sms(body="Hi")}),
    ],
)
def test_find_knows_nothing_when_twilio_does_not_say(said, what):
    async def scene(adapter, double):
        double.script.say("list", said)
        return await adapter.find(delivery(**what))

    assert play(scene) is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"account_sid": "pa55"}, "account_sid"),
        ({"auth_token": None}, "auth_token"),
        ({"origination_number": "72974"}, "origination_number"),
        ({"status_callback": "cb.example"}, "status_callback"),
        ({"ring_seconds": 0}, "ring_seconds"),
        ({"ring_seconds": 601}, "ring_seconds"),
        ({"base_url": "api.twilio.com"}, "base_url"),
        ({"default_country": "XX"}, "default_country"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as error:
        TwilioVoice(**{"account_sid": twilio.ACCOUNT_SID, "auth_token": "t0ken", **settings})
    assert "pa55" not in str(error.value)


class TestTwilioVoice(TwilioContract):
    def peer(self):
        return SCENES.peer(gone=twilio.refusal(21217, "not a valid number"))
