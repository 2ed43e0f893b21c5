"""GCM, ADM and Baidu: the flat map that Pinpoint's clients read, and RawContent."""

import json

import pytest

from adapters.contract import ChannelType
from adapters.messages import AdmPush, BaiduPush, FcmPush
from worker import wire
from worker.render import Unrenderable, render

DIRECT = {
    "pinpoint.campaign.campaign_id": "_DIRECT",
    "pinpoint.notification.silentPush": "0",
}
BARE = {"pinpoint.openApp": "true", "pinpoint.notification.body": "B", **DIRECT}


def rendered(channel, config, recipient=None, **request):
    whole = wire.convert({"MessageConfiguration": config, **request}, wire.MessageRequest)
    entry = wire.convert(recipient or {}, wire.AddressConfiguration)
    return render(ChannelType(channel), whole, entry)


def gcm(message, recipient=None, **request):
    return rendered("GCM", {"GCMMessage": message}, recipient, **request)


def raw(content):
    return {"RawContent": content if isinstance(content, str) else json.dumps(content)}


def test_the_payload_seen_in_amplify_flutter_3516():
    pushed = gcm({"Title": "Hi", "Body": "There", "Action": "OPEN_APP", "SilentPush": False})

    assert pushed == FcmPush(
        message={
            "data": {
                "pinpoint.openApp": "true",
                "pinpoint.notification.title": "Hi",
                "pinpoint.notification.body": "There",
                "pinpoint.campaign.campaign_id": "_DIRECT",
                "pinpoint.notification.silentPush": "0",
            }
        }
    )


def test_the_payload_seen_in_amplify_js_1905_data_on_a_visible_push():
    pushed = gcm({"Title": "Hi", "Body": "There", "Data": {"id": "1234", "q": '"'}})

    assert pushed.message["data"] == {
        "pinpoint.openApp": "true",
        "pinpoint.notification.title": "Hi",
        "pinpoint.notification.body": "There",
        "pinpoint.campaign.campaign_id": "_DIRECT",
        "pinpoint.notification.silentPush": "0",
        "pinpoint.jsonBody": '{"id":"1234","q":"\\""}',
    }


@pytest.mark.parametrize("channel", ["GCM", "ADM", "BAIDU"])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"Body": "B"}, BARE),
        ({"Body": "B", "Title": "T"}, {**BARE, "pinpoint.notification.title": "T"}),
        ({"Body": "B", "SilentPush": True}, {**BARE, "pinpoint.notification.silentPush": "1"}),
        ({"Body": "B", "ImageUrl": "u"}, {**BARE, "pinpoint.notification.imageUrl": "u"}),
        ({"Body": "B", "ImageIconUrl": "u"}, {**BARE, "pinpoint.notification.imageIconUrl": "u"}),
        (
            {"Body": "B", "SmallImageIconUrl": "u"},
            {**BARE, "pinpoint.notification.imageSmallIconUrl": "u"},
        ),
        ({"Body": "B", "IconReference": "i"}, {**BARE, "pinpoint.notification.icon": "i"}),
        ({"Body": "B", "Sound": "s"}, {**BARE, "pinpoint.notification.sound": "s"}),
        ({"Body": "B", "Data": {"k": "v"}}, {**BARE, "pinpoint.jsonBody": '{"k":"v"}'}),
        ({"Body": "B", "Data": {}}, BARE),
        (
            {"Body": "B", "Action": "URL", "Url": "https://x.test"},
            {"pinpoint.url": "https://x.test", "pinpoint.notification.body": "B", **DIRECT},
        ),
        (
            {"Body": "B", "Action": "DEEP_LINK", "Url": "app://x"},
            {"pinpoint.deeplink": "app://x", "pinpoint.notification.body": "B", **DIRECT},
        ),
        ({"Body": "B", "Action": "OPEN_APP", "Url": "app://x"}, BARE),
        ({"Body": "B", "Url": "app://x"}, BARE),
        ({"Body": "B", "Action": "URL"}, BARE),
    ],
)
def test_every_member_has_its_key(channel, message, expected):
    member = {"GCM": "GCMMessage", "ADM": "ADMMessage", "BAIDU": "BaiduMessage"}[channel]
    pushed = rendered(channel, {member: message})

    match pushed:
        case FcmPush():
            assert pushed.message == {"data": expected}
        case AdmPush():
            assert pushed == AdmPush(data=expected)
        case _:
            assert pushed == BaiduPush(message=expected, expires=604_800)


