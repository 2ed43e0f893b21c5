"""From where requests are accepted, and that unsigned ones are from this machine only."""

import asyncio
import json

import msgspec
import pytest

from tests.http.api import SMS, message, served
from worker import http as edge
from worker import runtime as runtime_


@pytest.fixture
def closed(settings):
    """A backend that accepts requests from a network that the tests are not in."""
    allowed = ("10.0.0.0/8", "2001:db8::/32")
    with served(msgspec.structs.replace(settings, auth=True, allow_from=allowed)) as api:
        yield api


def test_a_peer_outside_the_networks_is_refused(closed):
    client = closed.boto3()
    with pytest.raises(client.exceptions.ForbiddenException) as caught:
        client.send_messages(ApplicationId=closed.application, MessageRequest=message(SMS))
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "SENDPOINT_ALLOW_FROM" in response["Message"]
    assert response["RequestID"] == response["ResponseMetadata"]["RequestId"]
    assert closed.stored() == (0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"X-Real-IP": "10.0.0.1"},
        {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE"},
    ],
)
def test_headers_do_not_let_anybody_in(closed, headers):
    assert closed.post(message(SMS), headers).status == 403
    assert closed.stored() == (0, 0)


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/nothing"])
def test_nothing_is_told_to_a_peer_outside(closed, path):
    assert closed.request("GET", path).status == 403


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "nonsense"])
def test_headers_do_not_keep_anybody_out(api, forwarded):
    assert api.post(message(SMS), {"X-Forwarded-For": forwarded}).status == 200


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (("10.1.2.3", 1), 200),
        (("::ffff:10.1.2.3", 1), 200),
        (("2001:db8::1", 1), 200),
        (("11.0.0.1", 1), 403),
        (("::ffff:11.0.0.1", 1), 403),
        (("::10.1.2.3", 1), 403),
        (("127.0.0.1", 1), 403),
        (("::1", 1), 403),
        (("fe80::1%eth0", 1), 403),
        (None, 403),
    ],
)
def test_the_peer_is_the_connections(settings, peer, status):
    """A server on a dual-stack socket tells an IPv4 peer in IPv6's form; ours binds to one family,
    so this speaks ASGI."""
    allowed = ("10.0.0.0/8", "2001:db8::/32")
    settings = msgspec.structs.replace(settings, auth=True, allow_from=allowed)
    runtime = runtime_.open_runtime(settings)
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(sent_message):
        sent.append(sent_message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "OPTIONS",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        "client": peer,
        "server": ("127.0.0.1", 80),
    }
    try:
        asyncio.run(edge.application(runtime)(scope, receive, send))
    finally:
        runtime.close()
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("auth", "allow_from", "beyond"),
    [
        (False, (), False),
        (False, ("127.0.0.0/8",), False),
        (False, ("127.0.0.1", "::1"), False),
        (False, ("127.0.0.0/8", "10.0.0.0/8"), True),
        (False, ("0.0.0.0/0",), True),
        (True, ("0.0.0.0/0",), False),
        (True, (), False),
    ],
)
def test_unsigned_requests_are_accepted_from_this_machine_only(settings, auth, allow_from, beyond):
    runtime = runtime_.open_runtime(
        msgspec.structs.replace(settings, auth=auth, allow_from=allow_from)
    )
    try:
        if not beyond:
            edge.application(runtime)
            return
        says = "SENDPOINT_ALLOW_FROM needs SENDPOINT_AUTH=on"
        with pytest.raises(ValueError, match=says):
            edge.application(runtime)
        with pytest.raises(ValueError, match=says):
            edge.serve(runtime, host="127.0.0.1", port=0)
    finally:
        runtime.close()


@pytest.mark.parametrize(
    "path", ["/./healthz", "/v1/../healthz", "/healthz/..", "/..", "//healthz", "/healthz//"]
)
def test_only_the_plain_path_leads_anywhere(api, path):
    assert api.request("GET", path).status == 404


@pytest.mark.parametrize("name", [".", ".."])
def test_nothing_is_named_by_dots(api, name):
    """An SDK signs the path of another resource for these."""
    endpoint = b'{"Address": "x", "ChannelType": "CUSTOM"}'
    path = f"/v1/apps/{api.application}/endpoints/{name}"
    assert api.request("PUT", path, endpoint).status == 404
    assert api.request("POST", f"/v1/templates/{name}/sms", b"{}").status == 404


def test_who_is_let_in_is_not_told_which_applications_there_are(api):
    answer = api.request("GET", "/")
    assert answer.status == 200
    assert answer.json["service"] == "Sendpoint"
    assert api.application not in json.dumps(answer.json)
