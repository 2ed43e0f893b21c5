"""Every refusal in Pinpoint's shape, and nothing stored after it."""

import json
import logging
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import text, update

from tests.http.api import SMS, logged, message, served
from worker.store import tables

UNKNOWN = "0" * 32
MANY = [f"+1555010{number:04}" for number in range(101)]


def assert_refused(answer, status, name, text):
    assert answer.status == status
    assert answer.headers["x-amzn-ErrorType"] == name
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    request_id = answer.headers["x-amzn-RequestId"]
    assert str(UUID(request_id)) == request_id
    assert set(answer.json) == {"RequestID", "Message"}
    assert answer.json["RequestID"] == request_id
    assert text in answer.json["Message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"MessageConfiguration": NaN}', "not valid JSON"),
        (b"[]", "MessageRequest: Expected `object`, got `array`"),
        (b"{}", "missing required field `MessageConfiguration`"),
        (b'{"MessageConfiguration": {}}', "at least one recipient"),
        (b'{"MessageConfiguration": {}, "Addresses": {}}', "at least one recipient"),
        (json.dumps(message(*MANY)).encode(), "101 recipients are more than 100"),
        (b'{"MessageConfiguration": {"SMSMessage": {"Body": 1}}}', "SMSMessage.Body: Expected"),
        (b'{"MessageConfiguration": {}, "Addresses": []}', "Addresses: Expected"),
        (json.dumps(message(SMS, channel="NOPE")).encode(), "ChannelType"),
        (b'{"MessageConfiguration": {"GCMMessage": {"Action": "JUMP"}}}', "GCMMessage.Action"),
        (json.dumps(message(SMS, body="\0")).encode(), "DefaultMessage.Body: contains NUL"),
        (b"[" * 100_000, "MessageRequest"),
    ],
)
def test_a_body_that_is_wrong(api, body, says):
    assert_refused(api.request("POST", api.path, body), 400, "BadRequestException", says)
    assert api.stored() == (0, 0)


