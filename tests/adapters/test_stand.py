"""Every adapter against its double on the stand: ordinary recipients and magic ones."""

import asyncio
import uuid
from importlib import metadata

import pytest

from adapters.contract import ChannelType, Delivery
from adapters.doubles import webhook
from adapters.doubles.plays import Received
from adapters.doubles.stand import stand
from adapters.messages import (
    AdmPush,
    ApnsPush,
    BaiduPush,
    Custom,
    Email,
    FcmPush,
    Part,
    Sms,
    Voice,
)

MESSAGES = {
    **dict.fromkeys([one for one in ChannelType if one.startswith("APNS")], ApnsPush(payload={})),
    ChannelType.GCM: FcmPush(message={"data": {"a": "b"}}),
    ChannelType.ADM: AdmPush(data={"a": "b"}),
    ChannelType.BAIDU: BaiduPush(message={"title": "Hi"}),
    ChannelType.SMS: Sms(body="Hi"),
    ChannelType.VOICE: Voice(body="Hi"),
    ChannelType.EMAIL: Email(from_address=None, subject=Part(data="Hi"), text=Part(data="Ho")),
    ChannelType.CUSTOM: Custom(data={"a": 1}),
}
NUMBERS = {
    "": "+15550100200",
    "permanent-failure": "+15550100400",
    "dead-token": "+15550100410",
    "throttled": "+15550100429",
    "throttled-always": "+15550100430",
    "opt-out": "+15550100451",
    "unknown-failure": "+15550100500",
    "temporary-failure-once": "+15550100501",
    "temporary-failure-twice": "+15550100502",
    "temporary-failure": "+15550100503",
    "timeout": "+15550100504",
}


def opened(name, settings):
    """The adapter that channel settings call so."""
    (point,) = metadata.entry_points(group="sendpoint.adapters", name=name)
    return point.load()(**settings)


def address(channel, word):
    if channel in {ChannelType.SMS, ChannelType.VOICE}:
        return NUMBERS[word]
    if channel.startswith("APNS"):
        return f"a-{word}".encode().hex()
    shapes = {ChannelType.EMAIL: f"a-{word}@example.com", ChannelType.BAIDU: f"7:{word or 71}"}
    return shapes.get(channel, f"a-{word}")


def outcomes(channel, word, *, sends, timeout=20.0):
    """What so many sends come to, one after the other, and what the stand told of them."""
    told = []

    async def run():
        async with stand(told.append) as channels:
            adapter = opened(channels[channel].adapter, channels[channel].settings)
            delivered = [
                await adapter.send(
                    Delivery(
                        id=str(uuid.uuid4()),
                        application_id="app",
                        request_id="request",
                        channel=channel,
                        address=address(channel, word),
                        message=MESSAGES[channel],
                        timeout=timeout,
                    )
                )
                for _ in range(sends)
            ]
            await adapter.aclose()
        return delivered

    return asyncio.run(run()), told


OK = ("SUCCESSFUL", 200)


def gone(code):
    return "PERMANENT_FAILURE", code


def later(code):
    return "TEMPORARY_FAILURE", code


def throttled(code):
    return "THROTTLED", code


