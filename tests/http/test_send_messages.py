"""SendMessages over HTTP, as boto3, the AWS CLI and plain HTTP clients do it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.http.api import SMS, message
from worker import intake, store


def test_boto3_is_answered_in_pinpoints_shape(api):
    answer = api.boto3().send_messages(ApplicationId=api.application, MessageRequest=message(SMS))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    response = answer["MessageResponse"]
    assert UUID(response.pop("RequestId")).version == 7
    assert response == {
        "ApplicationId": api.application,
        "Result": {
            SMS: {
                "DeliveryStatus": "SUCCESSFUL",
                "StatusCode": 202,
                "StatusMessage": intake.PENDING,
            }
        },
    }
    assert api.stored() == (1, 1)


@pytest.mark.timeout(120)
def test_the_aws_cli_is_answered(api, tmp_path):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("aws"),
            *("pinpoint", "send-messages", "--application-id", api.application),
            *("--message-request", json.dumps(message(SMS)), "--endpoint-url", api.url),
        ],
        env={
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["MessageResponse"]["Result"][SMS]["StatusCode"] == 202
    assert api.stored() == (1, 1)


def test_the_body_is_not_wrapped_and_the_headers_are_there(api):
    answer = api.post(message(SMS))
    assert answer.status == 200
    assert set(answer.json) == {"ApplicationId", "RequestId", "Result"}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert exposed == "x-amzn-RequestId,x-amzn-ErrorType,Retry-After"
    assert UUID(answer.headers["x-amzn-RequestId"])
    assert "Server" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain;charset=UTF-8"},
        {"Content-Type": "application/x-amz-json-1.1"},
        {"Content-Encoding": "identity"},
        {"Authorization": "AWS4-HMAC-SHA256 nonsense"},
    ],
)
def test_headers_that_do_not_matter(api, headers):
    assert api.post(message(SMS), headers).status == 200


def test_a_slash_at_the_end_does_not_matter(api):
    body = json.dumps(message(SMS))
    assert api.request("POST", f"{api.path}/", body).status == 200
    assert api.request("POST", f"{api.path}//", body).status == 404
    assert api.stored() == (1, 1)


def test_a_query_does_not_matter(api):
    assert api.request("POST", f"{api.path}?x=1", json.dumps(message(SMS))).status == 200


def test_an_encoded_slash_in_an_id_separates_nothing(api):
    for name in ("a/messages", "ä b"):
        store.create_application(api.runtime.db, "odd", application_id=name)
        answer = api.boto3().send_messages(ApplicationId=name, MessageRequest=message(SMS))
        assert answer["MessageResponse"]["ApplicationId"] == name
    assert api.request("POST", "/v1/apps/a%2Fmessages", "{}").status == 405


def test_a_chunked_body_is_read(api):
    body = json.dumps(message(SMS)).encode()
    answer = api.request("POST", api.path, iter([body[:10], body[10:]]))
    assert answer.status == 200
    assert api.stored() == (1, 1)


def test_several_requests_on_one_connection(api):
    client = api.boto3()
    for _ in range(3):
        client.send_messages(ApplicationId=api.application, MessageRequest=message(SMS))
    assert api.stored() == (3, 3)
