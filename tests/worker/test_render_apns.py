"""Apple's payloads and what becomes headers."""

import json

import pytest

from adapters.contract import ChannelType
from adapters.messages import ApnsPush
from worker import wire
from worker.render import Unrenderable, render

VISIBLE = {"alert": {"body": "B"}, "content-available": 1, "mutable-content": 0}


def apns(message, recipient=None, channel="APNS", config=None, **request):
    config = {"APNSMessage": message, **(config or {})}
    whole = wire.convert({"MessageConfiguration": config, **request}, wire.MessageRequest)
    entry = wire.convert(recipient or {}, wire.AddressConfiguration)
    return render(ChannelType(channel), whole, entry)


def raw(content):
    return {"RawContent": content if isinstance(content, str) else json.dumps(content)}


@pytest.mark.parametrize("channel", ["APNS", "APNS_SANDBOX"])
def test_everything_at_once(channel):
    pushed = apns(
        {
            "Title": "T",
            "Body": "B",
            "Sound": "ping.aiff",
            "Badge": 0,
            "Category": "cat",
            "ThreadId": "th",
            "MediaUrl": "https://x.test/a.png",
            "Data": {"k": "v"},
            "Action": "DEEP_LINK",
            "Url": "app://x",
            "Priority": "5",
            "TimeToLive": 0,
            "CollapseId": "c",
            "PreferredAuthenticationMethod": "TOKEN",
        },
        {"Context": {"b": "recipient"}},
        channel,
        Context={"a": "1", "b": "request", "deeplink": "evil"},
        TraceId="t-1",
    )

    assert pushed == ApnsPush(
        payload={
            "aps": {
                "alert": {"title": "T", "body": "B"},
                "content-available": 1,
                "mutable-content": 1,
                "sound": "ping.aiff",
                "badge": 0,
                "category": "cat",
                "thread-id": "th",
            },
            "data": {
                "media-url": "https://x.test/a.png",
                "jsonBody": {"k": "v"},
                "pinpoint": {
                    "deeplink": "app://x",
                    "a": "1",
                    "b": "recipient",
                    "traceId": "t-1",
                },
            },
        },
        push_type="alert",
        priority=5,
        time_to_live=0,
        collapse_id="c",
        authentication="TOKEN",
    )


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({"Body": "B"}, {"aps": VISIBLE, "data": {"pinpoint": {}}}),
        (
            {"Title": "T"},
            {"aps": {**VISIBLE, "alert": {"title": "T"}}, "data": {"pinpoint": {}}},
        ),
        (
            {"Body": "B", "Action": "OPEN_APP", "Url": "u"},
            {"aps": VISIBLE, "data": {"pinpoint": {}}},
        ),
        (
            {"Body": "B", "Action": "URL", "Url": "u"},
            {"aps": VISIBLE, "data": {"pinpoint": {"deeplink": "u"}}},
        ),
        (
            {"Badge": 3},
            {
                "aps": {"content-available": 1, "mutable-content": 0, "badge": 3},
                "data": {"pinpoint": {}},
            },
        ),
    ],
)
def test_visible_pushes(message, payload):
    assert apns(message) == ApnsPush(payload=payload)


def test_a_silent_push_has_no_alert_badge_or_sound():
    pushed = apns(
        {"Body": "B", "SilentPush": True, "Badge": 1, "Sound": "s", "Data": {"k": "v"}},
        Context={"a": "1"},
    )

    assert pushed == ApnsPush(
        payload={
            "aps": {"content-available": 1},
            "data": {"jsonBody": {"k": "v"}, "pinpoint": {"a": "1"}},
        },
        push_type="background",
        priority=5,
    )


@pytest.mark.parametrize("channel", ["APNS_VOIP", "APNS_VOIP_SANDBOX"])
def test_voip(channel):
    payload = {"aps": VISIBLE, "data": {"pinpoint": {}}}

    assert apns({"Body": "B"}, channel=channel) == ApnsPush(payload=payload, push_type="voip")
    silent = apns({"SilentPush": True}, channel=channel)
    assert (silent.push_type, silent.priority) == ("voip", 10)


