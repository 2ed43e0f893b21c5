"""Applications and their settings, through boto3."""

import base64
import json
import re
from datetime import datetime

import msgspec
import pytest
from sqlalchemy import select

from tests.http.api import SMS, message, served
from worker import store, wire
from worker.store import tables


def create(api, name="news", **members):
    request = {"Name": name, **members}
    return api.boto3().create_app(CreateApplicationRequest=request)["ApplicationResponse"]


def test_an_application_is_created_told_and_deleted(api):
    client = api.boto3()
    answer = client.create_app(
        CreateApplicationRequest={"Name": "news", "tags": {"team": "red", "stage": ""}}
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    created = answer["ApplicationResponse"]
    assert re.fullmatch("[0-9a-f]{32}", created["Id"])
    assert created == {
        "Arn": f"arn:aws:mobiletargeting:us-east-1:000000000000:apps/{created['Id']}",
        "Id": created["Id"],
        "Name": "news",
        "tags": {"team": "red", "stage": ""},
        "CreationDate": created["CreationDate"],
    }
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", created["CreationDate"])
    assert client.get_app(ApplicationId=created["Id"])["ApplicationResponse"] == created
    deleted = client.delete_app(ApplicationId=created["Id"])
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert deleted["ApplicationResponse"] == created
    for operation in (client.get_app, client.delete_app, client.get_application_settings):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            operation(ApplicationId=created["Id"])


def test_deleting_takes_channels_and_endpoints_and_leaves_results(api):
    client, db = api.boto3(), api.runtime.db
    store.set_channel(db, api.application, "SMS", adapter="sandbox", settings={})
    store.put_endpoint(db, api.application, "e1", wire.EndpointRequest(Address=SMS))
    sent = client.send_messages(ApplicationId=api.application, MessageRequest=message(SMS))
    client.delete_app(ApplicationId=api.application)
    with db.reading() as connection:
        for table in (tables.channel, tables.endpoint):
            assert connection.execute(select(table)).all() == []
    assert api.stored() == (1, 1)
    request_id = sent["MessageResponse"]["RequestId"]
    assert api.request("GET", f"{api.path}/{request_id}").status == 200
    with pytest.raises(client.exceptions.NotFoundException):
        client.send_messages(ApplicationId=api.application, MessageRequest=message(SMS))


def test_applications_come_in_pages(api):
    ids = sorted([api.application, *(create(api, f"app {n}")["Id"] for n in range(4))])
    client, found, token, pages = api.boto3(), [], {}, 0
    while True:
        page = client.get_apps(PageSize="2", **token)["ApplicationsResponse"]
        found += [one["Id"] for one in page["Item"]]
        pages += 1
        if "NextToken" not in page:
            break
        assert json.loads(base64.b64decode(page["NextToken"])) == {"ApplicationId": found[-1]}
        token = {"Token": page["NextToken"]}
    assert (found, pages) == (ids, 3)
    whole = client.get_apps()["ApplicationsResponse"]
    assert [one["Id"] for one in whole["Item"]] == ids
    assert "NextToken" not in whole


def test_an_empty_parameter_is_none(api):
    """Loops over pages often begin with an empty token, and the SDKs send it."""
    client = api.boto3()
    page = client.get_apps(PageSize="", Token="")["ApplicationsResponse"]
    assert [one["Id"] for one in page["Item"]] == [api.application]
    assert client.list_templates(PageSize="", NextToken="")["TemplatesResponse"] == {"Item": []}


@pytest.mark.parametrize(
    "parameters",
    [
        {"PageSize": "0"},
        {"PageSize": "101"},
        {"PageSize": "-1"},
        {"PageSize": "two"},
        {"Token": "!"},
        {"Token": "é"},
        {"Token": base64.b64encode(b"{}").decode()},
        {"Token": base64.b64encode(b"[]").decode()},
        {"Token": base64.b64encode(b'{"ApplicationId": "\\u0000"}').decode()},
        {"Token": base64.b64encode(b'{"ApplicationId": 1}').decode()},
    ],
)
def test_a_page_that_cannot_be(api, parameters):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException):
        client.get_apps(**parameters)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"Name": ""}, "Name: must have 1 to 64 characters"),
        ({"Name": "x" * 65}, "Name: must have 1 to 64 characters"),
        ({"Name": "a\0"}, "Name: contains NUL"),
        ({"Name": "a", "tags": {f"k{n}": "" for n in range(51)}}, "tags: are more than 50"),
        ({"Name": "a", "tags": {"k" * 129: ""}}, "tags: a key"),
        ({"Name": "a", "tags": {"aws:x": ""}}, "tags: a key"),
        ({"Name": "a", "tags": {"k": "v" * 257}}, "tags: a value"),
    ],
)
def test_an_application_that_cannot_be(api, request_, says):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=says):
        client.create_app(CreateApplicationRequest=request_)
    assert [one.id for one in store.applications(api.runtime.db)] == [api.application]


