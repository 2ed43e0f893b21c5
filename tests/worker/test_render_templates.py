"""A template in the place of a message's own content."""

import json

import pytest

from adapters.contract import ChannelType
from worker import wire
from worker.render import Content, Unrenderable, render

NAMED = {
    "EmailTemplate": {"Name": "t"},
    "PushTemplate": {"Name": "t"},
    "SMSTemplate": {"Name": "t"},
    "VoiceTemplate": {"Name": "t"},
}
EVERYTHING = {
    "DefaultMessage": {"Body": "default"},
    "DefaultPushNotificationMessage": {"Body": "push", "Title": "push", "Url": "https://push"},
    "APNSMessage": {"Body": "inline", "Title": "inline", "RawContent": "{}", "ThreadId": "7"},
    "GCMMessage": {"Body": "inline", "RawContent": "{}", "Sound": "inline", "CollapseKey": "k"},
    "SMSMessage": {"Body": "inline", "SenderId": "Shop", "MessageType": "PROMOTIONAL"},
    "VoiceMessage": {"Body": "inline", "LanguageCode": "en-US", "OriginationNumber": "+1"},
    "EmailMessage": {
        "Body": "inline",
        "FromAddress": "shop@example.com",
        "SimpleEmail": {
            "Subject": {"Data": "inline"},
            "HtmlPart": {"Data": "inline"},
            "Headers": [{"Name": "X-Inline", "Value": "1"}],
        },
    },
}


def rendered(channel, templates, recipient=None, config=EVERYTHING, variables=None):
    request = {"MessageConfiguration": config, "TemplateConfiguration": NAMED}
    content = wire.convert({**request, "Templates": templates}, Content)
    entry = wire.convert(recipient or {}, wire.EndpointSendConfiguration)
    return render(ChannelType(channel), content, entry, variables)


def test_sms():
    sent = rendered("SMS", {"SMSTemplate": {"Body": "Hi {{upper 'you'}}"}})
    assert (sent.body, sent.sender_id, sent.promotional) == ("Hi YOU", "Shop", True)


def test_voice():
    sent = rendered("VOICE", {"VoiceTemplate": {"Body": "Hello", "VoiceId": "Joanna"}})
    assert (sent.body, sent.voice_id) == ("Hello", "Joanna")
    assert (sent.language_code, sent.origination_number) == ("en-US", "+1")


def test_email():
    template = {"Subject": "S {{x}}", "HtmlPart": "<p>{{x}}</p>", "TextPart": "T {{x}}"}
    sent = rendered("EMAIL", {"EmailTemplate": template}, {"Substitutions": {"x": ["<&>"]}})
    assert sent.from_address == "shop@example.com"
    assert (sent.subject.data, sent.text.data) == ("S <&>", "T <&>")
    assert sent.html.data == "<p>&lt;&amp;&gt;</p>"
    assert sent.headers == (("X-Inline", "1"),)

    template["Headers"] = [{"Name": "X-Mine", "Value": "{{x}}"}]
    sent = rendered("EMAIL", {"EmailTemplate": template}, {"Substitutions": {"x": ["2"]}})
    assert sent.headers == (("X-Mine", "2"),)


def test_a_raw_email_beside_a_template_is_not_sent():
    config = {"EmailMessage": {"RawEmail": {"Data": b"Subject: inline\r\n\r\n"}}}
    sent = rendered("EMAIL", {"EmailTemplate": {"TextPart": "template"}}, config=config)
    assert sent.text.data == "template"


@pytest.mark.parametrize("channel", ["APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX"])
def test_apns_part_over_the_default_part(channel):
    push = {
        "APNS": {"Title": "A", "MediaUrl": "https://media"},
        "Default": {
            "Title": "D",
            "Body": "D",
            "Sound": "ding",
            "Action": "URL",
            "Url": "https://d",
        },
    }
    aps = {"alert": {"title": "A", "body": "D"}, "sound": "ding", "thread-id": "7"}
    flags = {"content-available": 1, "mutable-content": 1}
    assert rendered(channel, {"PushTemplate": push}).payload == {
        "aps": {**aps, **flags},
        "data": {"media-url": "https://media", "pinpoint": {"deeplink": "https://d"}},
    }


