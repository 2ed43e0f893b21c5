"""Every operation that Sendpoint says it does, through boto3: asked for as botocore's model has it,
and every member of the answer read by it. Who adds an operation owes it an entry in `CALLS`.

What each of them does in depth is in the other modules; this is that none is left out, and that no
answer has a member that the SDKs would drop.
"""

import functools
import json

import botocore.session
import pytest

from tests.http.api import SMS, message
from tests.http.test_channels import OPERATION, REQUESTS, do
from tests.http.test_events import KINESIS, ROLE, WHEN, event
from tests.http.test_otp import TO, asked
from tests.http.test_templates import KINDS
from worker.http import app
from worker.http.operations import OUT_OF_SCOPE

MODEL = botocore.session.get_session().get_service_model("pinpoint")
SUPPORTED = sorted(
    one.name
    for resource in app.resources()
    for one in resource.operations.values()
    if one.status != OUT_OF_SCOPE and one.name in MODEL.operation_names
)
ENDPOINT = "us-east-1:ab c/d é"


def whole(shape, **changes):
    """A value of a shape with every member that the model knows."""
    if isinstance(shape, str):
        shape = MODEL.shape_for(shape)
    if shape.type_name == "structure":
        return {name: whole(member) for name, member in shape.members.items()} | changes
    if shape.type_name == "list":
        return [whole(shape.member)]
    if shape.type_name == "map":
        return {"k": whole(shape.value)}
    if shape.metadata.get("enum"):
        return shape.enum[0]
    return {"string": "x", "integer": 1, "boolean": True, "double": 1.5}[shape.type_name]


def arn(client, application):
    return client.get_app(ApplicationId=application)["ApplicationResponse"]["Arn"]


def put_endpoint(client, application):
    return client.update_endpoint(
        ApplicationId=application,
        EndpointId=ENDPOINT,
        EndpointRequest=whole(
            "EndpointRequest",
            Address=SMS,
            ChannelType="SMS",
            EffectiveDate="2026-11-01T12:00:00Z",
            EndpointStatus="ACTIVE",
            OptOut="NONE",
            User={"UserId": "ann", "UserAttributes": {"first": ["Ann"]}},
        ),
    )


def with_endpoint(call):
    """A call that needs an endpoint of a user."""

    def made(client, application):
        put_endpoint(client, application)
        return call(client, application)

    return made


def template(verb, kind, client, _):
    """An operation on a template, and what has to be done before it."""
    shape, _ = KINDS[kind]
    request = {f"{shape}Request": whole(f"{shape}Request", DefaultSubstitutions='{"a": "b"}')}
    told = getattr(client, f"create_{kind}_template")(TemplateName="t", **request)
    operation = getattr(client, f"{verb}_{kind}_template")
    if verb == "update":
        told = operation(TemplateName="t", CreateNewVersion=True, **request)
    elif verb in {"get", "delete"}:
        told = operation(TemplateName="t", Version="1")
    return told


def with_template(call):
    """A call that needs an SMS template."""

    def made(client, application):
        template("create", "sms", client, application)
        return call(client, application)

    return made


def channel(verb, name, client, application):
    """An operation on a channel, and what has to be done before it."""
    told = do(client, "update", name, application, REQUESTS[name])
    return told if verb == "update" else do(client, verb, name, application)


def put_event_stream(client, application):
    return client.put_event_stream(
        ApplicationId=application,
        WriteEventStream={"DestinationStreamArn": KINESIS, "RoleArn": ROLE},
    )


def with_event_stream(call):
    """A call that needs an event stream."""

    def made(client, application):
        put_event_stream(client, application)
        return call(client, application)

    return made


def put_events(client, application):
    session = {"Id": "s", "StartTimestamp": WHEN, "StopTimestamp": WHEN, "Duration": 1}
    said = {"Attributes": {"item": "socks"}, "Metrics": {"price": 4.5}, "Session": session}
    batch = {
        "Endpoint": {"Address": SMS, "ChannelType": "SMS"},
        "Events": {"one": event(**said), "bad": event(EventType="")},
    }
    return client.put_events(
        ApplicationId=application, EventsRequest={"BatchItem": {ENDPOINT: batch}}
    )


def users_request():
    return {"MessageConfiguration": {"DefaultMessage": {"Body": "hi"}}, "Users": {"ann": {}}}


def list_templates(client, application):
    template("create", "sms", client, application)
    client.create_sms_template(TemplateName="t2", SMSTemplateRequest={})
    return client.list_templates(PageSize="1", Prefix="t", TemplateType="SMS")


def list_template_versions(client, application):
    template("update", "sms", client, application)
    return client.list_template_versions(TemplateName="t", TemplateType="SMS", PageSize="1")