def test_settings_are_kept_and_told(api):
    client = api.boto3()
    asked = {"ApplicationId": api.application}
    assert client.get_application_settings(**asked)["ApplicationSettingsResource"] == {
        "ApplicationId": api.application,
        "CampaignHook": {},
        "Limits": {"Daily": 0, "MaximumDuration": 60, "MessagesPerSecond": 50, "Total": 0},
        "QuietTime": {},
    }
    limits = {"Daily": 3, "MaximumDuration": 600, "MessagesPerSecond": 100, "Total": 9}
    client.update_application_settings(
        **asked, WriteApplicationSettingsRequest={"Limits": limits, "EventTaggingEnabled": True}
    )
    members = {
        "CampaignHook": {"LambdaFunctionName": "f", "Mode": "FILTER"},
        "QuietTime": {"Start": "22:00", "End": "07:30"},
        "JourneyLimits": {"DailyCap": 1, "TimeframeCap": {"Cap": 2, "Days": 3}, "TotalCap": 4},
    }
    answer = client.update_application_settings(
        **asked, WriteApplicationSettingsRequest={**members, "CloudWatchMetricsEnabled": True}
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    told = answer["ApplicationSettingsResource"]
    assert datetime.fromisoformat(told["LastModifiedDate"])
    assert told == {
        "ApplicationId": api.application,
        "LastModifiedDate": told["LastModifiedDate"],
        "Limits": limits,
        **members,
    }
    assert client.get_application_settings(**asked)["ApplicationSettingsResource"] == told


@pytest.mark.parametrize(
    "settings",
    [
        {"QuietTime": {"Start": "25:00"}},
        {"QuietTime": {"End": "7pm"}},
        {"CampaignHook": {"Mode": "NONSENSE"}},
    ],
)
def test_settings_that_cannot_be(api, settings):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException):
        client.update_application_settings(
            ApplicationId=api.application, WriteApplicationSettingsRequest=settings
        )


def test_a_preflight_names_every_method(api):
    answer = api.request("OPTIONS", f"/v1/apps/{api.application}")
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS"
    refused = api.request("PUT", "/v1/apps", "{}")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert api.request("HEAD", "/v1/apps").status == 200


def test_an_applications_life_on_either_database(settings, database_url):
    with served(msgspec.structs.replace(settings, database_url=database_url)) as api:
        client, one = api.boto3(), {"ApplicationId": create(api, tags={"a": "b"})["Id"]}
        arn = client.get_app(**one)["ApplicationResponse"]["Arn"]
        client.tag_resource(ResourceArn=arn, TagsModel={"tags": {"c": "d"}})
        client.untag_resource(ResourceArn=arn, TagKeys=["a"])
        client.update_application_settings(
            **one, WriteApplicationSettingsRequest={"Limits": {"Daily": 1}}
        )
        client.update_sms_channel(**one, SMSChannelRequest={"SenderId": "SHOP"})
        endpoint = {"Address": SMS, "ChannelType": "SMS", "Attributes": {"a": ["b"]}}
        client.update_endpoint(**one, EndpointId="e1", EndpointRequest=endpoint)
        client.remove_attributes(
            **one,
            AttributeType="endpoint-custom-attributes",
            UpdateAttributesRequest={"Blacklist": ["*"]},
        )
        assert len(client.get_apps(PageSize="1")["ApplicationsResponse"]["Item"]) == 1
        told = client.delete_app(**one)["ApplicationResponse"]
        with pytest.raises(client.exceptions.NotFoundException):
            client.get_endpoint(**one, EndpointId="e1")
    assert told["tags"] == {"c": "d"}