@pytest.mark.parametrize(
    ("message", "push_type", "priority"),
    [
        ({"Body": "B"}, "alert", 10),
        ({"Body": "B", "Priority": "normal"}, "alert", 5),
        ({"Body": "B", "Priority": "high"}, "alert", 10),
        ({"SilentPush": True, "Priority": "10"}, "background", 10),
        ({"Body": "B", "APNSPushType": "background"}, "background", 5),
        ({"Body": "B", "APNSPushType": "complication"}, "complication", 10),
        ({"SilentPush": True, "APNSPushType": "ALERT"}, "alert", 10),
        ({"Data": {"k": "v"}}, "background", 5),
        (raw({"aps": {"content-available": 1}}), "background", 5),
        (raw({"aps": {"content-available": 1, "badge": 0}}), "alert", 10),
        (raw({"aps": {"content-available": 0}}), "alert", 10),
        (raw({"mdm": "x"}), "alert", 10),
        ({**raw({"mdm": "x"}), "APNSPushType": "mdm"}, "mdm", 10),
    ],
)
def test_push_type_and_priority(message, push_type, priority):
    pushed = apns(message)

    assert (pushed.push_type, pushed.priority) == (push_type, priority)


def test_raw_content_is_sent_as_it_is_with_the_headers_beside_it():
    content = {
        "aps": {
            "alert": {"title": "T", "subtitle": "S", "body": "B", "title-loc-args": ["a"]},
            "badge": 9,
            "relevance-score": 0.5,
        },
        "acme": [1, None, {"x": True}],
    }
    message = {"Title": "no", "TimeToLive": 60, "CollapseId": "c", **raw(content)}
    pushed = apns(message, {"BodyOverride": "no"}, Context={"a": "1"})

    assert pushed == ApnsPush(payload=content, time_to_live=60, collapse_id="c")


@pytest.mark.parametrize(
    ("method", "expected"),
    [("CERTIFICATE", "CERTIFICATE"), ("token", "TOKEN"), ("KEY", "TOKEN"), ("", None)],
)
def test_authentication(method, expected):
    pushed = apns({"Body": "B", "PreferredAuthenticationMethod": method})

    assert pushed.authentication == expected


def test_collapse_id_is_counted_in_bytes():
    assert apns({"Body": "B", "CollapseId": "é" * 32}).collapse_id == "é" * 32
    for text in ("é" * 32 + "x", "a\nb"):
        with pytest.raises(Unrenderable, match=r"CollapseId must be at most 64 printable bytes"):
            apns({"Body": "B", "CollapseId": text})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, "The message has no content for this channel"),
        ({"Body": "B", "Priority": "1"}, "APNSMessage.Priority must be normal or high (5 or 10)"),
        ({"Body": "B", "TimeToLive": -1}, "APNSMessage.TimeToLive must be 0 to 2147483647"),
        ({"Body": "B", "Badge": -1}, "APNSMessage.Badge must be 0 to 2147483647"),
        (
            {"Body": "B", "APNSPushType": "location"},
            (
                "APNSMessage.APNSPushType must be one of "
                "alert, background, complication, fileprovider, mdm, voip"
            ),
        ),
        (
            {"Body": "B", "PreferredAuthenticationMethod": "SMOKE"},
            "APNSMessage.PreferredAuthenticationMethod must be CERTIFICATE or TOKEN",
        ),
        (raw("[]"), "RawContent is not a JSON object"),
        (raw("{{x}}"), "RawContent is not valid JSON"),
    ],
)
def test_what_cannot_be_pushed(message, text):
    with pytest.raises(Unrenderable) as refused:
        apns(message)

    assert (refused.value.code, refused.value.text) == (400, text)


@pytest.mark.parametrize(
    ("channel", "limit"),
    [("APNS", 4096), ("APNS_SANDBOX", 4096), ("APNS_VOIP", 5120), ("APNS_VOIP_SANDBOX", 5120)],
)
def test_payload_limits_to_the_byte(channel, limit):
    room = limit - len('{"k":""}')

    apns(raw({"k": "x" * room}), channel=channel)
    with pytest.raises(Unrenderable) as refused:
        apns(raw({"k": "x" * (room + 1)}), channel=channel)
    assert refused.value.code == 413
