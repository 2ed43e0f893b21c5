"""Endpoints and removal of attributes, through boto3."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import msgspec
import pytest

from tests.http.api import served

ADDRESS = "ann@example.com"


def put(api, endpoint_id="e1", **members):
    request = {"Address": ADDRESS, "ChannelType": "EMAIL", **members}
    return api.boto3().update_endpoint(
        ApplicationId=api.application,
        EndpointId=endpoint_id,
        EndpointRequest={name: one for name, one in request.items() if one is not None},
    )


def get(api, endpoint_id="e1"):
    return api.boto3().get_endpoint(ApplicationId=api.application, EndpointId=endpoint_id)[
        "EndpointResponse"
    ]


def test_an_endpoint_is_stored_told_and_deleted(api):
    members = {
        "Attributes": {"Interests": ["music", "tea"]},
        "Demographic": {"Make": "ACME", "Locale": "de_DE"},
        "Location": {"City": "Berlin", "Latitude": 52.5},
        "Metrics": {"Visits": 3.0},
        "User": {"UserId": "ann", "UserAttributes": {"First": ["Ann"]}},
    }
    answer = put(api, **members)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["MessageBody"]["Message"] == "Accepted"
    request_id = answer["MessageBody"]["RequestID"]
    assert str(UUID(request_id)) == request_id == answer["ResponseMetadata"]["RequestId"]
    told = get(api)
    assert told == {
        "Address": ADDRESS,
        "ApplicationId": api.application,
        "ChannelType": "EMAIL",
        "CohortId": told["CohortId"],
        "CreationDate": told["CreationDate"],
        "EffectiveDate": told["EffectiveDate"],
        "EndpointStatus": "ACTIVE",
        "Id": "e1",
        "OptOut": "NONE",
        "RequestId": request_id,
        **members,
    }
    assert told["CohortId"] in {str(one) for one in range(100)}
    client = api.boto3()
    deleted = client.delete_endpoint(ApplicationId=api.application, EndpointId="E1")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert deleted["EndpointResponse"] == told
    for operation in (client.get_endpoint, client.delete_endpoint):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            operation(ApplicationId=api.application, EndpointId="e1")


def test_an_update_merges(api):
    put(
        api,
        Attributes={"A": ["1"], "B": ["2"], "C": ["3"]},
        Demographic={"Make": "ACME", "Model": "old"},
        Location={"City": "Berlin"},
        Metrics={"x": 1.0, "y": 2.0},
        OptOut="ALL",
        EndpointStatus="INACTIVE",
        User={"UserId": "ann", "UserAttributes": {"First": ["Ann"], "Last": ["Lee"]}},
    )
    before = get(api)
    assert before["EndpointStatus"] == "INACTIVE"
    put(
        api,
        "E1",
        Address=None,
        ChannelType=None,
        Attributes={"A": ["9"], "B": []},
        Demographic={"Model": "new"},
        Metrics={"y": 5.0},
        User={"UserAttributes": {"First": []}},
    )
    after = get(api)
    assert after == before | {
        "Attributes": {"A": ["9"], "C": ["3"]},
        "Demographic": {"Make": "ACME", "Model": "new"},
        "EffectiveDate": after["EffectiveDate"],
        "EndpointStatus": "ACTIVE",
        "Id": "E1",
        "Metrics": {"x": 1.0, "y": 5.0},
        "RequestId": after["RequestId"],
        "User": {"UserId": "ann", "UserAttributes": {"Last": ["Lee"]}},
    }


def test_what_the_caller_says_of_time_and_request_is_told(api):
    put(api, EffectiveDate="2020-01-02T03:04:05Z", RequestId="mine")
    told = get(api)
    assert (told["EffectiveDate"], told["RequestId"]) == ("2020-01-02T03:04:05Z", "mine")
    put(api)
    assert get(api)["EffectiveDate"] > "2026"


def test_attributes_may_be_plain_strings(api):
    """As AWS's HTTP examples write them."""
    body = {
        "Address": ADDRESS,
        "ChannelType": "EMAIL",
        "Attributes": {"A": "one", "B": ["two"]},
        "User": {"UserId": "ann", "UserAttributes": {"First": "Ann"}},
        "Unknown": {"x": 1},
    }
    path = f"/v1/apps/{api.application}/endpoints"
    assert api.request("PUT", f"{path}/e1", json.dumps(body)).status == 202
    batch = {"Item": [{**body, "Id": "e2", "Address": "b@example.com"}]}
    assert api.request("PUT", path, json.dumps(batch)).status == 202
    for endpoint_id in ("e1", "e2"):
        told = get(api, endpoint_id)
        assert told["Attributes"] == {"A": ["one"], "B": ["two"]}
        assert told["User"]["UserAttributes"] == {"First": ["Ann"]}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"Address": None}, "Missing Address"),
        ({"Address": ""}, "Missing Address"),
        ({"Address": "a" * 2049}, "Address: is longer than 2048 bytes"),
        ({"Address": "a\0"}, "Address: contains NUL"),
        ({"ChannelType": "FAX"}, "ChannelType"),
        ({"OptOut": "SOME"}, "OptOut: must be ALL or NONE"),
        ({"EndpointStatus": "DEAD"}, "EndpointStatus: must be ACTIVE or INACTIVE"),
        ({"EffectiveDate": "soon"}, "EffectiveDate"),
        ({"Attributes": {"n" * 51: ["v"]}}, "Attributes: a name must have 1 to 50"),
        ({"Attributes": {"": ["v"]}}, "Attributes: a name must have 1 to 50"),
        ({"Attributes": {"A": ["v" * 101]}}, "Attributes.A: a value is longer than 100"),
        ({"Attributes": {"A": ["v"] * 51}}, "Attributes.A: has more than 50 values"),
        ({"Metrics": {"n" * 51: 1.0}}, "Metrics: a name must have 1 to 50"),
        ({"User": {"UserAttributes": {"A": ["v" * 101]}}}, "User.UserAttributes.A: a value"),
        ({"User": {"UserId": "u" * 1025}}, "User.UserId: is longer than 1024 bytes"),
        ({"Metrics": {f"m{n}": 1.0 for n in range(251)}}, "more than 250 attributes"),
        ({"Attributes": {f"a{n}": ["v" * 100] for n in range(150)}}, "larger than 15360 bytes"),
    ],
)
def test_an_endpoint_that_cannot_be(api, members, says):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException) as caught:
        put(api, **members)
    assert says in caught.value.response["Message"]
    with pytest.raises(client.exceptions.NotFoundException):
        get(api)


