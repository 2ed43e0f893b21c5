"""Who gets the message, and who is settled at once."""

import pytest

from adapters.contract import ChannelType, DeliveryStatus
from worker import plan, wire

APP = "0" * 32
ALL = frozenset(ChannelType)


def planned(request, *, endpoints=(), opt_outs=(), channels=ALL):
    request = wire.convert({"MessageConfiguration": {}} | request, wire.MessageRequest)
    directory = plan.Directory(
        application_id=APP,
        endpoints={one.Id: one for one in endpoints},
        opt_outs=set(opt_outs),
        channels=channels,
    )
    return plan.plan(request, directory)


def endpoint(name, address, channel="EMAIL", **members):
    return wire.EndpointResponse(
        Id=name, Address=address, ChannelType=wire.ChannelType(channel), **members
    )


def settled(recipient):
    outcome = recipient.settled
    return outcome and (outcome.status, outcome.status_code, outcome.status_message)


def test_recipients_come_in_the_order_of_the_request_addresses_first():
    recipients = planned(
        {
            "Endpoints": {"e1": {}},
            "Addresses": {"b": {"ChannelType": "SMS"}, "a": {"ChannelType": "EMAIL"}},
        },
        endpoints=[endpoint("e1", "c")],
    )
    assert [(one.address, one.endpoint_id, one.channel) for one in recipients] == [
        ("b", None, "SMS"),
        ("a", None, "EMAIL"),
        ("c", "e1", "EMAIL"),
    ]
    assert all(one.settled is None for one in recipients)


def test_the_first_of_two_with_the_same_channel_and_address_wins():
    first, second, third, other = planned(
        {
            "Addresses": {"a": {"ChannelType": "EMAIL"}},
            "Endpoints": {"e1": {}, "e2": {}, "e3": {}},
        },
        endpoints=[endpoint("e1", "a"), endpoint("e2", "a"), endpoint("e3", "a", "CUSTOM")],
    )
    assert settled(first) is None
    assert settled(second)[:2] == settled(third)[:2] == (DeliveryStatus.DUPLICATE, 400)
    assert settled(other) is None, "the same address on another channel is another recipient"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"OptOut": "ALL"}, (DeliveryStatus.OPT_OUT, 400)),
        ({"OptOut": "NONE"}, None),
        ({"EndpointStatus": "INACTIVE"}, (DeliveryStatus.PERMANENT_FAILURE, 400)),
    ],
)
def test_an_endpoints_state_decides(members, expected):
    (one,) = planned({"Endpoints": {"e": {}}}, endpoints=[endpoint("e", "a", **members)])
    assert (settled(one) and settled(one)[:2]) == expected


def test_an_opted_out_endpoint_does_not_make_the_next_one_a_duplicate():
    out, kept = planned(
        {"Endpoints": {"e1": {}, "e2": {}}},
        endpoints=[endpoint("e1", "a", OptOut="ALL"), endpoint("e2", "a")],
    )
    assert settled(out)[0] == DeliveryStatus.OPT_OUT
    assert settled(kept) is None


def test_the_suppression_list_is_by_channel():
    sms, email = planned(
        {"Addresses": {"+1": {"ChannelType": "SMS"}, "a": {"ChannelType": "EMAIL"}}},
        opt_outs=[("SMS", "+1"), ("CUSTOM", "a")],
    )
    assert settled(sms) == (DeliveryStatus.OPT_OUT, 400, "Destination phone number opted out")
    assert settled(email) is None


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (
            {"Endpoints": {"nobody": {}}},
            (DeliveryStatus.PERMANENT_FAILURE, 404, "Resource not found"),
        ),
        (
            {"Addresses": {"a": {}}},
            (DeliveryStatus.PERMANENT_FAILURE, 400, "ChannelType is missing"),
        ),
        (
            {"Addresses": {" ": {"ChannelType": "EMAIL"}}},
            (DeliveryStatus.PERMANENT_FAILURE, 400, "Missing Address"),
        ),
        (
            {"Addresses": {"a": {"ChannelType": "PUSH"}}},
            (
                DeliveryStatus.PERMANENT_FAILURE,
                400,
                f"No channel of type PUSH is enabled for the application {APP}",
            ),
        ),
    ],
)
def test_what_is_wrong_with_one_recipient_settles_only_that_one(recipients, expected):
    addresses = recipients.setdefault("Addresses", {})
    addresses["good"] = {"ChannelType": "EMAIL"}
    by_address = {one.address: one for one in planned(recipients)}
    assert settled(by_address.pop("good")) is None
    (bad,) = by_address.values()
    assert settled(bad) == expected


