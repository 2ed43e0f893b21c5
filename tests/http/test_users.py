"""Users and SendUsersMessages, through boto3."""

import json

import pytest

from worker import intake, store, wire

PUSHES = ["ADM", "APNS", "APNS_VOIP", "APNS_VOIP_SANDBOX", "BAIDU", "GCM"]
OTHERS = ["APNS_SANDBOX", "CUSTOM", "EMAIL", "IN_APP", "PUSH", "SMS", "VOICE"]
PENDING = {"DeliveryStatus": "SUCCESSFUL", "StatusCode": 202, "StatusMessage": intake.PENDING}
EXCEEDED = "Exceeded maximum endpoint per user count 15"


def put(api, endpoint_id, user="ann", channel="EMAIL", address=None, **members):
    api.boto3().update_endpoint(
        ApplicationId=api.application,
        EndpointId=endpoint_id,
        EndpointRequest={
            "Address": address or f"{endpoint_id}@example.com",
            "ChannelType": channel,
            "User": {"UserId": user},
            **members,
        },
    )


def endpoints(api, user="ann"):
    answer = api.boto3().get_user_endpoints(ApplicationId=api.application, UserId=user)
    return answer["EndpointsResponse"]["Item"]


def ids(api, user="ann"):
    return [one["Id"] for one in endpoints(api, user)]


def send(api, users, body="hello", **members):
    answer = api.boto3().send_users_messages(
        ApplicationId=api.application,
        SendUsersMessageRequest={
            "MessageConfiguration": {"DefaultMessage": {"Body": body}},
            "Users": users,
            **members,
        },
    )
    return answer["SendUsersMessageResponse"]


def test_a_users_endpoints_are_told_and_deleted(api):
    client = api.boto3()
    put(api, "e1")
    put(api, "e2", channel="SMS", address="+15550100200")
    put(api, "e3", user="bob")
    told = endpoints(api)
    assert [one["Id"] for one in told] == ["e1", "e2"]
    assert told[0]["User"] == {"UserId": "ann"}
    answer = client.delete_user_endpoints(ApplicationId=api.application, UserId="ann")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["EndpointsResponse"]["Item"] == told
    for operation in (client.get_user_endpoints, client.delete_user_endpoints):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            operation(ApplicationId=api.application, UserId="ann")
    assert ids(api, "bob") == ["e3"]


def test_an_endpoint_changes_its_user(api):
    put(api, "e1")
    put(api, "e1", user="bob")
    assert ids(api, "bob") == ["e1"]
    put(api, "e1", user="")
    client = api.boto3()
    for user in ("ann", "bob"):
        with pytest.raises(client.exceptions.NotFoundException):
            endpoints(api, user)


@pytest.mark.parametrize("channel", PUSHES)
def test_a_16th_push_endpoint_takes_the_place_of_the_oldest(api, channel):
    put(api, "mail", EffectiveDate="2019-01-01T00:00:00Z")
    for number in range(14):
        put(api, f"p{number}", channel="GCM", EffectiveDate=f"2020-01-{number + 10}T00:00:00Z")
    put(api, "p0", channel="GCM", EffectiveDate="2020-02-01T00:00:00Z")
    put(api, "new", channel=channel)
    assert sorted(ids(api)) == sorted(["mail", "p0", *(f"p{n}" for n in range(2, 14)), "new"])
    client = api.boto3()
    oldest = client.get_endpoint(ApplicationId=api.application, EndpointId="p1")
    assert oldest["EndpointResponse"]["EndpointStatus"] == "INACTIVE"
    assert "UserId" not in oldest["EndpointResponse"].get("User", {})


@pytest.mark.parametrize("channel", OTHERS)
def test_a_16th_endpoint_of_another_kind_is_refused(api, channel):
    for number in range(15):
        put(api, f"p{number}", channel="GCM")
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException) as caught:
        put(api, "new", channel=channel)
    assert caught.value.response["Message"] == EXCEEDED
    put(api, "p3", channel=channel)  # no 16th
    assert len(ids(api)) == 15


def test_a_push_endpoint_takes_the_place_of_no_other_kind(api):
    for number in range(15):
        put(api, f"m{number}")
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=EXCEEDED):
        put(api, "new", channel="GCM")


def test_a_message_goes_to_the_endpoints_of_the_users(api):
    put(api, "e1")
    put(api, "e2", channel="SMS", address="+15550100200")
    put(api, "e3", user="bob", address="e1@example.com")  # which makes e1 inactive
    put(api, "e4", user="eve", OptOut="ALL")
    response = send(api, {"ann": {}, "bob": {}, "eve": {}, "nobody": {}})
    assert response["ApplicationId"] == api.application
    result = response["Result"]
    assert result["ann"]["e2"] == {"Address": "+15550100200", **PENDING}
    assert result["ann"]["e1"]["StatusMessage"] == "Endpoint is inactive"
    assert result["bob"] == {"e3": {"Address": "e1@example.com", **PENDING}}
    assert result["eve"]["e4"]["DeliveryStatus"] == "OPT_OUT"
    assert result["nobody"] == {
        "": {
            "Address": "",
            "DeliveryStatus": "PERMANENT_FAILURE",
            "StatusCode": 400,
            "StatusMessage": "No endpoints found for userId.",
        }
    }
    assert api.stored() == (1, 5)


