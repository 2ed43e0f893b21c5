"""What became of a request, with a worker and the sandbox's magic recipients, and without."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.http import api as api_
from tests.http.api import SMS, message, served, until
from worker import intake, store, wire

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser")

PERMANENT, OPTED_OUT, TEMPORARY = "+15550100400", "+15550100451", "+15550100503"
UNTRIED = {
    "State": "QUEUED",
    "DeliveryStatus": None,
    "StatusCode": None,
    "StatusMessage": None,
    "MessageId": None,
    "UpdatedToken": None,
    "Attempts": 0,
}


@pytest.fixture(scope="module")
def delivering(tmp_path_factory):
    with api_.delivering(tmp_path_factory.mktemp("backend")) as api:
        yield api


def outcomes(api, request_id, application=None):
    path = api.path if application is None else f"/v1/apps/{application}/messages"
    return api.request("GET", f"{path}/{request_id}")


def test_the_answer_has_the_true_outcomes(delivering):
    answer = delivering.boto3().send_messages(
        ApplicationId=delivering.application, MessageRequest=message(SMS, PERMANENT, OPTED_OUT)
    )
    result = answer["MessageResponse"]["Result"]
    message_id = result[SMS].pop("MessageId")
    assert len(message_id) == 40
    assert result == {
        SMS: {
            "DeliveryStatus": "SUCCESSFUL",
            "StatusCode": 200,
            "StatusMessage": f"MessageId: {message_id}",
        },
        PERMANENT: {
            "DeliveryStatus": "PERMANENT_FAILURE",
            "StatusCode": 400,
            "StatusMessage": "Sandbox: permanent failure",
        },
        OPTED_OUT: {
            "DeliveryStatus": "OPT_OUT",
            "StatusCode": 400,
            "StatusMessage": "Sandbox: the recipient opted out",
        },
    }
    later = outcomes(delivering, answer["MessageResponse"]["RequestId"]).json
    assert later["Settled"] is True
    assert later["Result"][PERMANENT] == {
        "State": "DONE",
        "DeliveryStatus": "PERMANENT_FAILURE",
        "StatusCode": 400,
        "StatusMessage": "Sandbox: permanent failure",
        "MessageId": None,
        "UpdatedToken": None,
        "Attempts": 1,
        "ChannelType": "SMS",
    }


def test_what_is_tried_again_is_answered_as_pending_and_told_as_it_is(delivering):
    answer = delivering.post(message(TEMPORARY), {"Prefer": "wait=0"})
    assert answer.json["Result"] == {
        TEMPORARY: {
            "DeliveryStatus": "SUCCESSFUL",
            "StatusCode": 202,
            "StatusMessage": intake.PENDING,
        }
    }

    def told():
        return outcomes(delivering, answer.json["RequestId"]).json

    until(lambda: told()["Result"][TEMPORARY]["DeliveryStatus"] == "TEMPORARY_FAILURE")
    assert told()["Settled"] is False
    outcome = told()["Result"][TEMPORARY]
    assert outcome["StatusCode"] == 503
    assert outcome["State"] in {"QUEUED", "SENDING"}
    assert outcome["Attempts"] >= 1


def test_an_updated_token_is_told(delivering):
    token = "updated-token-abc"
    answer = delivering.post(message(token, channel="GCM")).json
    assert answer["Result"][token]["UpdatedToken"] == "current-token-abc"
    told = outcomes(delivering, answer["RequestId"]).json
    assert told["Result"][token]["UpdatedToken"] == "current-token-abc"


def test_before_the_first_attempt_there_is_no_status(api):
    before = datetime.now(UTC) - timedelta(seconds=1)
    sent = api.post(message(SMS)).json
    assert sent["Result"][SMS]["StatusCode"] == 202
    answer = outcomes(api, sent["RequestId"])
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json
    due_at = datetime.fromisoformat(told["Result"][SMS].pop("DueAt"))
    assert due_at.utcoffset() == timedelta(0)
    assert before < due_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert told == {
        "ApplicationId": api.application,
        "RequestId": sent["RequestId"],
        "Settled": False,
        "Result": {SMS: {**UNTRIED, "ChannelType": "SMS"}},
        "EndpointResult": {},
    }


def test_a_users_endpoints_get_the_message(delivering):
    """From UpdateEndpoint to the dev inbox, with what the endpoint says of the user."""
    client, application = delivering.boto3(), delivering.application
    for endpoint_id, address in (("u-sms", SMS), ("u-dead", PERMANENT)):
        client.update_endpoint(
            ApplicationId=application,
            EndpointId=endpoint_id,
            EndpointRequest={
                "Address": address,
                "ChannelType": "SMS",
                "User": {"UserId": "u1", "UserAttributes": {"First": ["Zoe"]}},
            },
        )
    message_ = {"SMSMessage": {"Body": "hello {{User.UserAttributes.First}}"}}
    answer = client.send_users_messages(
        ApplicationId=application,
        SendUsersMessageRequest={"MessageConfiguration": message_, "Users": {"u1": {}}},
    )
    result = answer["SendUsersMessageResponse"]["Result"]["u1"]
    assert {name: (one["Address"], one["StatusCode"]) for name, one in result.items()} == {
        "u-sms": (SMS, 200),
        "u-dead": (PERMANENT, 400),
    }
    assert "hello Zoe" in Path(delivering.runtime.settings.inbox).read_text()


def test_endpoints_are_told_with_their_address(api):
    endpoint = wire.EndpointRequest(ChannelType="SMS", Address=SMS)
    store.put_endpoint(api.runtime.db, api.application, "eu:a b/c", endpoint)
    request = {
        "MessageConfiguration": {"SMSMessage": {"Body": "hello"}},
        "Endpoints": {"eu:a b/c": {}, "nobody": {}},
    }
    told = outcomes(api, api.post(request).json["RequestId"]).json
    assert told["Result"] == {}
    assert told["Settled"] is False
    known, unknown = told["EndpointResult"]["eu:a b/c"], told["EndpointResult"]["nobody"]
    assert known.pop("DueAt")
    assert known == {**UNTRIED, "ChannelType": "SMS", "Address": SMS}
    assert (unknown["State"], unknown["DeliveryStatus"]) == ("DONE", "PERMANENT_FAILURE")
    assert "DueAt" not in unknown


@pytest.mark.parametrize("written", ["{id}", "{ID}", "{id}/", "{id}?x=1"])
def test_ways_to_write_a_request_id(api, written):
    request_id = api.post(message(SMS)).json["RequestId"]
    written = written.format(id=request_id, ID=request_id.upper())
    assert outcomes(api, written).json["RequestId"] == request_id


@pytest.mark.parametrize(
    "written",
    [
        "01a208a7-2690-776f-a7f4-6b8806ee0f35",
        "nonsense",
        "{id}0",
        "{hex}",
        "urn:uuid:{id}",
        "%7B{id}%7D",
    ],
)
def test_a_request_that_there_is_not(api, written):
    request_id = api.post(message(SMS)).json["RequestId"]
    answer = outcomes(api, written.format(id=request_id, hex=request_id.replace("-", "")))
    assert answer.status == 404
    assert answer.headers["x-amzn-ErrorType"] == "NotFoundException"
    assert answer.json["Message"] == "Resource not found"


def test_another_applications_request_is_not_found(api):
    request_id = api.post(message(SMS)).json["RequestId"]
    other = store.create_application(api.runtime.db, "other")
    answer = outcomes(api, request_id, application=other.id)
    assert answer.status == 404
    assert outcomes(api, uuid4(), application=other.id).json["Message"] == answer.json["Message"]


def test_what_is_stored_is_no_error_although_the_database_goes_away(waiting):
    """Whoever is answered with an error sends it again."""

    def go_away():
        until(lambda: api.stored() == (1, 1))
        with api.runtime.db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE message_result RENAME TO gone"))

    with served(waiting(20.0)) as api:
        gone = threading.Thread(target=go_away, daemon=True)
        gone.start()
        answer = api.post(message(SMS), {"Idempotency-Key": "once"})
        gone.join(20)
        again = api.post(message(SMS), {"Idempotency-Key": "once"})
    assert answer.status == 200
    assert answer.json["Result"][SMS] == {
        "DeliveryStatus": "SUCCESSFUL",
        "StatusCode": 202,
        "StatusMessage": "Accepted; the outcome is pending",
    }
    assert again.status == 500, "of a repetition nothing is known without the database"