def test_limits_hold_for_what_the_merge_makes(api):
    put(api, Attributes={f"a{n}": ["v"] for n in range(200)})
    with pytest.raises(Exception, match="more than 250 attributes"):
        put(api, Metrics={f"m{n}": 1.0 for n in range(51)})
    put(api, Metrics={f"m{n}": 1.0 for n in range(50)})


@pytest.mark.parametrize("endpoint_id", ["a$", "{a", "a}", "x" * 1025])
def test_an_id_that_cannot_be(api, endpoint_id):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match="EndpointId"):
        put(api, endpoint_id)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/e1", b"[]", "The request body: Expected `object`, got `array`"),
        ("/e1", b'{"Attributes": []}', "Attributes: Expected `object"),
        ("/e1", b'{"Attributes": {"a": 1}}', "Attributes[...]: Expected `array"),
        ("/e1", b'{"User": 1}', "User: Expected `object"),
        ("/e1", b'{"Address": "a", "Metrics": {"a": 1e999}}', ""),
        ("", b"{}", "EndpointBatchRequest: Object missing required field `Item`"),
        ("", b'{"Item": 1}', "Item: Expected `array`"),
        ("", b'{"Item": [1]}', "Item[0]: Expected `object`"),
    ],
)
def test_a_body_that_is_wrong(api, path, body, says):
    answer = api.request("PUT", f"/v1/apps/{api.application}/endpoints{path}", body)
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "BadRequestException")
    assert answer.json["Message"].startswith(says)


def test_odd_ids_are_ids(api):
    for endpoint_id in ("eu-west-1:ab c/d", "ä%2F", "a.b"):
        put(api, endpoint_id)
        assert get(api, endpoint_id)["Id"] == endpoint_id


def test_another_with_the_same_address_becomes_inactive(api):
    put(api, "old")
    put(api, "other channel", ChannelType="CUSTOM")
    put(api, "new", EndpointStatus="INACTIVE")
    assert get(api, "old")["EndpointStatus"] == "ACTIVE"
    put(api, "new")
    assert get(api, "old")["EndpointStatus"] == "INACTIVE"
    assert get(api, "new")["EndpointStatus"] == "ACTIVE"
    assert get(api, "other channel")["EndpointStatus"] == "ACTIVE"


