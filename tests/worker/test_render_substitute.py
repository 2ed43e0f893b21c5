"""Variables, and what must hold whatever the request."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import ChannelType
from adapters.messages import Message
from worker import wire
from worker.render import Unrenderable, render

SENDABLE = sorted(set(ChannelType) - {ChannelType.PUSH, ChannelType.IN_APP})


def rendered(channel, config, recipient=None, variables=None):
    whole = wire.convert({"MessageConfiguration": config}, wire.MessageRequest)
    entry = wire.convert(recipient or {}, wire.AddressConfiguration)
    return render(ChannelType(channel), whole, entry, variables)


def sms(body, substitutions=None, variables=None):
    config = {"SMSMessage": {"Body": f"<{body}>"}}
    text = rendered("SMS", config, {"Substitutions": substitutions or {}}, variables).body
    return text[1:-1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{name}}", "Ann"),
        ("{{ name }}", "Ann"),
        ("{{\tname\n}}", "Ann"),
        ("Hi {{name}}{{name}}!", "Hi AnnAnn!"),
        ("{{{name}}}", "Ann"),
        ("{{name.[0]}}", "Ann"),
        ("{{name.[1]}}", "Beth"),
        ("{{name.[2]}}", ""),
        ("{{none}}", ""),
        ("{{missing}}", ""),
        ("{{User.UserAttributes.FirstName}}", "Cid"),
        ("{{User.UserAttributes.[Last Name].[0]}}", "Doe"),
        ("{{User.UserAttributes.[Last Name]}}", "Doe"),
        ("{{first-name}} {{größe}} {{a:b}}", "1 2 3"),
        (r"\{{name}}", "{{name}}"),
        (r"\{{#if}} {{name}}", "{{#if}} Ann"),
        ("{{html}}", "<&>"),
        ("{{nested}}", "{{name}}"),
        ("{name} } }} {", "{name} } }} {"),
    ],
)
def test_variables(body, expected):
    substitutions = {
        "name": ["Ann", "Beth"],
        "none": [],
        "User.UserAttributes.FirstName": ["Cid"],
        "User.UserAttributes.Last Name": ["Doe"],
        "first-name": ["1"],
        "größe": ["2"],
        "a:b": ["3"],
        "html": ["<&>"],
        "nested": ["{{name}}"],
    }

    assert sms(body, substitutions) == expected


@pytest.mark.parametrize("body", ["{{#if x}}y", "{{name}} {{/each}}", "{{}}", "{{", "{{{name}}"])
def test_what_is_no_handlebars_is_refused(body):
    with pytest.raises(Unrenderable) as refused:
        sms(body)

    assert refused.value.code == 400
    assert refused.value.text.startswith("The text is not valid Handlebars: ")


def test_whose_value_wins():
    config = {
        "SMSMessage": {
            "Body": "{{a}} {{b}} {{c}} {{d}}",
            "Substitutions": {"a": ["channel"], "b": ["channel"]},
        },
        "DefaultMessage": {"Substitutions": {"a": ["x"], "b": ["x"], "c": ["default"]}},
    }
    variables = {"a": ["y"], "b": ["y"], "c": ["y"], "d": ["attribute"]}

    sent = rendered("SMS", config, {"Substitutions": {"a": ["mine"]}}, variables)
    assert sent.body == "mine channel default attribute"


@pytest.mark.parametrize(
    ("value", "expected"), [("x", "x"), (True, "true"), (37.5, "37.5"), (7, "7"), (None, "")]
)
def test_attributes_may_be_scalars(value, expected):
    assert sms("{{v}}{{v.[0]}}{{v.[1]}}", variables={"v": value}) == expected * 2


def test_every_text_of_a_push_is_filled():
    names = ("Title", "Body", "Url", "ImageUrl", "ImageIconUrl", "IconReference", "Sound")
    message = dict.fromkeys(names, "{{x}}")
    config = {"GCMMessage": {**message, "Action": "URL", "Data": {"{{x}}": "{{x}}"}}}
    sent = rendered("GCM", config, {"Substitutions": {"x": ["1"]}})

    assert sent.message["data"] == {
        "pinpoint.url": "1",
        "pinpoint.notification.title": "1",
        "pinpoint.notification.body": "1",
        "pinpoint.notification.imageUrl": "1",
        "pinpoint.notification.imageIconUrl": "1",
        "pinpoint.notification.icon": "1",
        "pinpoint.notification.sound": "1",
        "pinpoint.campaign.campaign_id": "_DIRECT",
        "pinpoint.notification.silentPush": "0",
        "pinpoint.jsonBody": '{"{{x}}":"1"}',
    }


def test_raw_content_keeps_what_it_does_not_know():
    raw = {"a": "{{x}} {{y}} {{#if z}}", "{{x}}": 1, "b": [r"\{{x}}", "{{{x}}}"]}
    raw["c"] = "{{own x}} {{y}}"
    sent = rendered("APNS", {}, {"RawContent": json.dumps(raw), "Substitutions": {"x": ['"']}})

    assert sent.payload == {
        "a": '" {{y}} {{#if z}}',
        "{{x}}": 1,
        "b": ["{{x}}", '"'],
        "c": "{{own x}} {{y}}",
    }


def test_raw_content_takes_helpers():
    raw = {"a": "{{upper x}}", "b": {"c": "{{#if y}}1{{else}}2{{/if}}"}}
    sent = rendered("APNS", {}, {"RawContent": json.dumps(raw), "Substitutions": {"x": ["x"]}})

    assert sent.payload == {"a": "X", "b": {"c": "2"}}


def test_output_is_bounded_over_all_texts():
    config = {"EmailMessage": {"SimpleEmail": {"TextPart": {"Data": "{{x}}" * 10}}}}
    mine = {"Substitutions": {"x": ["v" * 1_000_000]}}
    assert len(rendered("EMAIL", config, mine).text.data) == 10_000_000

    config["EmailMessage"]["SimpleEmail"]["Subject"] = {"Data": "{{y}}!"}
    with pytest.raises(Unrenderable) as refused:
        rendered("EMAIL", config, mine)
    assert (refused.value.code, refused.value.text) == (
        413,
        "The message is over 10 MB once its variables are in",
    )


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["{{" * 200_000, "{{ " + " " * 400_000, "{{" + "a." * 200_000])
def test_parsing_takes_linear_time(text):
    with pytest.raises(Unrenderable):
        sms(text)
    raw = json.dumps({"k": text})
    with pytest.raises(Unrenderable, match=r"too large|too many tags"):
        rendered("APNS", {}, {"RawContent": raw})


VALUES = st.text(alphabet=st.sampled_from("\"'\\{}[]:,\n a\u2028é😀"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "{{v}}", "a{{v.[1]}}b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUES, inner, max_size=3),
    max_leaves=8,
)


def shape(value):
    """A JSON value with every string blanked."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "" if isinstance(value, str) else value