def test_context_and_trace_id_stand_beside_the_content_and_never_in_its_place():
    pushed = gcm(
        {"Body": "B"},
        {"Context": {"b": "recipient", "url": "evil", "notification.body": "evil"}},
        Context={"a": "1", "b": "request", "traceId": "mine"},
        TraceId="t-1",
    )

    assert pushed.message["data"] == {
        **BARE,
        "pinpoint.a": "1",
        "pinpoint.b": "recipient",
        "pinpoint.traceId": "t-1",
    }


@pytest.mark.parametrize(
    ("message", "android"),
    [
        ({"Priority": "high"}, {"priority": "HIGH"}),
        ({"Priority": "10"}, {"priority": "HIGH"}),
        ({"Priority": "normal"}, {"priority": "NORMAL"}),
        ({"Priority": "5"}, {"priority": "NORMAL"}),
        ({"TimeToLive": 0}, {"ttl": "0s"}),
        ({"TimeToLive": 2_419_200}, {"ttl": "2419200s"}),
        ({"CollapseKey": "c"}, {"collapse_key": "c"}),
        ({"RestrictedPackageName": "com.x"}, {"restricted_package_name": "com.x"}),
    ],
)
def test_gcm_delivery_options(message, android):
    assert gcm({"Body": "B", **message}).message == {"data": BARE, "android": android}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"Body": "B", "Priority": "urgent"}, "GCM Priority must be normal or high (5 or 10)"),
        ({"Body": "B", "TimeToLive": -1}, "GCM TimeToLive must be 0 to 2419200"),
        ({"Body": "B", "TimeToLive": 2_419_201}, "GCM TimeToLive must be 0 to 2419200"),
        ({}, "The message has no content for this channel"),
        (raw("nonsense"), "RawContent is not valid JSON"),
        (raw("[" * 100_000), "RawContent is not valid JSON"),
        (raw("'" * 100_001), "RawContent is not valid JSON"),
        (raw([1]), "RawContent is not a JSON object"),
        (raw({"x": 1}), "RawContent has neither notification nor data"),
        (raw({"data": "x"}), "RawContent: data must be an object"),
        (raw({"fcmV1Message": 1}), "RawContent: fcmV1Message.message must be an object"),
        (
            raw({"data": {"a": "b"}, "time_to_live": "9"}),
            "RawContent: time_to_live must be a whole number",
        ),
        (
            raw('{"a":' + "[" * 70 + "]" * 70 + "}"),
            "RawContent is nested deeper than 64 levels",
        ),
    ],
)
def test_what_cannot_be_pushed(message, text):
    with pytest.raises(Unrenderable) as refused:
        gcm(message)

    assert (refused.value.code, refused.value.text) == (400, text)


def test_a_raw_content_that_is_too_large_is_not_read():
    with pytest.raises(Unrenderable) as refused:
        gcm(raw("[" * 256_001))
    assert refused.value.code == 413
    assert refused.value.text.startswith("RawContent is too large: 256001 characters")


