"""SMS, voice, webhooks, and what holds for every channel."""

import json

import pytest

from adapters.contract import ChannelType
from adapters.messages import Custom, Sms, Voice
from worker import wire
from worker.render import Unrenderable, render


def rendered(channel, config, recipient=None, **request):
    whole = wire.convert({"MessageConfiguration": config, **request}, wire.MessageRequest)
    entry = wire.convert(recipient or {}, wire.AddressConfiguration)
    return render(ChannelType(channel), whole, entry)


def refusal(channel, config, recipient=None, **request):
    with pytest.raises(Unrenderable) as refused:
        rendered(channel, config, recipient, **request)
    return refused.value.code, refused.value.text


def test_an_sms_with_everything():
    message = {
        "Body": "Hello",
        "MessageType": "PROMOTIONAL",
        "OriginationNumber": "+12065550100",
        "SenderId": "ACME",
        "Keyword": "KW",
        "EntityId": "e",
        "TemplateId": "t",
        "MediaUrl": "https://x.test/m.png",
    }

    assert rendered("SMS", {"SMSMessage": message}) == Sms(
        body="Hello",
        promotional=True,
        origination_number="+12065550100",
        sender_id="ACME",
        keyword="KW",
        entity_id="e",
        template_id="t",
        media_url="https://x.test/m.png",
    )


def test_an_sms_is_transactional_unless_it_says_otherwise():
    assert rendered("SMS", {"SMSMessage": {"Body": "x"}}) == Sms(body="x", promotional=False)


@pytest.mark.parametrize(("channel", "member"), [("SMS", "SMSMessage"), ("VOICE", "VoiceMessage")])
def test_whose_body_wins(channel, member):
    config = {"DefaultMessage": {"Body": "default"}}
    assert rendered(channel, config).body == "default"
    config[member] = {"Body": "channel"}
    assert rendered(channel, config).body == "channel"
    mine = {"BodyOverride": "mine", "RawContent": "for pushes", "TitleOverride": "no"}
    assert rendered(channel, config, mine).body == "mine"


@pytest.mark.parametrize("channel", ["SMS", "VOICE"])
@pytest.mark.parametrize("body", [None, "", "{{missing}}"])
def test_a_body_is_required(channel, body):
    config = {"DefaultMessage": {"Body": body}}

    assert refusal(channel, config) == (400, f"The message has no body for {channel}")


@pytest.mark.parametrize(
    "body",
    [
        "a" * 1600,
        "é" * 1600,
        "€" * 800,
        "€" * 799 + "ab",
        "ы" * 630,
        "a" * 629 + "ы",
        "😀" * 315,
    ],
)
def test_the_longest_sms(body):
    assert rendered("SMS", {"SMSMessage": {"Body": body}}).body == body
    longer = {"SMSMessage": {"Body": body + "a"}}
    text = "Message too long: the limit is 1600 GSM or 630 other characters"
    assert refusal("SMS", longer) == (400, text)


@pytest.mark.parametrize("char", list("^{}\\[]~|€"))
def test_extended_gsm_characters_count_two(char):
    almost = f"a{char}" * 533  # a brace next to another would open a variable

    rendered("SMS", {"SMSMessage": {"Body": almost + "a"}})
    with pytest.raises(Unrenderable):
        rendered("SMS", {"SMSMessage": {"Body": almost + "aa"}})


def test_a_call():
    message = {
        "Body": "Hello",
        "OriginationNumber": "+12065550100",
        "LanguageCode": "en-US",
        "VoiceId": "Joanna",
    }

    assert rendered("VOICE", {"VoiceMessage": message}) == Voice(
        body="Hello",
        origination_number="+12065550100",
        language_code="en-US",
        voice_id="Joanna",
    )


def test_a_webhook():
    config = {
        "DefaultPushNotificationMessage": {
            "Title": "T {{x}}",
            "Action": "URL",
            "Url": "https://x.test/{{x}}",
            "Data": {"k": "{{x}}"},
            "SilentPush": True,
            "Substitutions": {"x": ["1"]},
        },
        "DefaultMessage": {"Body": "B"},
    }

    assert rendered(
        "CUSTOM", config, {"Context": {"b": "2"}}, Context={"a": "1"}, TraceId="t"
    ) == Custom(
        data={
            "Message": {
                "Title": "T 1",
                "Body": "B",
                "Action": "URL",
                "Url": "https://x.test/1",
                "Data": {"k": "1"},
                "SilentPush": True,
            },
            "Context": {"a": "1", "b": "2"},
            "TraceId": "t",
        }
    )
    assert rendered("CUSTOM", {"DefaultMessage": {"Body": "B"}}) == Custom(
        data={"Message": {"Body": "B"}}
    )


def test_a_webhook_with_raw_content():
    content = {"event": "{{x}}", "n": [1, {"deep": "{{x}}"}]}
    mine = {"RawContent": json.dumps(content), "Substitutions": {"x": ['a"b']}}

    assert rendered("CUSTOM", {"DefaultMessage": {"Body": "no"}}, mine) == Custom(
        data={"Message": {"event": 'a"b', "n": [1, {"deep": 'a"b'}]}}
    )
    assert refusal("CUSTOM", {}, {"RawContent": "[1]"}) == (400, "RawContent is not a JSON object")
    assert refusal("CUSTOM", {}) == (400, "The message has no content for this channel")


TEMPLATES = {
    "EMAIL": "EmailTemplate",
    "SMS": "SMSTemplate",
    "VOICE": "VoiceTemplate",
    "GCM": "PushTemplate",
    "APNS": "PushTemplate",
    "APNS_VOIP": "PushTemplate",
    "ADM": "PushTemplate",
    "BAIDU": "PushTemplate",
}
CONTENT = {"DefaultMessage": {"Body": "B"}}


@pytest.mark.parametrize("channel", [*TEMPLATES, "CUSTOM"])
@pytest.mark.parametrize("template", [*sorted(set(TEMPLATES.values())), "InAppTemplate"])
def test_only_a_template_for_this_channel_is_not_found(channel, template):
    templates = {template: {"Name": "welcome"}}

    if TEMPLATES.get(channel) == template:
        found = refusal(channel, CONTENT, TemplateConfiguration=templates)
        assert found == (404, "Resource not found")
    else:
        rendered(channel, CONTENT, TemplateConfiguration=templates)


@pytest.mark.parametrize("channel", ["PUSH", "IN_APP"])
def test_channels_that_cannot_be_sent_to(channel):
    text = f"Messages cannot be sent to a channel of type {channel}"

    assert refusal(channel, CONTENT) == (400, text)


@pytest.mark.parametrize("channel", ["SMS", "VOICE", "EMAIL", "GCM", "APNS", "ADM", "CUSTOM"])
def test_half_a_surrogate_pair_is_refused(channel):
    config = {"DefaultMessage": {"Body": "\ud83d"}}

    assert refusal(channel, config) == (400, "The message is not valid Unicode")