@pytest.mark.parametrize("key", ["", "k" * 201, "schlüssel", "a\tb"])
def test_an_idempotency_key_that_is_wrong(api, key):
    answer = api.post(message(SMS), {"Idempotency-Key": key.encode("latin-1")})
    assert_refused(answer, 400, "BadRequestException", "Idempotency-Key: must be")
    assert api.stored() == (0, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/nothing",
        "/v1/apps//messages",
        f"/v1/apps/{UNKNOWN}/messages",
        f"/v1/apps/{UNKNOWN}/messages/",
        "/v1/apps/%00/messages",
        "/v1/apps/%FF/messages",
        f"/v1/apps/{UNKNOWN}/messages/a/b",
        f"/V1/apps/{UNKNOWN}/messages",
        "/base/v1/apps/a/messages",
        "/%2e%2e/healthz",
    ],
)
def test_a_path_that_leads_nowhere(api, path):
    answer = api.request("POST", path, json.dumps(message(SMS)))
    assert_refused(answer, 404, "NotFoundException", "Resource not found")
    assert api.stored() == (0, 0)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "{path}", "OPTIONS, POST"),
        ("PUT", "{path}", "OPTIONS, POST"),
        ("DELETE", "{path}/", "OPTIONS, POST"),
        ("BREW", "{path}", "OPTIONS, POST"),
        ("POST", "{path}/1", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_the_resources(api, method, path, allow):
    answer = api.request(method, path.format(path=api.path), json.dumps(message(SMS)))
    assert_refused(answer, 405, "MethodNotAllowedException", method)
    assert answer.headers["Allow"] == allow
    assert api.stored() == (0, 0)


def test_head(api):
    refused = api.request("HEAD", api.path)
    assert (refused.status, refused.body) == (405, b"")
    assert refused.headers["x-amzn-ErrorType"] == "MethodNotAllowedException"
    healthy = api.request("HEAD", "/healthz")
    assert (healthy.status, healthy.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("{path}", "OPTIONS, POST"),
        ("{path}/", "OPTIONS, POST"),
        ("/v1/apps/any/messages/any", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_preflight_is_answered(api, path, methods):
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-amz-date",
    }
    answer = api.request("OPTIONS", path.format(path=api.path), headers=asked)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == methods
    assert {
        "Content-Type",
        "X-Amz-Date",
        "Authorization",
        "X-Api-Key",
        "X-Amz-Security-Token",
        "X-Amz-User-Agent",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "x-amz-content-sha256",
        "Idempotency-Key",
        "Prefer",
    } == set(answer.headers["Access-Control-Allow-Headers"].split(","))


def test_a_preflight_for_nothing(api):
    answer = api.request("OPTIONS", "/v1/nothing")
    assert_refused(answer, 404, "NotFoundException", "Resource not found")


@pytest.mark.parametrize(
    ("application", "request_", "code", "status"),
    [
        ("{known}", message(), "BadRequestException", 400),
        ("{known}", message(SMS, channel="NOPE"), "BadRequestException", 400),
        ("nobody", message(SMS), "NotFoundException", 404),
        ("", message(SMS), "NotFoundException", 404),
        ("{known}", message(SMS, body="x" * 8_000_000), "PayloadTooLargeException", 413),
    ],
)
def test_boto3_raises_the_modelled_exception(api, application, request_, code, status):
    client = api.boto3()
    with pytest.raises(getattr(client.exceptions, code)) as caught:
        client.send_messages(
            ApplicationId=application.format(known=api.application), MessageRequest=request_
        )
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == code
    assert response["Error"]["Message"] == response["Message"]
    assert response["RequestID"] == response["ResponseMetadata"]["RequestId"]
    assert api.stored() == (0, 0)


def test_nul_in_an_id_is_not_found(settings, postgresql_url):
    """PostgreSQL raises an error for it instead of finding nothing."""
    with served(msgspec.structs.replace(settings, database_url=postgresql_url)) as api:
        sent = api.request("POST", "/v1/apps/%00/messages", json.dumps(message(SMS)))
        asked = api.request("GET", f"/v1/apps/%00/messages/{uuid4()}")
    for answer in (sent, asked):
        assert_refused(answer, 404, "NotFoundException", "Resource not found")


def test_a_database_that_does_not_answer_is_ours_and_tells_nothing(settings, caplog):
    with served(settings) as api:
        with api.runtime.db.engine.begin() as connection:
            connection.execute(text("DROP TABLE application"))
        client = api.boto3()
        with pytest.raises(client.exceptions.InternalServerErrorException) as caught:
            client.send_messages(ApplicationId=api.application, MessageRequest=message(SMS))
        assert api.stored() == (0, 0)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert response["Message"] == "The database did not answer; try again"
    (entry,) = logged(caplog)
    assert entry.getMessage() == f"Request {response['RequestID']}: the database did not answer"


def test_an_error_of_ours_is_logged_once_and_tells_nothing(api, caplog):
    request_id = api.post(message(SMS)).json["RequestId"]
    with api.runtime.db.engine.begin() as connection:
        connection.execute(update(tables.message_result).values(delivery_status="NONSENSE"))
    answer = api.request("GET", f"{api.path}/{request_id}")
    assert_refused(
        answer,
        500,
        "InternalServerErrorException",
        "The request could not be processed because of an internal error",
    )
    (entry,) = logged(caplog)
    assert f"Request {answer.json['RequestID']}: ValueError" in entry.getMessage()
    assert "intake.py" in entry.getMessage()
    assert "NONSENSE" not in caplog.text
    assert SMS not in caplog.text


def test_the_log_has_nothing_of_a_body(api, caplog):
    caplog.set_level(logging.DEBUG)
    assert api.post(message(SMS, body="top secret")).status == 200
    assert api.post(message(SMS, channel="top secret")).status == 400
    assert api.request("POST", api.path, b"top secret").status == 400
    assert "top secret" not in caplog.text
    assert SMS not in caplog.text