def test_gcm_default_part_alone():
    push = {"Default": {"Title": "D", "Body": "Hi {{User.UserId}}"}}
    sent = rendered("GCM", {"PushTemplate": push}, variables={"User.UserId": "u"})
    data = sent.message["data"]
    assert data["pinpoint.notification.title"] == "D"
    assert data["pinpoint.notification.body"] == "Hi u"
    assert "pinpoint.notification.sound" not in data
    assert sent.message["android"]["collapse_key"] == "k"


@pytest.mark.parametrize(("channel", "part"), [("ADM", "ADM"), ("BAIDU", "Baidu")])
def test_the_other_parts(channel, part):
    push = {part: {"Body": "mine", "ImageUrl": "https://i"}, "Default": {"Body": "D"}}
    sent = rendered(channel, {"PushTemplate": push})
    data = sent.data if channel == "ADM" else sent.message
    assert data["pinpoint.notification.body"] == "mine"
    assert data["pinpoint.notification.imageUrl"] == "https://i"


def test_raw_content_of_a_part_takes_helpers():
    raw = json.dumps({"aps": {"alert": "{{upper 'hi'}} {{x}}"}})
    push = {"APNS": {"RawContent": raw}, "Default": {"Body": "D"}}
    sent = rendered("APNS", {"PushTemplate": push}, {"Substitutions": {"x": ["1"]}})
    assert sent.payload == {"aps": {"alert": "HI 1"}}


def test_what_the_recipient_has_of_its_own_wins():
    templates = {"SMSTemplate": {"Body": "template"}, "PushTemplate": {"APNS": {"Title": "t"}}}
    assert rendered("SMS", templates, {"BodyOverride": "mine"}).body == "mine"
    override = {"TitleOverride": "mine"}
    assert rendered("APNS", templates, override).payload["aps"]["alert"] == {"title": "mine"}
    raw = {"RawContent": '{"own": 1}'}
    assert rendered("APNS", templates, raw).payload == {"own": 1}
    assert rendered("GCM", {"PushTemplate": {}}, {"BodyOverride": "mine"}).message["data"]


def test_whose_value_wins():
    defaults = json.dumps(dict.fromkeys("abcd", "template") | {"User.UserAttributes.X": "friend"})
    body = "{{a}} {{b}} {{c}} {{d}} {{User.UserAttributes.X}} {{lower User.UserAttributes.X.[0]}}"
    config = {"SMSMessage": {"Substitutions": {"a": ["message"], "b": ["message"]}}}
    sent = rendered(
        "SMS",
        {"SMSTemplate": {"Body": body, "DefaultSubstitutions": defaults}},
        {"Substitutions": {"a": ["mine"]}},
        config,
        {"a": ["attribute"], "b": ["attribute"], "c": ["attribute"]},
    )
    assert sent.body == "mine message attribute template friend friend"


@pytest.mark.parametrize(
    ("channel", "templates", "code", "text"),
    [
        ("SMS", {}, 404, "Resource not found"),
        ("EMAIL", {"SMSTemplate": {"Body": "x"}}, 404, "Resource not found"),
        ("SMS", {"SMSTemplate": {}}, 400, "The message has no body for SMS"),
        ("VOICE", {"VoiceTemplate": {}}, 400, "The message has no body for VOICE"),
        ("EMAIL", {"EmailTemplate": {"Subject": "x"}}, 400, "The message has no body for EMAIL"),
        (
            "APNS",
            {"PushTemplate": {"GCM": {"Body": "x"}}},
            400,
            "The template has neither APNS nor Default content",
        ),
        ("GCM", {"PushTemplate": {"GCM": {}}}, 400, "The message has no content for this channel"),
    ],
)
def test_what_cannot_be_sent(channel, templates, code, text):
    with pytest.raises(Unrenderable) as refused:
        rendered(channel, templates)
    assert (refused.value.code, refused.value.text) == (code, text)


def test_channels_without_a_template_of_theirs_send_the_message():
    request = {
        "MessageConfiguration": EVERYTHING,
        "TemplateConfiguration": {"EmailTemplate": {"Name": "t"}},
    }
    content = wire.convert(request, Content)
    assert render(ChannelType.SMS, content, wire.EndpointSendConfiguration()).body == "inline"
    assert rendered("CUSTOM", {}).data["Message"]["Body"] == "push"