SMS_LATER = ("UNKNOWN_FAILURE", 503)  # Twilio may have sent what it answers with a 5xx
ROWS = [
    *((channel, "", [OK]) for channel in MESSAGES),
    ("APNS", "permanent-failure", [gone(400)]),
    ("APNS", "dead-token", [gone(410)]),
    ("APNS", "throttled", [throttled(429), OK, throttled(429)]),
    ("APNS", "temporary-failure-twice", [later(503), later(503), OK, later(503)]),
    ("GCM", "permanent-failure", [gone(400)]),
    ("GCM", "dead-token", [gone(410)]),
    ("GCM", "throttled", [throttled(429), OK]),
    ("GCM", "temporary-failure-once", [later(503), OK]),
    ("GCM", "opt-out", [OK]),
    ("ADM", "permanent-failure", [gone(400)]),
    ("ADM", "dead-token", [gone(410)]),
    ("ADM", "throttled-always", [throttled(429), throttled(429)]),
    ("ADM", "temporary-failure-once", [later(503), OK]),
    ("BAIDU", "permanent-failure", [gone(400)]),
    ("BAIDU", "dead-token", [gone(410)]),
    ("BAIDU", "duplicate", [("DUPLICATE", 400)]),
    ("BAIDU", "throttled", [throttled(400), OK]),
    ("BAIDU", "temporary-failure-once", [later(500), OK]),
    ("SMS", "permanent-failure", [gone(400)]),
    ("SMS", "dead-token", [gone(400)]),
    ("SMS", "opt-out", [("OPT_OUT", 400)]),
    ("SMS", "throttled", [throttled(429), OK]),
    ("SMS", "temporary-failure", [SMS_LATER, SMS_LATER]),
    ("VOICE", "permanent-failure", [gone(400)]),
    ("VOICE", "dead-token", [gone(400)]),
    ("VOICE", "throttled", [throttled(429), OK]),
    ("VOICE", "temporary-failure-once", [SMS_LATER, OK]),
    ("EMAIL", "permanent-failure", [gone(550)]),
    ("EMAIL", "dead-token", [gone(550)]),
    ("EMAIL", "throttled", [throttled(450), OK]),
    ("EMAIL", "temporary-failure-once", [later(451), OK]),
    ("CUSTOM", "permanent-failure", [gone(422)]),
    ("CUSTOM", "dead-token", [gone(404)]),
    ("CUSTOM", "throttled", [throttled(429), OK]),
    ("CUSTOM", "temporary-failure-once", [later(503), OK]),
    *(
        (channel, "unknown-failure", [("UNKNOWN_FAILURE", 504)])
        for channel in ("APNS", "GCM", "ADM", "BAIDU", "SMS", "VOICE", "EMAIL", "CUSTOM")
    ),
]


@pytest.mark.parametrize(
    ("channel", "word", "expected"), ROWS, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_provider_answers_in_its_own_words(channel, word, expected):
    sent, told = outcomes(ChannelType(channel), word, sends=len(expected))
    assert [(one.status, one.status_code) for one in sent] == expected
    assert len(told) == len(expected)


@pytest.mark.parametrize("channel", ["APNS", "GCM", "EMAIL"])
def test_a_timeout_is_told_before_it_is_over(channel):
    [sent], told = outcomes(ChannelType(channel), "timeout", sends=1, timeout=1.0)
    assert (sent.status, sent.indeterminate) == ("UNKNOWN_FAILURE", True)
    assert [one.outcome for one in told] == ["silent"]


def test_amazon_tells_of_a_renewed_registration():
    [sent], _ = outcomes(ChannelType.ADM, "updated-token", sends=1)
    assert (sent.status, sent.updated_token) == ("SUCCESSFUL", "a-current-token")


def test_a_dead_phone_number_is_called_dead():
    [sent], told = outcomes(ChannelType.SMS, "dead-token", sends=1)
    assert sent.dead_address
    assert told == [Received(channel="SMS", address="+15550100410", outcome="400")]


def test_what_a_double_refuses_itself_is_told_too():
    """Not every end is scripted: this event is signed with another secret."""
    told = []

    async def run():
        async with stand(told.append) as channels:
            settings = {**channels[ChannelType.CUSTOM].settings, "secret": "whsec_" + 32 * "A"}
            assert settings["secret"] != webhook.SECRET
            adapter = opened("webhook", settings)
            sent = await adapter.send(
                Delivery(
                    id="1",
                    application_id="app",
                    request_id="request",
                    channel=ChannelType.CUSTOM,
                    address="https://hooks.example",
                    message=Custom(),
                )
            )
            await adapter.aclose()
            return sent

    assert asyncio.run(run()).status_code == 401
    assert [one.outcome for one in told] == ["401"]
