"""Reading what was saved of Pinpoint: every shape, in every wrapping, and what is none."""

import gzip
import json
import tracemalloc

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import saved

APP = "6e0b7591a90841d2b5d93fa11143e5a7"
ENDPOINT = {
    "Address": "+11234567890",
    "ApplicationId": APP,
    "Attributes": {"Item": ["music"]},
    "ChannelType": "SMS",
    "CohortId": "63",
    "CreationDate": "2019-01-28T23:55:11.534Z",
    "EffectiveDate": "2021-08-06T00:04:51.763Z",
    "EndpointStatus": "ACTIVE",
    "Id": "testendpoint",
    "OptOut": "ALL",
    "User": {"UserAttributes": {"Age": ["24"]}, "UserId": "testuser"},
}
APPLICATION = {
    "Arn": f"arn:aws:mobiletargeting:us-east-1:AIDACKCEVSQ6C2EXAMPLE:apps/{APP}",
    "Id": APP,
    "Name": "ExampleCorp",
    "tags": {"Year": "2019"},
}
GCM = {
    "ApplicationId": APP,
    "CreationDate": "2019-10-08T18:28:23.182Z",
    "Enabled": True,
    "HasCredential": True,
    "Id": "gcm",
    "IsArchived": False,
    "LastModifiedDate": "2019-10-08T18:28:23.182Z",
    "Platform": "GCM",
    "Version": 1,
}
SMS_TEMPLATE = {
    "Arn": "arn:aws:mobiletargeting:us-east-1:AIDACKCEVSQ6C2EXAMPLE:templates/TestTemplate/SMS",
    "Body": "hello\n how are you?\n food is good",
    "CreationDate": "2023-06-20T21:37:30.124Z",
    "LastModifiedDate": "2023-06-20T21:37:30.124Z",
    "tags": {},
    "TemplateName": "TestTemplate",
    "TemplateType": "SMS",
    "Version": "1",
}
LISTED = {name: one for name, one in SMS_TEMPLATE.items() if name != "Body"}
SETTINGS = {"ApplicationId": APP, "QuietTime": {"Start": "22:00", "End": "07:00"}}
CAMPAIGN = {
    "ApplicationId": APP,
    "Arn": f"arn:aws:mobiletargeting:us-east-1:AIDA:apps/{APP}/campaigns/x",
    "Limits": {"Daily": 1},
}

SHAPES = {
    "get-endpoint": ({"EndpointResponse": ENDPOINT}, [saved.Endpoint]),
    "get-user-endpoints": (
        {"EndpointsResponse": {"Item": [ENDPOINT, ENDPOINT]}},
        [saved.Endpoint, saved.Endpoint, saved.Page],
    ),
    "get-app": ({"ApplicationResponse": APPLICATION}, [saved.Application]),
    "get-apps": (
        {"ApplicationsResponse": {"Item": [APPLICATION], "NextToken": "eyJD"}},
        [saved.Application, saved.Page],
    ),
    "get-channels": (
        {"ChannelsResponse": {"Channels": {"GCM": GCM, "IN_APP": {"Enabled": True}}}},
        [saved.Channel, saved.Problem],
    ),
    "get-gcm-channel": ({"GCMChannelResponse": GCM}, [saved.Channel]),
    "get-application-settings": ({"ApplicationSettingsResource": SETTINGS}, [saved.Settings]),
    "get-sms-template": ({"SMSTemplateResponse": SMS_TEMPLATE}, [saved.Template]),
    "list-templates": (
        {"TemplatesResponse": {"Item": [LISTED]}},
        [saved.ListedTemplate, saved.Page],
    ),
    "list-template-versions": (
        {"TemplateVersionsResponse": {"Item": [LISTED]}},
        [saved.ListedTemplate, saved.Page],
    ),
    "get-event-stream": (
        {"EventStream": {"ApplicationId": APP, "DestinationStreamArn": "arn:aws:kinesis:x"}},
        [saved.EventStream],
    ),
    "get-campaign": ({"CampaignResponse": CAMPAIGN}, [saved.Problem]),
    "list-tags-for-resource": ({"TagsModel": {"tags": {"a": "b"}}}, [saved.Problem]),
    "describe-opted-out-numbers": (
        {
            "OptOutListName": "Default",
            "OptedOutNumbers": [{"OptedOutNumber": "+15550100200", "OptedOutTimestamp": 1e9}],
        },
        [saved.OptOut, saved.Page],
    ),
    "list-suppressed-destinations": (
        {"SuppressedDestinationSummaries": [{"EmailAddress": "a@b.c", "Reason": "BOUNCE"}]},
        [saved.OptOut, saved.Page],
    ),
    "get-suppressed-destination": (
        {"SuppressedDestination": {"EmailAddress": "a@b.c", "Reason": "COMPLAINT"}},
        [saved.OptOut],
    ),
    "sns list-phone-numbers-opted-out": (
        {"phoneNumbers": ["+15550100200", "15550100201"]},
        [saved.OptOut, saved.OptOut, saved.Page],
    ),
    "sesv2 list-contacts": (
        {
            "Contacts": [
                {"EmailAddress": "a@b.c", "UnsubscribeAll": True},
                {"EmailAddress": "d@e.f"},
            ]
        },
        [saved.OptOut, saved.Page],
    ),
    "a bare endpoint": (ENDPOINT, [saved.Endpoint]),
    "a bare application": (APPLICATION, [saved.Application]),
    "bare channels": ({"Channels": {"GCM": GCM}}, [saved.Channel]),
    "a bare channel": (GCM, [saved.Channel]),
    "bare settings": (SETTINGS, [saved.Settings]),
    "a bare template": (SMS_TEMPLATE, [saved.Template]),
    "a bare page": ({"Item": [APPLICATION]}, [saved.Application, saved.Page]),
    "a bare campaign": (CAMPAIGN, [saved.Problem]),
    "an error": ({"Message": "Resource not found", "RequestID": "x"}, [saved.Problem]),
}
MODEL = botocore.session.get_session().get_service_model("pinpoint")
TAKEN = {
    "GetApp": {saved.Application},
    "GetApplicationSettings": {saved.Settings},
    "GetApps": {saved.Application, saved.Page},
    "GetChannels": {saved.Channel},
    "GetEndpoint": {saved.Endpoint},
    "GetEventStream": {saved.EventStream},
    "GetUserEndpoints": {saved.Endpoint, saved.Page},
    "ListTemplates": {saved.ListedTemplate, saved.Page},
    "ListTemplateVersions": {saved.ListedTemplate, saved.Page},
    **{f"Get{one}Template": {saved.Template} for one in ("Email", "Push", "Sms", "Voice")},
    **{
        one: {saved.Channel}
        for one in MODEL.operation_names
        if one.startswith("Get") and one.endswith("Channel")
    },
}
METADATA = {"ResponseMetadata": {"RequestId": "x", "HTTPStatusCode": 200}}


