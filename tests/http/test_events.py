"""Event streams and PutEvents, through boto3."""

import json
import re

import msgspec
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from tests.http.api import SMS, served
from worker import store
from worker.store import tables
from worker.wire import bounds

KINESIS = "arn:aws:kinesis:eu-central-1:123456789012:stream/pinpoint-events"
FIREHOSE = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/to-s3"
ROLE = "arn:aws:iam::123456789012:role/pinpoint-events"
WHEN = "2017-02-24T22:03:22.507Z"


@pytest.fixture(scope="module")
def _telling(settings_of_module, tmp_path_factory):
    home = tmp_path_factory.mktemp("telling")
    settings = settings_of_module(home)
    with served(msgspec.structs.replace(settings, events=f"file://{home}/events.jsonl")) as one:
        yield one


@pytest.fixture
def telling(_telling, emptied):
    """The same as `api`, with a sink for events and no worker that tells it anything."""
    return emptied(_telling)


def put(api, destination=KINESIS, role=ROLE):
    return api.boto3().put_event_stream(
        ApplicationId=api.application,
        WriteEventStream={"DestinationStreamArn": destination, "RoleArn": role},
    )["EventStream"]


def report(api, batch):
    return api.boto3().put_events(ApplicationId=api.application, EventsRequest={"BatchItem": batch})


def event(**members):
    return {"EventType": "bought", "Timestamp": WHEN, **members}


def told(api):
    """The records that wait for the sink, in order."""
    return [json.loads(one.record) for one in store.untold(api.runtime.db, limit=1000)]


def test_an_event_stream_is_put_told_and_deleted(api):
    client = api.boto3()
    stream = put(api)
    assert stream == {
        "ApplicationId": api.application,
        "DestinationStreamArn": KINESIS,
        "RoleArn": ROLE,
        "LastModifiedDate": stream["LastModifiedDate"],
    }
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", stream["LastModifiedDate"])
    assert client.get_event_stream(ApplicationId=api.application)["EventStream"] == stream
    assert put(api, FIREHOSE)["DestinationStreamArn"] == FIREHOSE
    deleted = client.delete_event_stream(ApplicationId=api.application)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert deleted["EventStream"]["DestinationStreamArn"] == FIREHOSE
    for operation in (client.get_event_stream, client.delete_event_stream):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            operation(ApplicationId=api.application)


def test_an_unknown_application_has_no_stream_and_takes_no_events(api):
    client = api.boto3()
    with pytest.raises(client.exceptions.NotFoundException):
        client.put_event_stream(
            ApplicationId="x" * 32,
            WriteEventStream={"DestinationStreamArn": KINESIS, "RoleArn": ROLE},
        )
    with pytest.raises(client.exceptions.NotFoundException):
        client.put_events(
            ApplicationId="x" * 32,
            EventsRequest={"BatchItem": {"e": {"Endpoint": {}, "Events": {}}}},
        )


@pytest.mark.parametrize(
    ("destination", "role", "member"),
    [
        ("events", ROLE, "DestinationStreamArn"),
        ("arn:aws:sqs:eu-central-1:123456789012:stream/x", ROLE, "DestinationStreamArn"),
        (KINESIS + "/y", ROLE, "DestinationStreamArn"),
        (KINESIS + "\n", ROLE, "DestinationStreamArn"),
        (KINESIS, "role", "RoleArn"),
        (KINESIS, "arn:aws:iam::123456789012:user/ann", "RoleArn"),
    ],
)
def test_an_event_stream_must_be_one(api, destination, role, member):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=member):
        put(api, destination, role)


def test_who_put_the_stream_is_told(guarded, issue):
    client = guarded.boto3(key=issue("ann"))
    stream = client.put_event_stream(
        ApplicationId=guarded.application,
        WriteEventStream={"DestinationStreamArn": KINESIS, "RoleArn": ROLE},
    )["EventStream"]
    assert stream["LastUpdatedBy"] == "ann"