def test_a_channel_that_is_not_enabled_answers_as_pinpoint_does():
    (one,) = planned({"Addresses": {"t": {"ChannelType": "GCM"}}}, channels={"EMAIL"})
    assert settled(one) == (
        DeliveryStatus.PERMANENT_FAILURE,
        400,
        f"No channel of type GCM is enabled for the application {APP}",
    )


def test_every_channel_has_a_queue_and_promotional_sms_their_own():
    for channel in set(ChannelType) - {ChannelType.PUSH, ChannelType.IN_APP}:
        assert plan.QUEUE_OF[channel] in plan.QUEUES
    (one,) = planned(
        {
            "MessageConfiguration": {"SMSMessage": {"MessageType": "PROMOTIONAL"}},
            "Addresses": {"+1": {"ChannelType": "SMS"}},
        }
    )
    assert one.queue == plan.PROMOTIONAL
    (one,) = planned(
        {
            "MessageConfiguration": {"SMSMessage": {"MessageType": "TRANSACTIONAL"}},
            "Addresses": {"+1": {"ChannelType": "SMS"}},
        }
    )
    assert one.queue == "sendpoint.sms"


def planned_for_ann(request, configuration=None):
    """The channels on which a user with an endpoint on each gets a message."""
    request = wire.convert(
        {"MessageConfiguration": {}, "Users": {"ann": configuration or {}}} | request,
        wire.SendUsersMessageRequest,
    )
    directory = plan.Directory(
        application_id=APP,
        endpoints={},
        opt_outs=(),
        channels=ALL,
        users={"ann": [endpoint(channel, "a", channel) for channel in sorted(plan.QUEUE_OF)]},
    )
    return {one.channel for one in plan.plan_users(request, directory)}


APPLE = {"APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX"}
PUSH = APPLE | {"GCM", "ADM", "BAIDU"}


@pytest.mark.parametrize(
    ("message", "configuration", "expected"),
    [
        ({"DefaultMessage": {"Body": "x"}}, {}, set(plan.QUEUE_OF)),
        ({"DefaultPushNotificationMessage": {"SilentPush": True}}, {}, PUSH | {"CUSTOM"}),
        ({"APNSMessage": {"Body": "x"}}, {}, APPLE),
        ({"GCMMessage": {"RawContent": "{}"}}, {}, {"GCM"}),
        ({"ADMMessage": {"Title": "x"}}, {}, {"ADM"}),
        ({"BaiduMessage": {"Data": {"k": "v"}}}, {}, {"BAIDU"}),
        ({"SMSMessage": {"Body": "x"}, "EmailMessage": {}}, {}, {"SMS"}),
        ({"EmailMessage": {"Body": "x"}, "DefaultMessage": {"Body": ""}}, {}, {"EMAIL"}),
        ({"VoiceMessage": {"Body": "x"}}, {}, {"VOICE"}),
        ({}, {"BodyOverride": "x"}, set(plan.QUEUE_OF)),
        ({}, {"RawContent": "{}"}, PUSH | {"CUSTOM"}),
        ({"SMSMessage": {"Body": "x"}}, {"TitleOverride": "x"}, {"SMS"}),
        ({"SMSMessage": {"SenderId": "x"}}, {}, {"SMS"}),
        ({}, {}, set(plan.QUEUE_OF)),
    ],
)
def test_a_user_gets_a_message_where_it_says_something(message, configuration, expected):
    assert planned_for_ann({"MessageConfiguration": message}, configuration) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("EmailTemplate", {"EMAIL"}),
        ("PushTemplate", PUSH),
        ("SMSTemplate", {"SMS"}),
        ("VoiceTemplate", {"VOICE"}),
    ],
)
def test_a_user_gets_a_template_where_it_is_for(template, expected):
    assert planned_for_ann({"TemplateConfiguration": {template: {"Name": "t"}}}) == expected


def test_an_endpoint_lets_messages_name_what_it_knows():
    known = endpoint(
        "e",
        "a@example.com",
        Attributes={"Plan": ["gold"]},
        Metrics={"Age": 3.0},
        Demographic=wire.EndpointDemographic(Locale="de_DE"),
        Location=wire.EndpointLocation(City="Bonn"),
        RequestId="r",
        User=wire.EndpointUser(UserId="u", UserAttributes={"First": ["Ann"]}),
    )
    assert plan.variables(known) == {
        "Address": "a@example.com",
        "Attributes.Plan": ["gold"],
        "ChannelType": "EMAIL",
        "Demographic.Locale": "de_DE",
        "Id": "e",
        "Location.City": "Bonn",
        "Metrics.Age": 3.0,
        "RequestId": "r",
        "User.UserAttributes.First": ["Ann"],
        "User.UserId": "u",
    }