def test_precedence_field_by_field():
    config = {
        "GCMMessage": {"Title": "channel title", "Body": ""},
        "DefaultPushNotificationMessage": {
            "Title": "push title",
            "Body": "push body",
            "Action": "URL",
            "Url": "https://x.test",
            "SilentPush": True,
            "Data": {"k": "v"},
        },
        "DefaultMessage": {"Body": "default body"},
    }
    inherited = {
        "pinpoint.url": "https://x.test",
        "pinpoint.notification.title": "channel title",
        "pinpoint.notification.body": "push body",
        "pinpoint.campaign.campaign_id": "_DIRECT",
        "pinpoint.notification.silentPush": "1",
        "pinpoint.jsonBody": '{"k":"v"}',
    }
    overrides = {"TitleOverride": "my title", "BodyOverride": "my body"}

    assert rendered("GCM", config).message["data"] == inherited
    assert rendered("GCM", config, overrides).message["data"] == {
        **inherited,
        "pinpoint.notification.title": "my title",
        "pinpoint.notification.body": "my body",
    }
    config["GCMMessage"] = {"SilentPush": False, **raw({"data": {"from": "channel"}})}
    assert rendered("GCM", config, overrides).message == {"data": {"from": "channel"}}
    overrides |= raw({"data": {"from": "recipient"}})
    assert rendered("GCM", config, overrides).message == {"data": {"from": "recipient"}}


def test_the_default_message_alone_is_enough():
    assert rendered("GCM", {"DefaultMessage": {"Body": "B"}}).message == {"data": BARE}


def test_a_legacy_raw_content_becomes_v1():
    pushed = gcm(
        raw(
            {
                "to": "ignored",
                "collapse_key": "c",
                "priority": "high",
                "time_to_live": 60,
                "restricted_package_name": "com.x",
                "notification": {
                    "title": "T",
                    "body": "B",
                    "android_channel_id": "ch",
                    "body_loc_args": '["a","b"]',
                    "body_loc_key": "blk",
                    "click_action": "ca",
                    "color": "#fff",
                    "icon": "i",
                    "sound": "s",
                    "tag": "t",
                    "title_loc_args": ["c"],
                    "title_loc_key": "tlk",
                    "badge": "1",
                },
                "data": {"n": 1, "t": True, "s": "x", "o": {"a": [1]}, "nothing": None},
            }
        )
    )

    assert pushed == FcmPush(
        message={
            "notification": {"title": "T", "body": "B"},
            "data": {"n": "1", "t": "true", "s": "x", "o": '{"a":[1]}'},
            "android": {
                "priority": "HIGH",
                "ttl": "60s",
                "collapse_key": "c",
                "restricted_package_name": "com.x",
                "notification": {
                    "channel_id": "ch",
                    "body_loc_args": ["a", "b"],
                    "body_loc_key": "blk",
                    "click_action": "ca",
                    "color": "#fff",
                    "icon": "i",
                    "sound": "s",
                    "tag": "t",
                    "title_loc_args": ["c"],
                    "title_loc_key": "tlk",
                },
            },
        }
    )


def test_a_variable_cannot_become_two_arguments():
    content = {"notification": {"title": "T", "body_loc_args": '["{{x}}"]'}}
    pushed = gcm(raw(content), {"Substitutions": {"x": ['a","b']}})

    assert pushed.message["android"]["notification"] == {"body_loc_args": ['a","b']}


def test_an_argument_that_is_no_list_is_a_list_of_one():
    pushed = gcm(raw({"notification": {"title": "T", "title_loc_args": "a"}}))

    assert pushed.message["android"]["notification"] == {"title_loc_args": ["a"]}


def test_a_silent_push_may_carry_data_alone():
    assert gcm({"SilentPush": True, "Data": {"k": "v"}}).message["data"] == {
        "pinpoint.openApp": "true",
        "pinpoint.campaign.campaign_id": "_DIRECT",
        "pinpoint.notification.silentPush": "1",
        "pinpoint.jsonBody": '{"k":"v"}',
    }


def test_a_v1_raw_content_is_unwrapped():
    message = {
        "notification": {"title": "T", "body": "B", "image": "u"},
        "android": {
            "priority": "high",
            "notification": {"title": "T", "channel_id": "c"},
            "data": {"a": "b"},
            "ttl": "10023.32s",
        },
        "apns": {"payload": {"aps": {"alert": {"title": "T"}}}, "headers": {"apns-priority": "5"}},
        "webpush": {"data": {"c": "d"}},
        "data": {"e": "f"},
    }
    wrapped = {"message": {"token": "not yours", **message}, "validate_only": True}

    assert gcm(raw({"fcmV1Message": wrapped})) == FcmPush(message=message, validate_only=True)


