"""Webhook against real HTTP servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.utils
import hashlib
import hmac
import ipaddress
import json
import time
import uuid

import pytest
import standardwebhooks
from aiohttp import web

from adapters import addresses
from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.messages import Custom, Sms
from adapters.webhook import Webhook
from tests.adapters import test_smtp
from tests.adapters.peers import DEEP
from tests.contracts.adapter import AdapterContract, Answer

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER_KEY = b"another key of 24 bytes!"
OTHER_SECRET = "whsec_" + base64.b64encode(OTHER_KEY).decode()


class Receiver:
    """A server that does with each request what `answer`, a coroutine, does."""

    def __init__(self):
        self.requests = []
        self.answer = self.accept
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def start(self, tls=None):
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None), shutdown_timeout=0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def stop(self):
        await self._runner.cleanup()

    async def _serve(self, request):
        self.requests.append((request.path_qs, request.headers.copy(), await request.read()))
        self.reached.set()
        await self.go_on.wait()
        return await self.answer(request)

    async def accept(self, request):
        return web.Response(text="thanks")

    def says(self, status, text="", **headers):
        async def answer(request):
            return web.Response(status=status, text=text, headers=headers)

        self.answer = answer

    def writes(self, data):
        """Bytes that are no answer of a web server, or no bytes; then the connection is closed."""

        async def answer(request):
            request.transport.write(data)
            request.transport.close()
            return web.Response()

        self.answer = answer


def run(scene, **settings):
    async def go():
        receiver = Receiver()
        await receiver.start()
        adapter = webhook(receiver.port, **settings)
        try:
            return await scene(adapter, receiver)
        finally:
            await adapter.aclose()
            await receiver.stop()

    return asyncio.run(go())


def webhook(port, **settings):
    settings = {"allow_private": ["127.0.0.0/8"], **settings}
    return Webhook(**{"url": f"http://127.0.0.1:{port}/hook", **settings})


def delivery(message=None, *, address="user-77@example.org", timeout=20.0, delivery_id=None):
    return Delivery(
        id=delivery_id or str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=ChannelType.CUSTOM,
        address=address,
        message=message or Custom(data={"Event": "signed up"}),
        timeout=timeout,
    )


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (200, None, (SUCCESSFUL, None, None)),
        (202, None, (SUCCESSFUL, None, None)),
        (204, None, (SUCCESSFUL, None, None)),
        (301, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (302, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (308, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (400, None, (PERMANENT, Fault.MESSAGE, None)),
        (401, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (403, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (404, None, (PERMANENT, Fault.MESSAGE, None)),
        (408, None, (TEMPORARY, Fault.PROVIDER, None)),
        (410, None, (PERMANENT, Fault.CREDENTIALS, None)),
        (422, None, (PERMANENT, Fault.MESSAGE, None)),
        (429, None, (THROTTLED, Fault.PROVIDER, None)),
        (429, "17", (THROTTLED, Fault.PROVIDER, 17.0)),
        (429, "soon", (THROTTLED, Fault.PROVIDER, None)),
        (429, "Mon, 23 Nov 2015 10:00:00 GMT", (THROTTLED, Fault.PROVIDER, 0.0)),
        (500, None, (TEMPORARY, Fault.PROVIDER, None)),
        (502, None, (TEMPORARY, Fault.PROVIDER, None)),
        (503, "120", (TEMPORARY, Fault.PROVIDER, 120.0)),
        (504, None, (TEMPORARY, Fault.PROVIDER, None)),
        (599, None, (TEMPORARY, Fault.PROVIDER, None)),
        (600, None, (UNKNOWN, Fault.PROVIDER, None)),
    ],
)
def test_each_answer_of_the_table(status, retry_after, expected):
    async def scene(adapter, receiver):
        receiver.says(status, **({"Retry-After": retry_after} if retry_after else {}))
        return await adapter.send(delivery()), len(receiver.requests)

    outcome, requests = run(scene)
    assert (outcome.status, outcome.fault, outcome.retry_after) == expected
    assert outcome.status_code == status
    assert (outcome.dead_address, outcome.indeterminate) == (False, False)
    assert requests == 1


def test_retry_after_may_be_a_date():
    async def scene(adapter, receiver):
        later = email.utils.formatdate(time.time() + 600, usegmt=True)
        receiver.says(429, **{"Retry-After": later})
        return await adapter.send(delivery())

    assert 500 < run(scene).retry_after <= 600


def test_what_is_accepted_keeps_the_receivers_code_and_words():
    async def scene(adapter, receiver):
        receiver.says(202, "queued")
        return await adapter.send(delivery(delivery_id="0f8d"))

    assert run(scene) == Outcome(
        status=SUCCESSFUL, status_code=202, status_message="queued", message_id="0f8d"
    )


def test_the_body_is_the_event_in_its_envelope():
    async def scene(adapter, receiver):
        event = Custom(data={"Event": "signed up", "Plan": {"Seats": 3}, "Address": "forged"})
        await adapter.send(delivery(event, delivery_id="0f8d"))
        return receiver.requests[0]

    path, headers, body = run(scene, headers={"X-Team": "growth"})
    assert path == "/hook"
    assert json.loads(body) == {
        "MessageId": "0f8d",
        "RequestId": "request",
        "ApplicationId": "app",
        "ChannelType": "CUSTOM",
        "Address": "user-77@example.org",
        "Event": "signed up",
        "Plan": {"Seats": 3},
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Team"] == "growth"
    assert headers["webhook-id"] == "0f8d"
    assert "webhook-signature" not in headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ("Sendpoint", "*/*")),
        ({"user-agent": "Shop/1", "ACCEPT": "text/plain"}, ("Shop/1", "text/plain")),
    ],
)
def test_the_channels_headers_replace_the_usual_ones(headers, expected):
    async def scene(adapter, receiver):
        await adapter.send(delivery())
        return receiver.requests[0][1]

    sent = run(scene, headers=headers)
    assert (sent.getall("User-Agent"), sent.getall("Accept")) == ([expected[0]], [expected[1]])


def test_the_signature_is_standard_webhooks_one_for_each_secret():
    async def scene(adapter, receiver):
        await adapter.send(delivery(delivery_id="0f8d"))
        return receiver.requests[0]

    _, headers, body = run(scene, secret=f"{SECRET} {OTHER_SECRET}")
    signed = b"0f8d." + headers["webhook-timestamp"].encode() + b"." + body
    expected = [
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        for key in (KEY, OTHER_KEY)
    ]
    assert headers["webhook-signature"].split(" ") == expected
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_the_standards_own_library_accepts_the_signature(secret):
    async def scene(adapter, receiver):
        await adapter.send(delivery())
        return receiver.requests[0]

    _, headers, body = run(scene, secret=f"{SECRET} {OTHER_SECRET}")
    event = standardwebhooks.Webhook(secret).verify(body, dict(headers))
    assert event["Event"] == "signed up"


@pytest.mark.parametrize(
    "message",
    [
        Sms(body="Hi"),
        Custom(data={"When": object()}),
        Custom(data={"Rate": float("nan")}),
        Custom(data=DEEP),
    ],
    ids=["not an event", "not JSON", "not a number", "without a bottom"],
)
def test_what_is_no_json_object_is_never_sent(message):
    async def scene(adapter, receiver):
        return await adapter.send(delivery(message)), receiver.requests

    outcome, requests = run(scene)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)
    assert requests == []


def test_a_redirect_is_not_followed():
    async def scene(adapter, receiver):
        receiver.says(307, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")
        outcome = await adapter.send(delivery())
        return outcome.status, [path for path, _, _ in receiver.requests]

    assert run(scene) == (PERMANENT, ["/hook"])


def test_cookies_are_not_kept():
    async def scene(adapter, receiver):
        receiver.says(200, **{"Set-Cookie": "tracked=1"})
        by_name = webhook(  # aiohttp keeps cookies of names only, not of IP addresses
            receiver.port,
            url=f"http://localhost:{receiver.port}/hook",
            allow_private=["127.0.0.0/8", "::1/128"],
        )
        await by_name.send(delivery())
        await by_name.send(delivery())
        await by_name.aclose()
        return receiver.requests[1][1]

    assert "Cookie" not in run(scene)


def test_an_endless_answer_is_read_to_a_limit_and_told_in_short():
    async def scene(adapter, receiver):
        written = 0

        async def answer(request):
            nonlocal written
            response = web.StreamResponse(status=500)
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"never enough " * 1000)
                    written += 13_000
            return response

        receiver.answer = answer
        return await adapter.send(delivery()), written

    outcome, written = run(scene)
    assert outcome.status is TEMPORARY
    assert outcome.status_message.startswith("never enough never enough")
    assert len(outcome.status_message) <= 500
    assert written < 20_000_000  # what the sockets' buffers hold, not what there is


def test_an_answer_whose_body_never_ends_still_counts():
    async def scene(adapter, receiver):
        enough = asyncio.Event()

        async def answer(request):
            response = web.StreamResponse(status=200)
            await response.prepare(request)
            await response.write(b"thanks")
            await enough.wait()
            return response

        receiver.answer = answer
        outcome = await adapter.send(delivery(timeout=1.0))
        enough.set()
        return outcome

    outcome = run(scene)
    assert (outcome.status, outcome.status_code) == (SUCCESSFUL, 200)


def test_connections_are_used_again():
    async def scene(adapter, receiver):
        peers = set()

        async def answer(request):
            peers.add(request.transport.get_extra_info("peername"))
            return web.Response(text="thanks")

        receiver.answer = answer
        for _ in range(5):
            await adapter.send(delivery())
        return len(peers)

    assert run(scene) == 1


def test_its_own_timeout_bounds_the_deliverys():
    async def scene(adapter, receiver):
        receiver.go_on.clear()
        outcome = await adapter.send(delivery(timeout=3600.0))
        receiver.go_on.set()
        return outcome

    outcome = run(scene, timeout=1.0)
    assert (outcome.status, outcome.indeterminate) == (UNKNOWN, True)


def test_an_answer_that_repeats_the_request_shows_no_secret_and_no_address():
    async def scene(adapter, receiver):
        async def answer(request):
            said = "\n".join(request.headers.values())
            return web.Response(status=400, text=f"{said} {SECRET} user-77@example.org bad")

        receiver.answer = answer
        return (await adapter.send(delivery())).status_message

    text = run(scene, secret=SECRET, headers={"Authorization": "Bearer pa55"})
    assert text.endswith("*** *** bad")


@pytest.mark.parametrize(
    "said",
    [
        "The requested URL /services/T0/B%20x/0123456789abcdef was not found",
        "POST /services/T0/B x/0123456789abcdef is not allowed",
        "no hook 0123456789abcdef",
        "/services/T0/B%20x/0123456789abcdef?key=a%20pa55&v=1",
        "key=a pa55&v=1",
        '{"key":"a pa55"}',
        "pa55word is no token",
    ],
)
def test_an_answer_that_repeats_a_secret_of_the_url_does_not_show_it(said):
    async def scene(_, receiver):
        receiver.says(404, said)
        adapter = Webhook(
            url=f"http://127.0.0.1:{receiver.port}/services/T0/B%20x/0123456789abcdef?key=a%20pa55&v=1",
            headers={"Authorization": "Bearer pa55word"},
            allow_private=["127.0.0.0/8"],
        )
        try:
            return (await adapter.send(delivery())).status_message
        finally:
            await adapter.aclose()

    text = run(scene)
    assert "***" in text
    assert not [part for part in ("pa55", "0123456789abcdef", "T0") if part in text]
    assert "pa55" not in text
    assert KEY.decode() not in text


# Which addresses may be connected to.


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255"),
        *("192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "203.0.113.9"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::1"),
        *("2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1"),
        *("fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
    ],
)
def test_addresses_that_are_not_on_the_internet_are_refused(address):
    assert not addresses.permitted(ipaddress.ip_address(address), (), plain=False)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "93.184.215.14",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ],
)
def test_addresses_on_the_internet_are_permitted_but_not_in_the_clear(address):
    assert addresses.permitted(ipaddress.ip_address(address), (), plain=False)
    assert not addresses.permitted(ipaddress.ip_address(address), (), plain=True)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.1", False), ("127.0.0.1", False)],
)
def test_a_private_network_is_permitted_by_name(address, permitted):
    allowed = (ipaddress.ip_network("10.1.0.0/16"),)
    assert addresses.permitted(ipaddress.ip_address(address), allowed, plain=True) is permitted


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "127.1"]
)
def test_no_way_to_write_loopback_gets_connected(host):
    async def scene(adapter, receiver):
        adapter = Webhook(url=f"http://{host}:{receiver.port}/hook", allow_private=["10.0.0.0/8"])
        try:
            return await adapter.send(delivery()), receiver.requests
        finally:
            await adapter.aclose()

    outcome, requests = run(scene)
    assert requests == []
    assert outcome.status in {PERMANENT, TEMPORARY}
    if host in {"127.0.0.1", "[::1]", "localhost"}:
        assert (outcome.status, outcome.status_code) == (PERMANENT, 403)
        assert outcome.fault is Fault.CREDENTIALS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1"])
def test_loopback_gets_no_tls_connection_either(host):
    async def scene(adapter, receiver):
        adapter = Webhook(url=f"https://{host}:{receiver.port}/hook")
        try:
            return await adapter.send(delivery())
        finally:
            await adapter.aclose()

    outcome = run(scene)
    assert (outcome.status, outcome.status_code) == (PERMANENT, 403)


def test_a_certificate_nobody_vouches_for_is_not_accepted(tmp_path):
    _, context = test_smtp.self_signed(tmp_path)

    async def go():
        receiver = Receiver()
        await receiver.start(tls=context)
        adapter = webhook(receiver.port, url=f"https://127.0.0.1:{receiver.port}/hook")
        try:
            return await adapter.send(delivery()), receiver.requests
        finally:
            await adapter.aclose()
            await receiver.stop()

    outcome, requests = asyncio.run(go())
    assert (outcome.status, outcome.fault) == (TEMPORARY, Fault.PROVIDER)
    assert requests == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "ftp://example.org/"}, "url"),
        ({"url": "https:///hook"}, "url"),
        ({"url": "//example.org"}, "url"),
        ({"url": "https://me:pa55@example.org/"}, "url"),
        ({"url": "http://example.org/"}, "url"),
        ({"secret": "pa55"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"secret": "whsec_pa55"}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(b"pa55").decode()}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(b"x" * 65).decode()}, "secret"),
        ({"headers": {"X-A\r\nX-B": "1"}}, "headers"),
        ({"headers": {"X-A": "pa55\r\nX-B: 1"}}, "headers"),
        ({"headers": {"Host": "evil.example"}}, "headers"),
        ({"headers": {"Webhook-Id": "1"}}, "headers"),
        ({"timeout": 0.0}, "timeout"),
        ({"connections": 0}, "connections"),
        ({"allow_private": ["everything"]}, "allow_private"),
        ({"allow_private": ["10.0.0.1/8"]}, "allow_private"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as error:
        Webhook(**{"url": "https://example.org/hook", **settings})
    assert "pa55" not in str(error.value)
    assert base64.b64encode(b"pa55").decode() not in str(error.value)


class WebhookPeer:
    def __init__(self, receiver, adapter):
        self.receiver, self.adapter = receiver, adapter
        self.reached, self.go_on = receiver.reached, receiver.go_on

    def delivery(self, *, timeout=20.0):
        return delivery(timeout=timeout)

    SAID = {
        Answer.ACCEPTS: (200, ""),
        Answer.RATE_LIMITS: (429, f"{SECRET} Bearer pa55-word"),
        Answer.FAILS: (503, ""),
        Answer.STAYS_SILENT: (200, ""),
        Answer.REFUSES_RECIPIENT: (422, "user-77@example.org is not an address"),
        Answer.GONE: (410, ""),
        Answer.UNKNOWN_CODE: (499, ""),
        Answer.WAITS: (200, ""),
    }
    WRITTEN = {Answer.HANGS_UP: b"", Answer.GARBAGE: b"\x00\x01 what?\r\n\r\n"}

    def will(self, answer):
        self.reached.clear()
        self.go_on.set()
        if answer in {Answer.STAYS_SILENT, Answer.WAITS}:
            self.go_on.clear()
        if answer in self.WRITTEN:
            self.receiver.writes(self.WRITTEN[answer])
        else:
            more = {"Retry-After": "3600"} if answer is Answer.RATE_LIMITS else {}
            self.receiver.says(*self.SAID[answer], **more)

    async def stop_listening(self):
        await self.receiver.stop()


class TestWebhook(AdapterContract):
    secrets = (SECRET, KEY.decode(), "pa55-word")
    retry_after = 3600.0

    @contextlib.asynccontextmanager
    async def peer(self):
        receiver = Receiver()
        await receiver.start()
        adapter = webhook(
            receiver.port, secret=SECRET, headers={"Authorization": "Bearer pa55-word"}
        )
        try:
            yield WebhookPeer(receiver, adapter)
        finally:
            receiver.go_on.set()
            await adapter.aclose()
            await receiver.stop()
