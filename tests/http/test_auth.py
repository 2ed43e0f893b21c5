"""Who is let in with `auth` on, over real connections with real clients."""

import dataclasses
import json
import logging
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import msgspec
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from sqlalchemy import update

from tests.http import api as api_
from tests.http.api import SMS, bearer, head, message, read_head, signed
from worker import store, vault
from worker.store import tables

OTHER = "0123456789abcdef0123456789abcdef"
UNKNOWN = "The security token included in the request is invalid."
WRONG = "The request signature we calculated does not match the signature you provided."


@pytest.fixture
def api(guarded):
    return guarded


def send(api, client, application=None):
    return client.send_messages(
        ApplicationId=application or api.application, MessageRequest=message(SMS)
    )


def refused(api, client, application=None):
    """The code and the text with which boto3 is refused."""
    before = api.stored()
    with pytest.raises(ClientError) as caught:
        send(api, client, application)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert api.stored() == before
    return response["Error"]["Code"], response["Error"]["Message"]


def test_boto3_with_its_key(api, issue):
    client = api.boto3(key=issue())
    assert send(api, client)["MessageResponse"]["ApplicationId"] == api.application
    session = api.boto3(key=issue("ben"), token="a/session+token==")
    assert send(api, session)["MessageResponse"]["ApplicationId"] == api.application
    assert api.stored() == (2, 2)


def test_boto3_that_takes_it_for_its_proxy(api, issue):
    """Then it sends the whole URL, and signs the path as always. RFC 9112 has a server take it."""
    key = issue()
    client = boto3.client(
        "pinpoint",
        endpoint_url="http://pinpoint.example",
        region_name="eu-central-1",
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        config=Config(retries={"total_max_attempts": 1}, proxies={"http": api.url}),
    )
    assert send(api, client)["MessageResponse"]["ApplicationId"] == api.application
    client.update_endpoint(
        ApplicationId=api.application,
        EndpointId="a b/c",
        EndpointRequest={"Address": SMS, "ChannelType": "SMS"},
    )
    found = client.get_endpoint(ApplicationId=api.application, EndpointId="a b/c")
    assert found["EndpointResponse"]["Id"] == "a b/c"
    assert len(client.get_apps(PageSize="1")["ApplicationsResponse"]["Item"]) == 1


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://sendpoint/v1/apps", 200),
        ("HTTPS://sendpoint:8321/v1/apps?page-size=1", 200),
        ("http://sendpoint", 200),
        ("http://sendpoint//v1/apps", 404),
        ("http:///v1/apps", 404),
        ("ftp://sendpoint/v1/apps", 404),
        ("/http://sendpoint/v1/apps", 404),
    ],
)
def test_a_target_that_is_a_whole_url(api, issue, target, status):
    with api.line() as line:
        line.sendall(head(f"GET {target} HTTP/1.1", f"Authorization: Bearer {issue().token}"))
        assert read_head(line).startswith(f"HTTP/1.1 {status} ")


def test_boto3_with_a_key_that_is_not_its_own(api, issue):
    key = issue()
    assert refused(api, api.boto3()) == ("UnrecognizedClientException", UNKNOWN)
    forged = dataclasses.replace(key, secret=issue("ben").secret)
    code, text = refused(api, api.boto3(key=forged))
    assert code == "InvalidSignatureException"
    assert text.startswith(WRONG)