def test_an_application_that_is_not_there(api):
    client = api.boto3()
    with pytest.raises(client.exceptions.NotFoundException):
        client.update_endpoint(
            ApplicationId="0" * 32, EndpointId="e1", EndpointRequest={"Address": ADDRESS}
        )


def test_a_batch_is_stored_whole_or_not(api):
    client = api.boto3()

    def update(items):
        return client.update_endpoints_batch(
            ApplicationId=api.application, EndpointBatchRequest={"Item": items}
        )

    items = [
        {"Id": f"e{n}", "Address": f"{n}@example.com", "ChannelType": "EMAIL"} for n in range(101)
    ]
    answer = update(items[:100])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["MessageBody"]["Message"] == "Accepted"
    assert get(api, "e99")["Address"] == "99@example.com"
    for wrong, says in (
        (items, "Item: must be 1 to 100"),
        ([], "Item: must be 1 to 100"),
        ([{"Id": "n1", "Address": "a"}, {"Id": "n2"}], "Missing Address"),
        ([{"Id": "n1", "Address": "a"}, {"Address": "b"}], "EndpointId"),
    ):
        with pytest.raises(client.exceptions.BadRequestException, match=says):
            update(wrong)
    with pytest.raises(client.exceptions.NotFoundException):
        get(api, "n1")


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (
            "endpoint-custom-attributes",
            {"Attributes": {"Keep": ["1"]}},
        ),
        ("endpoint-metric-attributes", {"Metrics": {"Keep": 1.0}}),
        (
            "endpoint-user-attributes",
            {"User": {"UserId": "ann", "UserAttributes": {"Keep": ["1"]}}},
        ),
    ],
)
def test_attributes_are_removed_from_every_endpoint(api, kind, left):
    named = {"Keep": ["1"], "Exact": ["2"], "Pre_a": ["3"], "Pre_b": ["4"]}
    members = {
        "Attributes": named,
        "Metrics": dict.fromkeys(named, 1.0),
        "User": {"UserId": "ann", "UserAttributes": named},
    }
    put(api, **members)
    put(api, "e2", Address="b@example.com")
    answer = api.boto3().remove_attributes(
        ApplicationId=api.application,
        AttributeType=kind,
        UpdateAttributesRequest={"Blacklist": ["Exact", "Pre_*", "never"]},
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["AttributesResource"] == {
        "ApplicationId": api.application,
        "AttributeType": kind,
        "Attributes": ["Exact", "Pre_a", "Pre_b"],
    }
    told = get(api)
    assert {name: told[name] for name in members} == members | left


def test_a_removal_that_cannot_be(api):
    client = api.boto3()
    for kind, names in (
        ("nonsense", ["a"]),
        ("endpoint-custom-attributes", []),
        ("endpoint-custom-attributes", ["[ab]" * 1_000_000]),
    ):
        with pytest.raises(client.exceptions.BadRequestException):
            client.remove_attributes(
                ApplicationId=api.application,
                AttributeType=kind,
                UpdateAttributesRequest={"Blacklist": names},
            )
    with pytest.raises(client.exceptions.NotFoundException):
        client.remove_attributes(
            ApplicationId="0" * 32,
            AttributeType="endpoint-custom-attributes",
            UpdateAttributesRequest={"Blacklist": ["a"]},
        )


def test_updates_at_once_make_one_endpoint_active_and_one_user_hold_15(settings, database_url):
    """On both databases: what an update finds is still so when it commits."""
    with served(msgspec.structs.replace(settings, database_url=database_url)) as api:

        def update(number):
            user = {"UserId": "ann"}
            put(api, f"same{number}", User={"UserId": f"u{number}"})
            put(api, f"p{number}", Address=f"token{number}", ChannelType="GCM", User=user)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(update, range(24)))
        states = [get(api, f"same{number}")["EndpointStatus"] for number in range(24)]
        client = api.boto3()
        mine = client.get_user_endpoints(ApplicationId=api.application, UserId="ann")
    assert sorted(states) == ["ACTIVE", *["INACTIVE"] * 23]
    assert len(mine["EndpointsResponse"]["Item"]) == 15