def test_each_endpoint_is_keyed_by_its_id_and_an_address_gets_one(api):
    put(api, "e1", channel="GCM", address="token")
    put(api, "e2", channel="APNS", address="token")
    put(api, "e3", user="bob", channel="GCM", address="token", EndpointStatus="INACTIVE")
    result = send(api, {"bob": {}, "ann": {}})["Result"]
    assert result["bob"]["e3"]["StatusCode"] == 400
    assert set(result["ann"]) == {"e1", "e2"}
    assert {one["StatusCode"] for one in result["ann"].values()} == {202}


def test_channels_that_are_not_enabled_are_passed_over(api):
    settings = {"adapter": "sandbox", "settings": {}, "enabled": False}
    store.set_channel(api.runtime.db, api.application, "SMS", **settings)
    put(api, "e1")
    put(api, "e2", channel="SMS", address="+15550100200")
    put(api, "e3", user="bob", channel="SMS", address="+15550100201")
    result = send(api, {"ann": {}, "bob": {}})["Result"]
    assert set(result["ann"]) == {"e1"}
    assert result["bob"]["e3"]["StatusMessage"] == (
        f"No channel of type SMS is enabled for the application {api.application}"
    )


def test_endpoints_that_the_message_says_nothing_for_are_passed_over(api):
    put(api, "mail")
    put(api, "phone", channel="SMS", address="+15550100200")
    put(api, "bobs", user="bob")
    sms = {"SMSMessage": {"Body": "hello"}, "EmailMessage": {}, "DefaultMessage": {}}
    result = send(api, {"ann": {}, "bob": {}}, MessageConfiguration=sms)["Result"]
    assert set(result["ann"]) == {"phone"}
    assert set(result["bob"]) == {"bobs"}, "bob has no other, and is told why nothing came"
    assert api.stored() == (1, 2)


def test_the_outcomes_are_keyed_likewise(api):
    put(api, "e1")
    request_id = send(api, {"ann": {}, "nobody": {}})["RequestId"]
    told = api.request("GET", f"{api.path}/{request_id}").json
    assert (told["Result"], told["EndpointResult"], told["Settled"]) == ({}, {}, False)
    assert told["UserResult"]["ann"]["e1"]["State"] == "QUEUED"
    assert told["UserResult"]["nobody"][""]["State"] == "DONE"


def test_a_repetition_is_one_request(api):
    put(api, "e1")
    path = f"/v1/apps/{api.application}/users-messages"
    body = {"MessageConfiguration": {"DefaultMessage": {"Body": "x"}}, "Users": {"ann": {}}}
    key = {"Idempotency-Key": "k"}
    first, again = (api.request("POST", path, json.dumps(body), key) for _ in range(2))
    assert first.json == again.json
    other = {**body, "Users": {"bob": {}}}
    assert api.request("POST", path, json.dumps(other), key).status == 409
    assert api.stored() == (1, 1)


@pytest.mark.parametrize(
    ("users", "says"),
    [
        ({}, "Users: must be 1 to 100, not 0"),
        ({f"u{number}": {} for number in range(101)}, "Users: must be 1 to 100, not 101"),
        ({"": {}}, "Users: a user id must not be empty"),
        ({"a\0": {}}, "Users: contains NUL"),
    ],
)
def test_a_request_that_cannot_be(api, users, says):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=says):
        send(api, users)
    assert api.stored() == (0, 0)


def test_an_application_that_is_not_there(api):
    client = api.boto3()
    with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
        client.send_users_messages(
            ApplicationId="0" * 32,
            SendUsersMessageRequest={"MessageConfiguration": {}, "Users": {"ann": {}}},
        )


def test_a_hundred_users_with_fifteen_endpoints_each(api):
    updates = [
        (
            f"{user}-{number}",
            wire.EndpointRequest(
                Address=f"{user}-{number}@example.com",
                ChannelType=wire.ChannelType.EMAIL,
                User=wire.EndpointUser(UserId=f"u{user}"),
            ),
        )
        for user in range(100)
        for number in range(15)
    ]
    store.update_endpoints(api.runtime.db, api.application, updates)
    result = send(api, {f"u{user}": {} for user in range(100)})["Result"]
    assert api.stored() == (1, 1500)
    assert sum(len(one) for one in result.values()) == 1500
    assert result["u42"]["42-7"] == {"Address": "42-7@example.com", **PENDING}
