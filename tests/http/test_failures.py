"""Asking the API what failed, and why."""

import asyncio
from urllib.parse import quote
from uuid import UUID

import pytest

from tests.http.api import bearer, message
from worker import dispatch, store

MAGIC = "+15550100550"


@pytest.fixture
def failed(api):
    """The ids of three requests, each to an endpoint that is not there; the latest first."""
    ids = []
    for _ in range(3):
        request = {**message(), "Endpoints": {"nobody": {}}}
        ids.append(api.post(request).json["RequestId"])
    return ids[::-1]


def get(api, path="failures", **query):
    text = "&".join(f"{name.replace('_', '-')}={quote(value)}" for name, value in query.items())
    return api.request("GET", f"/v1/apps/{api.application}/{path}?{text}")


def test_the_latest_first_and_all_there_is_of_them(api, failed):
    answer = get(api)
    assert answer.status == 200
    assert [one["RequestId"] for one in answer.json["Item"]] == failed
    one = answer.json["Item"][0]
    assert one.pop("Id")
    assert one.pop("FailedAt") == one.pop("AcceptedAt")
    assert one == {
        "RequestId": failed[0],
        "Address": "",
        "EndpointId": "nobody",
        "DeliveryStatus": "PERMANENT_FAILURE",
        "StatusCode": 404,
        "StatusMessage": "Resource not found",
        "Fault": "RECIPIENT",
        "Attempts": 0,
        "Replay": "READY",
    }


def test_pages(api, failed):
    first = get(api, page_size="2").json
    second = get(api, page_size="2", token=first["NextToken"]).json
    assert [one["RequestId"] for one in first["Item"] + second["Item"]] == failed
    assert "NextToken" not in second


def test_filters(api, failed):
    assert len(get(api, code="404", fault="RECIPIENT", replayed="false").json["Item"]) == 3
    assert get(api, code="550").json["Item"] == []
    assert get(api, replayed="true").json["Item"] == []
    assert get(api, channel="SMS").json["Item"] == []
    assert len(get(api, request_id=failed[1]).json["Item"]) == 1
    at = get(api, request_id=failed[1]).json["Item"][0]["FailedAt"]
    assert len(get(api, since="2020-01-01", until="2100-01-01T00:00:00+02:00").json["Item"]) == 3
    assert len(get(api, until=at).json["Item"]) <= 1


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"channel": "PIGEON"}, "channel"),
        ({"status": "SUCCESSFUL"}, "status"),
        ({"fault": "NOBODY"}, "fault"),
        ({"code": "x"}, "code"),
        ({"code": "9" * 20}, "code"),
        ({"since": "yesterday"}, "since"),
        ({"until": "0001-01-01T00:00:00+23:59"}, "until"),
        ({"request_id": "1"}, "request-id"),
        ({"replayed": "maybe"}, "replayed"),
        ({"provider": "\0"}, "provider"),
        ({"page_size": "0"}, "page-size"),
        ({"token": "x"}, "token"),
        ({"token": "AAAA"}, "token"),
        ({"token": "é"}, "token"),
    ],
)
def test_a_parameter_that_cannot_be(api, query, names):
    answer = get(api, **query)
    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{names}:")


def test_a_history(api):
    request_id = api.post(message(MAGIC)).json["RequestId"]
    (one,) = store.histories(api.runtime.db, UUID(request_id))
    asyncio.run(dispatch.deliver(api.runtime, one.id))
    answer = get(api, f"messages/{request_id}/history")
    (told,) = answer.json["Item"]
    assert told["Id"] == str(one.id)
    assert [step["What"] for step in told["Steps"]][:2] == ["accepted", "settled"]
    assert told["Steps"][1]["Provider"] == "sandbox"


@pytest.mark.parametrize("request_id", ["nonsense", "00000000-0000-7000-8000-000000000000"])
def test_a_history_of_nothing(api, request_id):
    assert get(api, f"messages/{request_id}/history").status == 404


def test_another_applications_failures_are_nobodys_business(api, failed):
    other = store.create_application(api.runtime.db, "other").id
    path = f"/v1/apps/{other}"
    assert api.request("GET", f"{path}/failures").json == {"Item": []}
    assert api.request("GET", f"{path}/messages/{failed[0]}/history").status == 404


def test_it_takes_the_right_to_read(guarded, issue):
    path = f"/v1/apps/{guarded.application}/failures"
    reads, sends = issue(actions=[store.Action.READ]), issue(actions=[store.Action.SEND])
    assert guarded.request("GET", path, None, bearer(reads)).status == 200
    assert guarded.request("GET", path, None, bearer(sends)).status == 403
    assert guarded.request("GET", path).status == 403