@given(raw=st.dictionaries(VALUES, JSON, max_size=3), values=st.lists(VALUES, max_size=2))
def test_values_never_change_the_structure_of_raw_content(raw, values):
    recipient = {"RawContent": json.dumps(raw), "Substitutions": {"v": values}}
    for channel in ("APNS", "CUSTOM"):
        sent = rendered(channel, {}, recipient)
        payload = sent.payload if channel == "APNS" else sent.data.get("Message", {})
        assert shape(json.loads(wire.encode(payload))) == shape(raw)


WORDS = st.sampled_from(
    [
        "",
        "x",
        "5",
        "é",
        "{{v}}",
        "{{#if}}",
        "{{upper v}}",
        "{{#each v}}{{this}}{{/each}}",
        "{",
        "\\{{",
        "'",
        "{'a':'{{v}}'}",
        '{"data":{"a":[1]}}',
    ]
) | st.text(max_size=6)
RAW = (
    WORDS
    | JSON.map(json.dumps)
    | st.builds(
        lambda inner: json.dumps({"fcmV1Message": {"message": inner}, "notification": inner}), JSON
    )
)
STRANGE = {"RawContent": RAW, "TimeToLive": st.integers() | st.just(10**50)}


def shapes(kind):
    """Any value of a wire type, its members mostly left out."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of(*(shapes(inner) for inner in kind.types))
    if isinstance(kind, msgspec.inspect.StructType):
        members = {
            field.name: STRANGE[field.name] if field.name in STRANGE else shapes(field.type)
            for field in kind.fields
        }
        required = {f.name: members.pop(f.name) for f in kind.fields if f.required}
        return st.fixed_dictionaries(required, optional=members)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(WORDS, shapes(kind.value_type), max_size=2)
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(shapes(kind.item_type), max_size=2)
    if isinstance(kind, msgspec.inspect.EnumType):
        return st.sampled_from([member.value for member in kind.cls])
    plain = {
        msgspec.inspect.StrType: WORDS,
        msgspec.inspect.IntType: st.integers(),
        msgspec.inspect.BoolType: st.booleans(),
        msgspec.inspect.BytesType: st.just("eA=="),
        msgspec.inspect.NoneType: st.none(),
    }
    return plain[type(kind)]


CONFIGS = shapes(msgspec.inspect.type_info(wire.DirectMessageConfiguration))
RECIPIENTS = shapes(msgspec.inspect.type_info(wire.EndpointSendConfiguration))


@given(
    channel=st.sampled_from(SENDABLE),
    config=CONFIGS,
    recipient=RECIPIENTS,
    context=st.none() | st.dictionaries(WORDS, WORDS, max_size=2),
)
def test_nothing_but_unrenderable_is_raised(channel, config, recipient, context):
    body = {"MessageConfiguration": config, "Context": context}
    request = wire.decode(json.dumps(body).encode(), wire.MessageRequest)
    entry = wire.decode(json.dumps(recipient).encode(), wire.EndpointSendConfiguration)

    with contextlib.suppress(Unrenderable):
        message = render(channel, request, entry, {"v": ["1"]})
        assert isinstance(message, Message)
        wire.encode(message)