NEW = {"Name": "new", "tags": {"a": "b"}}
QUIET = {"Start": "22:00", "End": "06:00"}
SETTINGS = whole("WriteApplicationSettingsRequest", QuietTime=QUIET)
CALLS = {
    "CreateApp": lambda c, _: c.create_app(CreateApplicationRequest=NEW),
    "GetApp": lambda c, a: c.get_app(ApplicationId=a),
    "GetApps": lambda c, _: (
        c.create_app(CreateApplicationRequest=NEW),
        c.get_apps(PageSize="1"),
    ),
    "DeleteApp": lambda c, a: c.delete_app(ApplicationId=a),
    "GetApplicationSettings": lambda c, a: c.get_application_settings(ApplicationId=a),
    "UpdateApplicationSettings": lambda c, a: c.update_application_settings(
        ApplicationId=a, WriteApplicationSettingsRequest=SETTINGS
    ),
    "GetChannels": lambda c, a: (channel("update", "SMS", c, a), c.get_channels(ApplicationId=a)),
    "UpdateEndpoint": put_endpoint,
    "UpdateEndpointsBatch": lambda c, a: c.update_endpoints_batch(
        ApplicationId=a,
        EndpointBatchRequest={"Item": [{"Id": "e", "Address": SMS, "ChannelType": "SMS"}]},
    ),
    "GetEndpoint": with_endpoint(lambda c, a: c.get_endpoint(ApplicationId=a, EndpointId=ENDPOINT)),
    "DeleteEndpoint": with_endpoint(
        lambda c, a: c.delete_endpoint(ApplicationId=a, EndpointId=ENDPOINT)
    ),
    "GetUserEndpoints": with_endpoint(
        lambda c, a: c.get_user_endpoints(ApplicationId=a, UserId="ann")
    ),
    "DeleteUserEndpoints": with_endpoint(
        lambda c, a: c.delete_user_endpoints(ApplicationId=a, UserId="ann")
    ),
    "RemoveAttributes": with_endpoint(
        lambda c, a: c.remove_attributes(
            ApplicationId=a,
            AttributeType="endpoint-user-attributes",
            UpdateAttributesRequest={"Blacklist": ["first"]},
        )
    ),
    "SendMessages": with_endpoint(
        lambda c, a: c.send_messages(
            ApplicationId=a,
            MessageRequest={**message("+15550100201"), "Endpoints": {ENDPOINT: {}}},
        )
    ),
    "SendUsersMessages": with_endpoint(
        lambda c, a: c.send_users_messages(ApplicationId=a, SendUsersMessageRequest=users_request())
    ),
    "SendOTPMessage": lambda c, a: c.send_otp_message(
        ApplicationId=a, SendOTPMessageRequestParameters=asked()
    ),
    "VerifyOTPMessage": lambda c, a: c.verify_otp_message(
        ApplicationId=a,
        VerifyOTPMessageRequestParameters={
            "DestinationIdentity": TO,
            "Otp": "123456",
            "ReferenceId": "login",
        },
    ),
    "PutEventStream": put_event_stream,
    "GetEventStream": with_event_stream(lambda c, a: c.get_event_stream(ApplicationId=a)),
    "DeleteEventStream": with_event_stream(lambda c, a: c.delete_event_stream(ApplicationId=a)),
    "PutEvents": put_events,
    "PhoneNumberValidate": lambda c, _: c.phone_number_validate(
        NumberValidateRequest={"PhoneNumber": "+12065550142", "IsoCountryCode": "US"}
    ),
    "TagResource": lambda c, a: c.tag_resource(
        ResourceArn=arn(c, a), TagsModel={"tags": {"a": "b"}}
    ),
    "UntagResource": lambda c, a: c.untag_resource(ResourceArn=arn(c, a), TagKeys=["a", "b"]),
    "ListTagsForResource": lambda c, a: c.list_tags_for_resource(ResourceArn=arn(c, a)),
    "ListTemplates": list_templates,
    "ListTemplateVersions": list_template_versions,
    "UpdateTemplateActiveVersion": with_template(
        lambda c, _: c.update_template_active_version(
            TemplateName="t",
            TemplateType="sms",
            TemplateActiveVersionRequest={"Version": "latest"},
        )
    ),
}
for _verb in ("create", "get", "update", "delete"):
    for _kind in KINDS:
        _name = f"{_verb.capitalize()}{_kind.capitalize()}Template"
        CALLS[_name] = functools.partial(template, _verb, _kind)
for _verb in ("get", "update", "delete"):
    for _channel, _snake in OPERATION.items():
        _name = "".join(part.capitalize() for part in _snake.split("_"))
        CALLS[f"{_verb.capitalize()}{_name}Channel"] = functools.partial(channel, _verb, _channel)


def test_none_is_left_out():
    assert CALLS.keys() == set(SUPPORTED)


@pytest.mark.parametrize("operation", SUPPORTED)
def test_boto3_does_it_and_reads_the_whole_answer(api, operation):
    client, heard, bodies = api.boto3(), [], []
    events = client.meta.events
    events.register(
        "before-parse.pinpoint", lambda response_dict, **_: bodies.append(response_dict)
    )
    events.register("after-call.pinpoint", lambda model, parsed, **_: heard.append((model, parsed)))
    CALLS[operation](client, api.application)
    called = [(*one, body) for one, body in zip(heard, bodies, strict=True)]
    model, parsed, answer = next(one for one in called if one[0].name == operation)
    assert answer["status_code"] == model.http["responseCode"]
    assert str(answer["headers"]["x-amzn-RequestId"]) == parsed["ResponseMetadata"]["RequestId"]
    told = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    if model.output_shape is None:
        assert (told, answer["body"]) == ({}, b"")
        return
    (shape,) = told.values()
    # What botocore does not know it leaves out, so the two are the same only if it knows it all.
    assert shape == json.loads(answer["body"])
    assert shape
