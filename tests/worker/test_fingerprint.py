"""Which messages are the same, and which only look like it."""

import pytest

from adapters.contract import ChannelType
from worker import fingerprint, plan, render, wire

ADDRESS = "+14255550100"
ENDPOINT = {
    "Id": "e1",
    "ChannelType": "SMS",
    "Address": ADDRESS,
    "EffectiveDate": "2026-11-01T12:00:00.000Z",
    "Attributes": {"Plan": ["gold"]},
    "User": {"UserId": "ann"},
}


def known(*, body="Hello", to=ADDRESS, own=None, endpoint=None, channel="SMS", **content):
    """The fingerprint of a message to an address, or to an endpoint that is like `ENDPOINT` but
    for what is given."""
    content = {"MessageConfiguration": {"DefaultMessage": {"Body": body}}} | content
    own, request = own or {}, {"MessageConfiguration": {}}
    endpoints = {}
    if endpoint is None:
        request["Addresses"] = {to: {"ChannelType": channel} | own}
    else:
        request["Endpoints"] = {"e1": own}
        endpoints["e1"] = wire.convert(ENDPOINT | endpoint, wire.EndpointResponse)
    directory = plan.Directory(
        application_id="0" * 32, endpoints=endpoints, opt_outs=(), channels=frozenset(ChannelType)
    )
    recipients = plan.plan(wire.convert(request, wire.MessageRequest), directory)
    (found,) = fingerprint.fingerprints(wire.convert(content, render.Content), recipients)
    return found


NAMED = "You are on {{Attributes.Plan}}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"TraceId": "a"}, {"TraceId": "b"}),
        ({"to": "+1 (425) 555-0100"}, {}),
        (
            {"channel": "EMAIL", "to": "Ann@Example.com"},
            {"channel": "EMAIL", "to": "ann@example.com"},
        ),
        ({"Context": {"a": "1", "b": "2"}}, {"Context": {"b": "2", "a": "1"}}),
        (
            {"own": {"Substitutions": {"a": ["1"], "b": ["2"]}}},
            {"own": {"Substitutions": {"b": ["2"], "a": ["1"]}}},
        ),
        # What nobody names makes no difference.
        ({"endpoint": {}}, {}),
        ({"endpoint": {}}, {"endpoint": {"Attributes": {"Plan": ["silver"]}}}),
        (
            {"endpoint": {}, "body": NAMED},
            {"endpoint": {"EffectiveDate": "2026-11-02T12:00:00.000Z"}, "body": NAMED},
        ),
        ({"endpoint": {}, "body": NAMED}, {"endpoint": {"Id": "e2"}, "body": NAMED}),
        ({"endpoint": {}, "body": NAMED}, {"endpoint": {"RequestId": "r2"}, "body": NAMED}),
    ],
)
def test_the_same(one, other):
    assert known(**one) == known(**other)
    assert len(known(**one)) == 64


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"body": "Hello!"}, {}),
        ({"to": "+14255550101"}, {}),
        ({"channel": "VOICE"}, {}),
        ({"Context": {"a": "1"}}, {}),
        ({"own": {"BodyOverride": "Hi"}}, {}),
        ({"own": {"Substitutions": {"a": ["1"]}}}, {"own": {"Substitutions": {"a": ["2"]}}}),
        ({"own": {"RawContent": "{}"}}, {"own": {"TitleOverride": "{}"}}),
        # A template as it is when it is named.
        (
            {"Templates": {"SMSTemplate": {"Body": "one"}}},
            {"Templates": {"SMSTemplate": {"Body": "two"}}},
        ),
        # What a text names, wherever it does.
        (
            {"endpoint": {}, "body": NAMED},
            {"endpoint": {"Attributes": {"Plan": ["silver"]}}, "body": NAMED},
        ),
        (
            {"endpoint": {}, "body": "of {{EffectiveDate}}"},
            {
                "endpoint": {"EffectiveDate": "2026-11-02T12:00:00.000Z"},
                "body": "of {{EffectiveDate}}",
            },
        ),
        (
            {"endpoint": {}, "own": {"BodyOverride": "{{RequestId}}"}},
            {"endpoint": {"RequestId": "r2"}, "own": {"BodyOverride": "{{RequestId}}"}},
        ),
        (
            {"endpoint": {}, "own": {"BodyOverride": "{{Id}}"}},
            {"endpoint": {"Id": "e2"}, "own": {"BodyOverride": "{{Id}}"}},
        ),
        (
            {"endpoint": {}, "own": {"RawContent": r'{"a": "\u007b\u007bId}}"}'}},
            {"endpoint": {"Id": "e2"}, "own": {"RawContent": r'{"a": "\u007b\u007bId}}"}'}},
        ),
    ],
)
def test_not_the_same(one, other):
    assert known(**one) != known(**other)


def test_who_is_not_sent_to_has_none():
    assert known(to=" ") is None
    assert known(endpoint={"OptOut": "ALL"}) is None