def test_boto3_without_a_key(api):
    config = Config(signature_version=UNSIGNED, proxies={}, retries={"total_max_attempts": 1})
    client = boto3.client("pinpoint", endpoint_url=api.url, region_name="us-east-1", config=config)
    assert refused(api, client) == (
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


def test_a_refusal_has_pinpoints_shape(api):
    answer = api.post(message(SMS))
    assert answer.status == 403
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json == {
        "Message": "Missing Authentication Token",
        "RequestID": answer.headers["x-amzn-RequestId"],
    }


def test_a_disabled_key_lets_nobody_in_after_seconds(api, issue, clock):
    key = issue()
    client = api.boto3(key=key)
    send(api, client)
    assert api.request("GET", f"{api.path}/{uuid4()}", headers=bearer(key)).status == 404
    assert store.disable_key(api.runtime.db, key.id)
    clock.ahead += timedelta(seconds=3)
    assert refused(api, client) == ("UnrecognizedClientException", UNKNOWN)
    answer = api.request("GET", f"{api.path}/{uuid4()}", headers=bearer(key))
    assert (answer.status, answer.json["Message"]) == (403, UNKNOWN)


def test_a_new_key_lets_its_owner_in_at_once(api, issue):
    key = store.IssuedKey("SPAKAAAABBBBCCCCDDDD", "secret", "token")
    assert refused(api, api.boto3(key=key))[0] == "UnrecognizedClientException"
    send(api, api.boto3(key=issue()))


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (5.5, "Signature expired: "),
        (-5.5, "Signature not yet current: "),
        (4.5, None),
        (-4.5, None),
    ],
)
def test_clocks_that_disagree(api, issue, clock, minutes, says):
    client = api.boto3(key=issue())
    clock.ahead = timedelta(minutes=minutes)
    if says is None:
        send(api, client)
        return
    code, text = refused(api, client)
    assert code == "InvalidSignatureException"
    assert text.startswith(says)


def test_a_captured_request_is_worth_nothing_later_or_changed(api, issue, clock):
    """Within the window the idempotency record answers a repetition."""
    body = json.dumps(message(SMS)).encode()
    given = {"amz-sdk-invocation-id": str(uuid4()), "Content-Type": "application/json"}
    headers = signed(api, issue(), "POST", api.path, body, headers=given)
    first, second = (api.request("POST", api.path, body, headers) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert first.json == second.json
    tampered = api.request("POST", api.path, body.replace(b"hello", b"hullo"), headers)
    assert tampered.headers["x-amzn-ErrorType"] == "InvalidSignatureException"
    elsewhere = api.request("POST", api.path.replace(api.application, OTHER), body, headers)
    assert elsewhere.headers["x-amzn-ErrorType"] == "InvalidSignatureException"
    clock.ahead = timedelta(minutes=6)
    late = api.request("POST", api.path, body, headers)
    assert late.json["Message"].startswith("Signature expired: ")
    assert api.stored() == (1, 1)


def test_a_bearer_token(api, issue):
    key = issue()
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {key.token}"}
        assert api.post(message(SMS), headers).status == 200
    for wrong in (f"Bearer {key.token}x", "Bearer ", "Bearer", f"Bearer {key.secret}"):
        answer = api.post(message(SMS), {"Authorization": wrong})
        assert answer.status == 403
        assert answer.headers["x-amzn-ErrorType"] == "UnrecognizedClientException"
    assert api.post(message(SMS), {"Authorization": f"Basic {key.token}"}).status == 403
    assert api.stored() == (2, 2)


def test_a_presigned_url(api, issue, clock):
    key = issue()
    asked = api.post(message(SMS), bearer(key)).json["RequestId"]
    request = AWSRequest("GET", f"{api.url}{api.path}/{asked}")
    credentials = Credentials(key.id, key.secret)
    SigV4QueryAuth(credentials, "mobiletargeting", "us-east-1", expires=3600).add_auth(request)
    parts = urlsplit(request.url)
    path = f"{parts.path}?{parts.query}"
    clock.ahead = timedelta(minutes=59)
    assert api.request("GET", path).json["RequestId"] == asked
    assert api.request("HEAD", path).status == 403
    clock.ahead = timedelta(minutes=61)
    assert api.request("GET", path).headers["x-amzn-ErrorType"] == "InvalidSignatureException"


@pytest.mark.parametrize("path", ["/healthz", "/healthz/"])
def test_load_balancers_need_no_key(api, path):
    assert api.request("GET", path).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v1/nothing"), ("POST", "/healthz/x"), ("GET", "//healthz")],
)
def test_nothing_else_is_told_without_a_key(api, method, path):
    answer = api.request(method, path)
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


