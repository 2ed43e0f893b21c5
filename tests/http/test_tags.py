"""Tags of applications and templates, through boto3 and with ARNs as other clients write them."""

import json
from urllib.parse import quote

import pytest

ARN = "arn:aws:mobiletargeting:eu-west-1:123456789012:apps/{}"
TEMPLATE = "arn:aws:mobiletargeting:eu-west-1:123456789012:templates/{}/{}"


def test_tags_are_set_told_and_taken_away(api):
    client = api.boto3()
    arn = client.get_app(ApplicationId=api.application)["ApplicationResponse"]["Arn"]
    answer = client.tag_resource(
        ResourceArn=arn, TagsModel={"tags": {"team": "red", "stage": "test", "x": "y"}}
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.tag_resource(ResourceArn=arn, TagsModel={"tags": {"team": "blue"}})
    answer = client.untag_resource(ResourceArn=arn, TagKeys=["x", "never there"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    told = client.list_tags_for_resource(ResourceArn=arn)["TagsModel"]
    assert told == {"tags": {"team": "blue", "stage": "test"}}
    assert client.get_app(ApplicationId=api.application)["ApplicationResponse"]["tags"] == {
        "team": "blue",
        "stage": "test",
    }


@pytest.mark.parametrize(
    "place",
    ["aws:mobiletargeting:us-east-1:AIDACKCEVSQ6C2EXAMPLE", "aws-us-gov:mobiletargeting:eu-1:1"],
)
def test_an_arn_may_be_of_any_account(api, place):
    """AWS's own examples write an account that is no number."""
    told = api.boto3().list_tags_for_resource(ResourceArn=f"arn:{place}:apps/{api.application}")
    assert told["TagsModel"] == {"tags": {}}


@pytest.mark.parametrize("safe", ["", "/", ":/"])
def test_an_arn_may_be_quoted_or_not(api, safe):
    path = f"/v1/tags/{quote(ARN.format(api.application), safe=safe)}"
    assert api.request("POST", path, json.dumps({"tags": {"a": "b"}})).status == 204
    answer = api.request("GET", path)
    assert (answer.status, answer.json) == (200, {"tags": {"a": "b"}})
    gone = api.request("DELETE", f"{path}?tagKeys=a&tagKeys=c")
    assert (gone.status, gone.body) == (204, b"")
    assert api.request("GET", path).json == {"tags": {}}


@pytest.mark.parametrize(
    "arn",
    [
        "nonsense",
        TEMPLATE.format("hello", "EMAIL"),
        TEMPLATE.format("hello", "email"),
        TEMPLATE.format("hello", "FAX"),
        TEMPLATE.format("hello\0", "EMAIL"),
        "arn:aws:mobiletargeting:eu-west-1:123456789012:templates/hello",
        ARN.format("0" * 32),
        "arn:aws:mobiletargeting:eu-west-1:123456789012:apps",
        "arn:aws:s3:::bucket",
        ARN.format("\0"),
    ],
)
def test_an_arn_of_nothing(api, arn):
    client = api.boto3()
    for operation, arguments in (
        (client.list_tags_for_resource, {}),
        (client.tag_resource, {"TagsModel": {"tags": {"a": "b"}}}),
        (client.untag_resource, {"TagKeys": ["a"]}),
    ):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            operation(ResourceArn=arn, **arguments)


def test_there_is_a_limit(api):
    client, arn = api.boto3(), ARN.format(api.application)
    client.tag_resource(ResourceArn=arn, TagsModel={"tags": {f"k{n}": "v" for n in range(50)}})
    client.tag_resource(ResourceArn=arn, TagsModel={"tags": {"k0": "w" * 256}})
    with pytest.raises(Exception, match="tags: would be more than 50") as caught:
        client.tag_resource(ResourceArn=arn, TagsModel={"tags": {"k50": "v"}})
    assert isinstance(caught.value, client.exceptions.BadRequestException)
    for tags in ({"": "v"}, {"AWS:x": "v"}, {"k": "v" * 257}, {"k" * 129: "v"}, {"k": "\0"}):
        with pytest.raises(client.exceptions.BadRequestException):
            client.tag_resource(ResourceArn=arn, TagsModel={"tags": tags})
    with pytest.raises(client.exceptions.BadRequestException, match="tagKeys"):
        client.untag_resource(ResourceArn=arn, TagKeys=[])


def test_a_templates_tags_are_those_of_its_type_and_of_all_its_versions(api):
    client = api.boto3()
    made = client.create_sms_template(
        TemplateName="hello", SMSTemplateRequest={"Body": "hi", "tags": {"team": "red", "x": "y"}}
    )
    client.create_push_template(TemplateName="hello", PushNotificationTemplateRequest={})
    arn = made["CreateTemplateMessageBody"]["Arn"]
    answer = client.tag_resource(ResourceArn=arn, TagsModel={"tags": {"team": "blue"}})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.update_sms_template(
        TemplateName="hello", SMSTemplateRequest={"Body": "ho"}, CreateNewVersion=True
    )
    answer = client.untag_resource(
        ResourceArn=TEMPLATE.format("hello", "SMS"), TagKeys=["x", "never there"]
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    told = client.list_tags_for_resource(ResourceArn=arn)["TagsModel"]
    assert told == {"tags": {"team": "blue"}}
    for version in ("1", "2"):
        found = client.get_sms_template(TemplateName="hello", Version=version)
        assert found["SMSTemplateResponse"]["tags"] == {"team": "blue"}
    other = client.list_tags_for_resource(ResourceArn=TEMPLATE.format("hello", "PUSH"))
    assert other["TagsModel"] == {"tags": {}}
    with pytest.raises(client.exceptions.BadRequestException, match="tags: would be more than 50"):
        client.tag_resource(
            ResourceArn=arn, TagsModel={"tags": {f"k{number}": "v" for number in range(50)}}
        )