def test_events_are_accepted_and_told_as_pinpoint_told_them(telling):
    put(telling)
    answer = report(
        telling,
        {
            "phone": {
                "Endpoint": {
                    "Address": "token",
                    "ChannelType": "GCM",
                    "Demographic": {
                        "AppVersion": "1.0",
                        "Locale": "en_US",
                        "Make": "generic web browser",
                        "Model": "Unknown",
                        "Platform": "android",
                        "PlatformVersion": "10.10",
                    },
                },
                "Events": {
                    "one": event(
                        EventType="_session.stop",
                        AppPackageName="main.page",
                        AppTitle="title",
                        AppVersionCode="1",
                        SdkName="aws-sdk-mobile-analytics-js",
                        ClientSdkVersion="0.9.1:2.4.8",
                        Attributes={"item": "socks"},
                        Metrics={"price": 4.5},
                        Session={
                            "Id": "f549dea9",
                            "StartTimestamp": "2017-02-24T21:53:22.531Z",
                            "StopTimestamp": WHEN,
                        },
                    )
                },
            }
        },
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    accepted = {"StatusCode": 202, "Message": "Accepted"}
    assert answer["EventsResponse"]["Results"] == {
        "phone": {"EndpointItemResponse": accepted, "EventsItemResponse": {"one": accepted}}
    }
    (record,) = told(telling)
    arrived = record.pop("arrival_timestamp")
    assert arrived > 1_700_000_000_000
    # The sample in Pinpoint's developer guide, without Cognito's ids.
    assert record == {
        "event_type": "_session.stop",
        "event_timestamp": 1487973802507,
        "event_version": "3.0",
        "application": {
            "app_id": telling.application,
            "package_name": "main.page",
            "sdk": {"name": "aws-sdk-mobile-analytics-js", "version": "0.9.1:2.4.8"},
            "title": "title",
            "version_name": "1.0",
            "version_code": "1",
        },
        "client": {"client_id": "phone"},
        "device": {
            "locale": {"code": "en_US", "country": "US", "language": "en"},
            "make": "generic web browser",
            "model": "Unknown",
            "platform": {"name": "android", "version": "10.10"},
        },
        "session": {
            "session_id": "f549dea9",
            "start_timestamp": 1487973202531,
            "stop_timestamp": 1487973802507,
        },
        "attributes": {"item": "socks"},
        "metrics": {"price": 4.5},
        "awsAccountId": "123456789012",
    }


def test_events_come_with_what_is_known_of_their_endpoint(telling):
    put(telling)
    endpoint = {"Address": SMS, "ChannelType": "SMS", "Demographic": {"Make": "Acme"}}
    report(telling, {"e1": {"Endpoint": endpoint, "Events": {}}})
    client = telling.boto3()
    stored = client.get_endpoint(ApplicationId=telling.application, EndpointId="e1")
    assert stored["EndpointResponse"]["Demographic"] == {"Make": "Acme"}
    report(telling, {"e1": {"Endpoint": {}, "Events": {"a": event(), "b": event()}}})
    assert [one["device"]["make"] for one in told(telling)] == ["Acme", "Acme"]
    again = client.get_endpoint(ApplicationId=telling.application, EndpointId="e1")
    assert again["EndpointResponse"]["Address"] == SMS, "an empty Endpoint changes nothing"


def test_one_bad_event_or_endpoint_is_refused_alone(telling):
    put(telling)
    bad = {
        "type": event(EventType=""),
        "time": event(Timestamp="yesterday"),
        "session": event(Session={"Id": "1", "StartTimestamp": "then"}),
        "keys": event(Attributes={str(n): "x" for n in range(bounds.MAX_EVENT_KEYS + 1)}),
        "key": event(Metrics={"x" * (bounds.MAX_EVENT_KEY + 1): 1.0}),
        "value": event(Attributes={"x": "y" * (bounds.MAX_EVENT_VALUE + 1)}),
        "size": event(AppTitle="x" * bounds.MAX_EVENT_BYTES),
    }
    answer = report(
        telling,
        {"new": {"Endpoint": {"ChannelType": "SMS"}, "Events": {**bad, "good": event()}}},
    )["EventsResponse"]["Results"]["new"]
    assert answer["EndpointItemResponse"] == {"StatusCode": 400, "Message": "Missing Address"}
    told_of = {name: one["StatusCode"] for name, one in answer["EventsItemResponse"].items()}
    assert told_of == {**dict.fromkeys(bad, 400), "good": 202}
    for name, member in {"type": "EventType", "time": "Timestamp", "value": "Attributes"}.items():
        assert answer["EventsItemResponse"][name]["Message"].startswith(member)
    assert [one["event_type"] for one in told(telling)] == ["bought"]


@pytest.mark.parametrize("events", [0, bounds.MAX_EVENTS + 1])
def test_a_request_has_at_least_one_endpoint_and_at_most_100_events(telling, events):
    batch = {"e": {"Endpoint": {}, "Events": {str(n): event() for n in range(events)}}}
    client = telling.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match="BatchItem"):
        report(telling, batch if events else {})
    assert told(telling) == []


def test_a_request_is_at_most_4_mb(telling):
    body = b'{"BatchItem": {}' + b" " * bounds.MAX_EVENTS_BYTES + b"}"
    answer = telling.request("POST", f"/v1/apps/{telling.application}/events", body)
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (413, "PayloadTooLargeException")


def test_without_a_stream_or_a_sink_events_are_accepted_and_go_nowhere(api, telling):
    for one in (api, telling):
        if one is api:
            put(one)
        answer = report(one, {"e": {"Endpoint": {}, "Events": {"a": event()}}})
        accepted = answer["EventsResponse"]["Results"]["e"]["EventsItemResponse"]["a"]
        assert accepted["StatusCode"] == 202
        assert told(one) == []


def test_attributes_may_be_plain_strings_as_in_the_examples(telling):
    batch = {"e": {"Endpoint": {"Address": "a", "Attributes": {"x": "y"}}, "Events": {}}}
    body = json.dumps({"BatchItem": batch}).encode()
    path = f"/v1/apps/{telling.application}/events"
    assert telling.request("POST", path, body).status == 202
    stored = store.endpoints(telling.runtime.db, telling.application, ["e"])["e"]
    assert stored.Attributes == {"x": ["y"]}


def test_reporting_takes_send_and_streams_take_manage(guarded, issue):
    sender = guarded.boto3(key=issue(actions=[store.Action.SEND]))
    batch = {"e": {"Endpoint": {}, "Events": {"a": event()}}}
    answer = sender.put_events(
        ApplicationId=guarded.application, EventsRequest={"BatchItem": batch}
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    with pytest.raises(ClientError) as refused:
        sender.put_event_stream(
            ApplicationId=guarded.application,
            WriteEventStream={"DestinationStreamArn": KINESIS, "RoleArn": ROLE},
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_deleting_an_application_deletes_its_stream(telling):
    put(telling)
    telling.boto3().delete_app(ApplicationId=telling.application)
    with telling.runtime.db.reading() as connection:
        assert connection.execute(select(tables.event_stream)).all() == []