def test_a_preflight_needs_no_key(api):
    answer = api.request("OPTIONS", api.path)
    assert (answer.status, answer.body) == (200, b"")
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_of_a_stranger_no_body_is_read(api):
    """The answer comes although the body never does."""
    with api.line() as line:
        line.sendall(head(f"POST {api.path} HTTP/1.1", "Content-Length: 7000000"))
        assert read_head(line).startswith("HTTP/1.1 403")


def test_a_body_is_bounded_before_it_is_checked(api, issue):
    headers = signed(api, issue(), "POST", api.path, b"x")
    with api.line() as line:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        length = f"Content-Length: {7 * 1024 * 1024 + 1}"
        line.sendall(head(f"POST {api.path} HTTP/1.1", *lines, length))
        assert read_head(line).startswith("HTTP/1.1 413")


@pytest.mark.parametrize(
    "authorization",
    [
        b"AWS4-HMAC-SHA256",
        b"AWS4-HMAC-SHA256 Credential=\xff/\xfe/\xfd/x/y, SignedHeaders=host, Signature=0",
        b"AWS4-HMAC-SHA256 " + b"Credential=a," * 500,
        b"Bearer \xff\xfe",
        b"\xed\xa0\x80",
    ],
)
def test_nonsense_is_the_callers_mistake(api, authorization, caplog):
    headers = {"Authorization": authorization, "X-Amz-Date": "20261123T143000Z"}
    assert api.post(message(SMS), headers).status == 403
    assert not api_.logged(caplog)


def test_secrets_are_in_no_log_and_not_in_the_database(api, issue, caplog):
    caplog.set_level(logging.DEBUG)
    key = issue()
    body = json.dumps(message(SMS)).encode()
    headers = signed(api, key, "POST", api.path, body)
    assert api.request("POST", api.path, body, headers).status == 200
    assert api.request("POST", api.path, b"{}", headers).status == 403
    assert api.post(message(SMS), bearer(key)).status == 200
    ours = "".join(
        one.getMessage() for one in caplog.records if one.name.startswith(("worker", "uvicorn"))
    )
    signature = headers["Authorization"].split("Signature=")[1]
    file = Path(api.runtime.db.engine.url.database)
    kept = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    for secret in (key.secret, key.token, signature):
        assert secret not in ours
        assert secret.encode() not in kept
    assert key.id.encode() in kept
    assert key.secret not in repr(key)
    assert key.token not in repr(key)


def test_a_secret_that_does_not_open_is_ours_and_tells_nothing(api, issue, caplog):
    """As when SENDPOINT_SECRET_KEYS is another one's."""
    key = issue()
    with api.runtime.db.engine.begin() as connection:
        strange = vault.Vault(vault.parse(vault.new_key())).seal(b"x", place="elsewhere")
        connection.execute(update(tables.access_key).values(secret=strange))
    answer = api.request("GET", "/", headers=signed(api, key, "GET", "/"))
    assert answer.status == 500
    (entry,) = api_.logged(caplog)
    assert f"Request {answer.json['RequestID']}: ValueError" in entry.getMessage()
    assert key.secret not in caplog.text


def test_allow_from_bounds_who_may_sign_too(settings, tmp_path):
    elsewhere = msgspec.structs.replace(
        settings,
        auth=True,
        allow_from=("10.0.0.0/8",),
        secret_keys_file=str(tmp_path / "secret.keys"),
    )
    with api_.served(elsewhere) as closed:
        key = store.create_key(closed.runtime.db, "ann")
        answer = closed.post(message(SMS), bearer(key))
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "ForbiddenException")
