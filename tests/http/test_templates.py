"""Message templates through the real boto3 client: kept, versioned, listed, and sent with."""

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from tests.http import api as api_
from tests.http.api import SMS
from worker import store

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser")

EMAIL = {
    "Subject": "Hello {{name}}",
    "HtmlPart": "<p>{{upper name}}</p>",
    "TextPart": "Hi {{name}}",
    "Headers": [{"Name": "X-Kind", "Value": "welcome"}],
    "DefaultSubstitutions": '{"name": "friend"}',
    "TemplateDescription": "a welcome",
}
PUSH = {
    "ADM": {"Body": "adm", "Action": "URL", "Url": "https://adm.example"},
    "APNS": {"Title": "apns {{name}}", "Body": "apns", "Sound": "ding"},
    "Baidu": {"Body": "baidu"},
    "GCM": {"Body": "gcm", "ImageUrl": "https://gcm.example/i.png"},
    "Default": {"Title": "default", "Body": "default"},
    "DefaultSubstitutions": '{"name": "friend"}',
}
VOICE = {"Body": "Hello {{name}}", "LanguageCode": "en-GB", "VoiceId": "Amy"}
KINDS = {
    "email": ("EmailTemplate", EMAIL),
    "sms": ("SMSTemplate", {"Body": "Hi {{name}}", "RecommenderId": "r"}),
    "push": ("PushNotificationTemplate", PUSH),
    "voice": ("VoiceTemplate", VOICE),
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


class Templates:
    """The operations on templates of one type, by boto3."""

    def __init__(self, api, kind):
        self.shape, self.content = KINDS[kind]
        self.client = api.boto3()
        self.kind = kind
        self._operations = {
            verb: getattr(self.client, f"{verb}_{kind}_template")
            for verb in ("create", "get", "update", "delete")
        }

    def create(self, name, **changes):
        request = {f"{self.shape}Request": self.content | changes}
        return self._operations["create"](TemplateName=name, **request)["CreateTemplateMessageBody"]

    def update(self, name, description, **options):
        request = {f"{self.shape}Request": self.content | {"TemplateDescription": description}}
        return self._operations["update"](TemplateName=name, **request, **options)["MessageBody"]

    def get(self, name, **options):
        answer = self._operations["get"](TemplateName=name, **options)
        return answer[f"{self.shape}Response"]

    def delete(self, name, **options):
        return self._operations["delete"](TemplateName=name, **options)["MessageBody"]

    def versions(self, name, **options):
        answer = self.client.list_template_versions(
            TemplateName=name, TemplateType=self.kind, **options
        )
        return answer["TemplateVersionsResponse"]

    def activate(self, name, version):
        answer = self.client.update_template_active_version(
            TemplateName=name,
            TemplateType=self.kind,
            TemplateActiveVersionRequest={"Version": version},
        )
        return answer["MessageBody"]

    def told(self, name):
        """The version that a plain get answers, and what it says."""
        found = self.get(name)
        return found["Version"], found.get("TemplateDescription")


@EACH_KIND
def test_created_and_read_back(api, kind):
    templates = Templates(api, kind)
    created = templates.create("Welcome_1-a", tags={"team": "shop"})
    arn = f"arn:aws:mobiletargeting:us-east-1:000000000000:templates/Welcome_1-a/{kind.upper()}"
    assert created.pop("RequestID")
    assert created == {"Arn": arn, "Message": "Created"}

    found = templates.get("Welcome_1-a")
    for date in ("CreationDate", "LastModifiedDate"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop(date))
    assert found == {
        **templates.content,
        "Arn": arn,
        "TemplateName": "Welcome_1-a",
        "TemplateType": kind.upper(),
        "Version": "1",
        "tags": {"team": "shop"},
    }


@EACH_KIND
def test_versions(api, kind):
    templates = Templates(api, kind)
    templates.create("t", TemplateDescription="one")
    assert templates.update("t", "one again")["Message"] == "Accepted"
    assert templates.told("t") == ("1", "one again")

    templates.update("t", "two", CreateNewVersion=True)
    assert templates.told("t") == ("1", "one again"), "a new version is not active by that"
    assert templates.get("t", Version="2")["TemplateDescription"] == "two"
    templates.update("t", "two again")
    templates.update("t", "two at last", Version="2")
    assert templates.get("t", Version="2")["TemplateDescription"] == "two at last"
    templates.update("t", "three", CreateNewVersion=True)

    assert templates.activate("t", "2")["Message"] == "OK"
    assert templates.told("t") == ("2", "two at last")
    templates.activate("t", "latest")
    assert templates.told("t") == ("3", "three")

    listed = templates.versions("t")["Item"]
    assert [(one["Version"], one["TemplateDescription"]) for one in listed] == [
        ("3", "three"),
        ("2", "two at last"),
        ("1", "one again"),
    ]
    assert {(one["TemplateName"], one["TemplateType"]) for one in listed} == {("t", kind.upper())}

    templates.delete("t", Version="3")
    assert templates.told("t") == ("2", "two at last"), "the latest that is left is active"
    templates.update("t", "four", CreateNewVersion=True)
    assert [one["Version"] for one in templates.versions("t")["Item"]] == ["4", "2", "1"]
    templates.delete("t")
    with pytest.raises(templates.client.exceptions.NotFoundException):
        templates.get("t")
    templates.create("t", TemplateDescription="anew")
    assert templates.told("t") == ("1", "anew")


@EACH_KIND
def test_the_last_version_takes_the_template_with_it(api, kind):
    templates = Templates(api, kind)
    templates.create("t")
    assert templates.delete("t", Version="1")["Message"] == "Accepted"
    with pytest.raises(templates.client.exceptions.NotFoundException):
        templates.versions("t")
    templates.create("t")


@EACH_KIND
def test_what_there_is_not(api, kind):
    templates = Templates(api, kind)
    calls = [
        lambda: templates.get("t"),
        lambda: templates.update("t", "x"),
        lambda: templates.delete("t"),
        lambda: templates.versions("t"),
        lambda: templates.activate("t", "latest"),
        lambda: templates.get("T"),
        lambda: templates.get("u", Version="2"),
        lambda: templates.delete("u", Version="2"),
        lambda: templates.activate("u", "2"),
    ]
    templates.create("u")
    for call in calls:
        with pytest.raises(templates.client.exceptions.NotFoundException) as refused:
            call()
        assert refused.value.response["Message"] == "Resource not found"
    assert templates.told("u")[0] == "1"


@EACH_KIND
def test_refusals(api, kind):
    templates = Templates(api, kind)
    templates.create("t")
    bad = templates.client.exceptions.BadRequestException
    for message, call in {
        "there is a template t already": lambda: templates.create("t"),
        "cannot be given together": lambda: templates.update(
            "t", "x", Version="1", CreateNewVersion=True
        ),
        "2 is not the latest version": lambda: templates.update("t", "x", Version="2"),
        "version: must be a number": lambda: templates.get("t", Version="first"),
        "Version: must be a number or latest": lambda: templates.activate("t", "newest"),
        "TemplateName: must be 1 to 128": lambda: templates.create("_t"),
        "TemplateDescription: 501 characters": lambda: templates.create(
            "u", TemplateDescription="x" * 501
        ),
        "DefaultSubstitutions: must be a JSON object": lambda: templates.create(
            "u", DefaultSubstitutions="[]"
        ),
        "contains NUL": lambda: templates.create("u", TemplateDescription="\0"),
        "page-size: must be": lambda: templates.versions("t", PageSize="0"),
        "next-token: is not": lambda: templates.versions("t", NextToken="%"),
        "tags: ": lambda: templates.create("u", tags={str(n): "" for n in range(51)}),
    }.items():
        with pytest.raises(bad) as refused:
            call()
        assert message in refused.value.response["Message"]
    assert templates.told("t")[0] == "1"


@pytest.mark.parametrize(
    ("kind", "content", "member"),
    [
        ("sms", {"Body": "x" * 1601}, "Body: 1601 characters are more than 1600"),
        ("voice", {"Body": "x" * 10_001}, "Body: 10001 characters are more than 10000"),
        ("sms", {"DefaultSubstitutions": "{}" + " " * 100_000}, "DefaultSubstitutions: 100002"),
        ("email", {"HtmlPart": "x" * 600_000}, "characters are more than 600000"),
        ("email", {"Headers": [{"Name": "a"}] * 16}, "Headers: there can be at most 15"),
        ("push", {"APNS": {"RawContent": "x" * 4001}}, "APNS: 4001 characters are more than 4000"),
        ("push", {"ADM": {"Body": "x" * 6001}}, "ADM: 6001 characters are more than 6000"),
        ("push", {"GCM": {"Action": "JUMP"}}, "GCM.Action: Invalid enum value"),
        ("push", {"Default": {"Title": "x" * 2001, "Body": "x" * 2000}}, "Default: 4001"),
    ],
)
def test_limits(api, kind, content, member):
    templates = Templates(api, kind)
    with pytest.raises(templates.client.exceptions.BadRequestException) as refused:
        templates.create("t", **content)
    assert member in refused.value.response["Message"]


def test_a_name_is_of_one_type_and_one_case(api):
    for kind in KINDS:
        Templates(api, kind).create("same")
    Templates(api, "sms").create("Same")
    Templates(api, "sms").delete("same")
    assert Templates(api, "sms").told("Same")[0] == "1"
    assert Templates(api, "voice").told("same")[0] == "1"


def test_tags_are_for_creating(api):
    templates = Templates(api, "sms")
    templates.create("t", tags={"a": "1"})
    request = {"Body": "x", "tags": {"b": "2"}}
    templates.client.update_sms_template(TemplateName="t", SMSTemplateRequest=request)
    assert templates.get("t")["tags"] == {"a": "1"}


def test_listed_by_prefix_and_type_and_in_pages(api):
    for name in ("order-a", "order-b", "Order-c", "other"):
        Templates(api, "sms").create(name)
    Templates(api, "email").create("order-a")
    client = api.boto3()

    def listed(**options):
        found = []
        while True:
            page = client.list_templates(**options)["TemplatesResponse"]
            found += [(one["TemplateName"], one["TemplateType"]) for one in page["Item"]]
            if "NextToken" not in page:
                return found
            options["NextToken"] = page["NextToken"]

    everything = {
        ("order-a", "EMAIL"),
        ("order-a", "SMS"),
        ("order-b", "SMS"),
        ("Order-c", "SMS"),
        ("other", "SMS"),
    }
    assert set(listed()) == everything
    for size in ("1", "2", "5"):
        found = listed(PageSize=size)
        assert len(found) == 5
        assert set(found) == everything
    assert listed(Prefix="order-") == [
        ("order-a", "EMAIL"),
        ("order-a", "SMS"),
        ("order-b", "SMS"),
    ]
    assert listed(Prefix="order-", TemplateType="SMS") == [("order-a", "SMS"), ("order-b", "SMS")]
    assert listed(TemplateType="INAPP") == listed(Prefix="%") == listed(Prefix="a\0") == []
    item = client.list_templates(TemplateType="EMAIL")["TemplatesResponse"]["Item"][0]
    assert item["TemplateDescription"] == "a welcome"
    assert item["Version"] == "1"
    with pytest.raises(client.exceptions.BadRequestException):
        client.list_templates(TemplateType="FAX")


def test_versions_in_pages_and_by_the_types_other_spelling(api):
    templates = Templates(api, "sms")
    templates.create("t")
    for _ in range(4):
        templates.update("t", "x", CreateNewVersion=True)
    first = templates.versions("t", PageSize="3")
    assert [one["Version"] for one in first["Item"]] == ["5", "4", "3"]
    second = templates.versions("t", PageSize="3", NextToken=first["NextToken"])
    assert [one["Version"] for one in second["Item"]] == ["2", "1"]
    assert "NextToken" not in second
    listed = templates.client.list_template_versions(TemplateName="t", TemplateType="SMS")
    assert len(listed["TemplateVersionsResponse"]["Item"]) == 5
    with pytest.raises(templates.client.exceptions.NotFoundException):
        templates.client.list_template_versions(TemplateName="t", TemplateType="fax")


def test_in_app_templates_are_out_of_scope(api):
    client = api.boto3()
    with pytest.raises(client.exceptions.MethodNotAllowedException):
        client.get_in_app_template(TemplateName="t")


@pytest.fixture(scope="module")
def delivering(tmp_path_factory):
    with api_.delivering(tmp_path_factory.mktemp("backend")) as api:
        for kind in KINDS:
            Templates(api, kind).create("welcome")
        yield api


def sent(api, channel, address, configuration, message=None):
    """The result for one address, and what the sandbox was given for it."""
    answer = api.boto3().send_messages(
        ApplicationId=api.application,
        MessageRequest={
            "Addresses": {address: {"ChannelType": channel, "Substitutions": {"name": ["Ann"]}}},
            "MessageConfiguration": message or {},
            "TemplateConfiguration": configuration,
        },
    )
    result = answer["MessageResponse"]["Result"][address]
    lines = map(json.loads, Path(api.runtime.settings.inbox).read_text().splitlines())
    return result, [line for line in lines if line["Address"] == address]


@pytest.mark.parametrize(
    ("channel", "member", "said"),
    [
        ("EMAIL", "EmailTemplate", ["Hello Ann", "<p>ANN</p>", "Hi Ann", "welcome"]),
        ("SMS", "SMSTemplate", ["Hi Ann"]),
        ("VOICE", "VoiceTemplate", ["Hello Ann", "en-GB", "Amy"]),
        ("APNS", "PushTemplate", ["apns Ann", "apns", "ding"]),
        ("GCM", "PushTemplate", ["default", "gcm", "https://gcm.example/i.png"]),
        ("ADM", "PushTemplate", ["default", "adm", "https://adm.example"]),
        ("BAIDU", "PushTemplate", ["default", "baidu"]),
    ],
)
def test_sent_with_a_template(delivering, channel, member, said):
    address = {"EMAIL": "ann@example.com", "SMS": SMS, "VOICE": "+15550100201"}.get(
        channel, f"token-{channel.lower()}-0123456789"
    )
    result, delivered = sent(delivering, channel, address, {member: {"Name": "welcome"}})
    assert result["DeliveryStatus"] == "SUCCESSFUL"
    assert result["StatusCode"] == 200
    (line,) = delivered
    for text in said:
        assert json.dumps(text)[1:-1] in json.dumps(line)


def test_an_unknown_template_is_that_channels_trouble(delivering):
    client = delivering.boto3()
    answer = client.send_messages(
        ApplicationId=delivering.application,
        MessageRequest={
            "Addresses": {
                "+15550100202": {"ChannelType": "SMS"},
                "bob@example.com": {"ChannelType": "EMAIL"},
            },
            "MessageConfiguration": {},
            "TemplateConfiguration": {
                "SMSTemplate": {"Name": "welcome", "Version": "7"},
                "EmailTemplate": {"Name": "welcome", "Version": "1"},
            },
        },
    )
    result = answer["MessageResponse"]["Result"]
    assert result["bob@example.com"]["DeliveryStatus"] == "SUCCESSFUL"
    assert result["+15550100202"] == {
        "DeliveryStatus": "PERMANENT_FAILURE",
        "StatusCode": 404,
        "StatusMessage": "Resource not found",
    }


def test_a_message_that_was_accepted_stays_as_it_was(api):
    """Without a worker it waits, while its template is changed and deleted."""
    templates = Templates(api, "sms")
    templates.create("t")
    request = {
        "Addresses": {SMS: {"ChannelType": "SMS"}},
        "MessageConfiguration": {},
        "TemplateConfiguration": {"SMSTemplate": {"Name": "t"}},
    }
    accepted = api.post(request).json["RequestId"]
    templates.delete("t")
    (body,) = store.bodies(api.runtime.db, [UUID(accepted)]).values()
    assert json.loads(body)["Templates"] == {"SMSTemplate": KINDS["sms"][1]}