def test_options_beside_a_raw_content_fill_its_gaps():
    content = {
        "fcmV1Message": {"message": {"data": {}, "android": {"ttl": "1s", "collapseKey": "r"}}}
    }
    pushed = gcm({"TimeToLive": 9, "CollapseKey": "m", "Priority": "5", **raw(content)})

    assert pushed.message["android"] == {"ttl": "1s", "collapseKey": "r", "priority": "NORMAL"}


DOCUMENTED = (  # mobile-sdk-android-push-adm.md and -baidu.md
    "{'pinpoint.campaign.campaign_id':'_DIRECT','pinpoint.notification.silentPush':0,"
    "'pinpoint.openApp':true,'pinpoint.notification.title':'Hello',"
    "'pinpoint.notification.body':'Hello World.'}"
)
FLAT = {
    "pinpoint.campaign.campaign_id": "_DIRECT",
    "pinpoint.notification.silentPush": "0",
    "pinpoint.openApp": "true",
    "pinpoint.notification.title": "Hello",
    "pinpoint.notification.body": "Hello World.",
}


def test_the_documented_raw_content_for_adm_and_baidu():
    assert rendered("ADM", {"ADMMessage": raw(DOCUMENTED)}) == AdmPush(data=FLAT)
    assert rendered("BAIDU", {"BaiduMessage": raw(DOCUMENTED)}) == BaiduPush(
        message=FLAT, expires=604_800
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a':'it\\'s'}", {"a": "it's"}),
        ("{'a':'say \"hi\"'}", {"a": 'say "hi"'}),
        ("{\"a\":\"it's\", 'b':'x'}", {"a": "it's", "b": "x"}),
        ("{'a':'\\u00e9\\n\\\\'}", {"a": "é\n\\"}),
        ("{'a':1.5,'b':null,'c':{'d':[1,'x']}}", {"a": "1.5", "c": '{"d":[1,"x"]}'}),
    ],
)
def test_single_quotes(text, expected):
    assert rendered("ADM", {"ADMMessage": raw(text)}).data == expected


def test_adm_options():
    message = {"Body": "B", "ConsolidationKey": "k", "ExpiresAfter": "60", "MD5": "m=="}

    assert rendered("ADM", {"ADMMessage": message}) == AdmPush(
        data=BARE, consolidation_key="k", expires_after=60, md5="m=="
    )


@pytest.mark.parametrize("text", ["soon", "1.5", "-1", "²", "9" * 5000, "2678401"])
def test_adm_expires_after_is_a_whole_number(text):
    with pytest.raises(Unrenderable, match=r"ADMMessage\.ExpiresAfter must be"):
        rendered("ADM", {"ADMMessage": {"Body": "B", "ExpiresAfter": text}})


def test_baidu_time_to_live():
    def expires(seconds):
        return rendered("BAIDU", {"BaiduMessage": {"Body": "B", "TimeToLive": seconds}}).expires

    assert (expires(0), expires(604_800)) == (0, 604_800)
    with pytest.raises(Unrenderable, match=r"BaiduMessage\.TimeToLive must be 0 to 604800"):
        expires(604_801)


@pytest.mark.parametrize(
    ("channel", "member", "limit"),
    [("GCM", "GCMMessage", 4096), ("ADM", "ADMMessage", 6144), ("BAIDU", "BaiduMessage", 4096)],
)
def test_payload_limits_to_the_byte(channel, member, limit):
    content = {"data": {"k": ""}} if channel == "GCM" else {"k": ""}
    room = limit - len(json.dumps(content, separators=(",", ":")))

    def push(text):
        filled = {"data": {"k": text}} if channel == "GCM" else {"k": text}
        return rendered(channel, {member: raw(filled)})

    push("x" * room)
    push("é" * (room // 2))
    for text in ("x" * (room + 1), "é" * (room // 2 + 1)):
        with pytest.raises(Unrenderable) as refused:
            push(text)
        assert refused.value.code == 413
        assert refused.value.text.endswith(f"the limit is {limit}")