@pytest.fixture
def read(tmp_path):
    def read(content, name="file"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        (found,) = saved.files([file])
        return list(saved.read(found))

    return read


def kinds(found):
    return [type(one.item) for one in found]


def dumps(value):
    """The same value as people's tools write it."""
    return {
        "one line": json.dumps(value),
        "AWS CLI": json.dumps(value, indent=4) + "\n",
        "Windows": json.dumps(value, indent=4).replace("\n", "\r\n"),
        "two spaces": "\n\n" + json.dumps(value, indent=2, sort_keys=True),
        "a list": json.dumps([value], indent=1),
        "a list on one line": json.dumps([value]),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_known_by_its_content_however_it_is_written(shape, read):
    value, expected = SHAPES[shape]
    for text in dumps(value).values():
        assert kinds(read(text)) == expected
        assert kinds(read(gzip.compress(text.encode()))) == expected
        assert kinds(read(b"\xef\xbb\xbf" + text.encode())) == expected
        assert kinds(read(text.encode("utf-16"))) == expected
    if any(name.endswith("Response") for name in value):
        assert kinds(read(json.dumps({**METADATA, **value}))) == expected


def filled(shape, name=""):
    """A value of one of botocore's shapes, with every member that there is."""
    match shape.type_name:
        case "structure":
            return {one: filled(inner, one) for one, inner in shape.members.items()}
        case "list":
            return [filled(shape.member, name)]
        case "map":
            key = "GCM" if name == "Channels" else "key"
            return {key: filled(shape.value, name)}
        case "string":
            known = {"ApplicationId": APP, "Id": APP, "Arn": APPLICATION["Arn"], "Platform": "GCM"}
            return shape.enum[0] if shape.enum else known.get(name, name or "text")
        case "timestamp":
            return "2024-01-01T00:00:00.000Z"
        case other:
            return {"boolean": True, "integer": 1, "double": 1.5}[other]


@pytest.mark.parametrize(
    "operation", [one for one in MODEL.operation_names if one.startswith(("Get", "List"))]
)
def test_of_all_that_pinpoint_can_be_asked_for_each_is_taken_or_left_knowingly(operation, read):
    value = filled(MODEL.operation_model(operation).output_shape)
    if operation.endswith("Template"):
        (shape,) = value.values()
        shape["TemplateType"] = operation.removeprefix("Get").removesuffix("Template").upper()
    if operation.startswith(("GetCampaign", "GetJourney", "ListJourneys")):
        value = json.loads(json.dumps(value).replace(f":apps/{APP}", f":apps/{APP}/campaigns/x"))
    found = read(json.dumps(value))
    assert found
    if operation in TAKEN:
        assert set(kinds(found)) == TAKEN[operation]
        return
    assert set(kinds(found)) == {saved.Problem}
    assert not any(one.item.attention for one in found)
    # What is around it may be gone; it is still nothing that is stored.
    for inner in value.values():
        bare = read(json.dumps(inner))
        assert set(kinds(bare)) <= {saved.Problem, saved.Page, saved.ListedTemplate}, bare


def test_values_after_each_other_are_all_read_with_their_lines(read):
    text = "".join(f"{json.dumps(value, indent=4)}\n" for value, _ in SHAPES.values())
    assert kinds(read(text)) == [kind for _, kinds in SHAPES.values() for kind in kinds]
    assert kinds(read(text.replace("}\n{", "}{"))) == kinds(read(text))
    lines = "".join(f"{json.dumps(ENDPOINT)}\n" for _ in range(3))
    assert [one.line for one in read(lines)] == [1, 2, 3]
    pretty = json.dumps({"EndpointsResponse": {"Item": [ENDPOINT, ENDPOINT]}}, indent=4)
    length = len(json.dumps(ENDPOINT, indent=4).splitlines())
    assert [one.line for one in read(pretty)] == [4, 4 + length, 1]


_OTHER = st.sampled_from([None, 1, "", "x", [], {}, [None], [{}], {"Item": [1]}, 10**30, "\0", 1.5])


def _altered(value, data):
    """The value with some of what is in it replaced by what is never there."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(_OTHER)
    if isinstance(value, dict):
        return {name: _altered(one, data) for name, one in value.items()}
    return [_altered(one, data) for one in value] if isinstance(value, list) else value


@given(st.data())
def test_whatever_is_in_a_file_nothing_is_raised(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("saved") / "file"
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    file.write_text(json.dumps(_altered(SHAPES[shape][0], data), indent=2))
    for one in saved.read(saved.files([file])[0]):
        assert isinstance(one.item, saved.Item)


@pytest.mark.parametrize("wrong", [["SMS"], {"a": "SMS"}, None, 1])
def test_a_template_of_a_type_that_is_no_text_is_told(wrong, read):
    (found,) = read(json.dumps({"SMSTemplateResponse": {**SMS_TEMPLATE, "TemplateType": wrong}}))
    assert "TemplateType" in found.item.reason


def test_members_come_through_whole(read):
    (found,) = read(json.dumps({"EndpointResponse": ENDPOINT}, indent=4))
    assert found.item.members == ENDPOINT
    assert found.item.request().Attributes == {"Item": ["music"]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    ),
    st.sampled_from([None, 0, 1, 4]),
)
def test_any_attribute_comes_through_any_writing(tmp_path_factory, value, indent):
    file = tmp_path_factory.mktemp("saved") / "file"
    item = {**ENDPOINT, "Anything": value}
    file.write_text(json.dumps([item, {"EndpointResponse": item}], indent=indent))
    found = list(saved.read(saved.files([file])[0]))
    assert [one.item.members for one in found] == [item, item]


@pytest.mark.parametrize(
    "broken",
    [
        '{"Address": "+1555", "Attributes": {"a": ["b"',
        '{"Address": "+1555",, "ChannelType": "SMS"}',
        '{"Address": "+1555"',
        '{"Address": "unterminated}',
        "garbage",
        "]",
        '{"a": {',
        '{"Address": "\\ud800 \udcff"}',
    ],
)
def test_a_broken_line_costs_itself_only(broken, read):
    line = json.dumps(ENDPOINT)
    text = f"{line}\n{broken}\n{line}\n{line}\n"
    found = read(text.encode("utf-8", "surrogateescape"))
    assert kinds(found).count(saved.Endpoint) == 3
    assert [one.line for one in found if isinstance(one.item, saved.Problem)][:1] == [2]


def test_a_document_that_was_cut_off_is_told(read):
    text = json.dumps({"EndpointsResponse": {"Item": [ENDPOINT, ENDPOINT]}}, indent=4)
    found = read(text[: len(text) * 3 // 4])
    assert kinds(found) == [saved.Endpoint, saved.Problem]
    assert "cut off" in found[-1].item.reason
    packed = gzip.compress(f"{json.dumps(ENDPOINT)}\n".encode() * 5000)
    found = read(packed[: len(packed) // 2])
    assert kinds(found[:1]) == [saved.Endpoint]
    assert "cut off or damaged" in found[-1].item.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello there\n", "neither JSON nor CSV"),
        (b"ApplicationResponse:\n  Id: x\n", "neither JSON nor CSV"),
        (b"PK\x03\x04rest", "zip"),
        (b"BZh91AY", "bzip2"),
        (b"\x00\x01\x02", "not text"),
        (b"Name,Age\nann,24\n", "neither JSON nor CSV"),
        (b"[" * 100_000, "cut off"),
        (b"[" * 2000 + b"]" * 2000, "nested too deeply"),
        (b'{"a": 1, "b": 2}', "its members are a, b"),
        (b"[1, 2]", "not something that Pinpoint"),
    ],
)
def test_what_is_not_understood_is_said_in_words(content, words, read):
    found = read(content)
    assert {type(one.item) for one in found} == {saved.Problem}
    assert any(words in one.item.reason for one in found), found


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    gone = saved.File(tmp_path / "gone", 3)
    (found,) = saved.read(gone)
    assert "cannot be read" in found.item.reason


def test_a_segment_as_csv(read):
    text = (
        "ChannelType,Address,Id,Location.Country,Location.Latitude,Attributes.a,Metrics.n,"
        "User.UserId,User.UserAttributes.Last Name,User.UserAttributes.Last Name,OptOut\r\n"
        'SMS,+16045550182,e1,CA,52.5,"x,y",2,ann,test10,test20,ALL\r\n'
        "\r\n"
        "EMAIL,b@example.com,,,,,,,,,\r\n"
    )
    for content in (text, "\ufeff" + text, gzip.compress(text.encode())):
        first, second = read(content)
        assert first.line == 2
        assert first.item.members == {
            "ChannelType": "SMS",
            "Address": "+16045550182",
            "Id": "e1",
            "Location": {"Country": "CA", "Latitude": 52.5},
            "Attributes": {"a": ["x,y"]},
            "Metrics": {"n": 2.0},
            "User": {"UserId": "ann", "UserAttributes": {"Last Name": ["test10", "test20"]}},
            "OptOut": "ALL",
        }
        assert second.item.members == {"ChannelType": "EMAIL", "Address": "b@example.com"}
        assert second.item.id is None
    assert kinds(read("Address;ChannelType\n+1555;SMS\n")) == [saved.Endpoint]


def test_what_is_wrong_in_a_csv_costs_its_row_only(read):
    text = (
        "ChannelType,Address,Shoe size\n"
        "SMS,+15550100200,9,10\n"
        '"' + "x" * 200_000 + "\n"
        "SMS,+15550100201,9\n"
    )
    found = read(text)
    assert kinds(found) == [saved.Problem] * 3 + [saved.Endpoint]
    assert [one.line for one in found] == [1, 2, 3, 4]
    assert "Shoe size" in found[0].item.reason
    (user,) = read("User.UserId\nann\n")
    assert not user.item.attention


def test_opt_outs_as_csv(read):
    (number,) = read("OptedOutNumber,OptedOutTimestamp\n+15550100200,2024-01-01T00:00:00Z\n")
    assert number.item.channel_types == ("SMS", "VOICE")
    assert number.item.since.year == 2024
    (email,) = read("EmailAddress,Reason\na@example.com,BOUNCE\n")
    assert email.item.channel_types == ("EMAIL",)


def test_contacts_that_left_some_topics_are_not_lost_silently(read):
    contact = {
        "EmailAddress": "a@example.com",
        "TopicPreferences": [{"TopicName": "news", "SubscriptionStatus": "OPT_OUT"}],
    }
    found = read(json.dumps({"Contacts": [contact]}))
    assert found[0].item.attention
    assert "a@example.com" not in found[0].item.reason


def test_a_tree_is_walked_in_order_and_each_file_once(tmp_path):
    for name in ("b/2/x.gz", "a/1", "a/.hidden", ".git/config", "c"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    found = saved.files([tmp_path, tmp_path / "c", tmp_path / "a"])
    assert [str(one.path.relative_to(tmp_path)) for one in found] == ["c", "a/1", "b/2/x.gz"]
    with pytest.raises(FileNotFoundError):
        saved.files([tmp_path / "gone"])


@pytest.mark.timeout(300)
def test_reading_needs_no_memory_for_what_was_read(tmp_path):
    lines, document = tmp_path / "lines.gz", tmp_path / "document.json"
    with gzip.open(lines, "wt") as file:
        file.writelines(f"{json.dumps({**ENDPOINT, 'Id': str(i)})}\n" for i in range(20_000))
    numbers = [{"OptedOutNumber": f"+1{i:010}", "EndUserOptedOut": True} for i in range(20_000)]
    document.write_text(json.dumps({"OptedOutNumbers": numbers}))
    del numbers
    tracemalloc.start()
    try:
        for file in saved.files([lines, document]):
            assert sum(not isinstance(one.item, saved.Page) for one in saved.read(file)) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20, f"{peak >> 20} MB"
