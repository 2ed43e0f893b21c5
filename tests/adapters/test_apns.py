"""Apns against its double: HTTP/2 over TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
import socket
import ssl
import tempfile
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from h2.errors import ErrorCodes

from adapters.apns import PRODUCTION, SANDBOX, Apns
from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault
from adapters.doubles.apns import Answer, ApnsDouble
from adapters.messages import ApnsPush, Sms
from tests.adapters.peers import DEEP
from tests.contracts.adapter import AdapterContract
from tests.contracts.adapter import Answer as Act

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE
TIMEOUT = DeliveryStatus.TIMEOUT

APP = "com.example.app"
DEVICE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOW = 1_795_000_000.0


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


KEY = ec.generate_private_key(ec.SECP256R1())
P8 = pem(KEY)
P384 = pem(ec.generate_private_key(ec.SECP384R1()))
PUBLIC = {"ABC123DEFG": KEY.public_key()}
TOKEN = {"token_key": P8, "token_key_id": "ABC123DEFG", "team_id": "DEF123GHIJ"}


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


def delivery(
    address=DEVICE, *, channel=ChannelType.APNS, timeout=20.0, age=0.0, payload=None, **headers
):
    return Delivery(
        id=str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=channel,
        address=address,
        message=ApnsPush(payload=payload or {"aps": {"alert": "Hi"}}, **headers),
        age=age,
        timeout=timeout,
    )


def apns(double, **settings):
    settings = {"bundle_id": APP, **TOKEN, **settings}
    return Apns(host=double.host, port=double.port, ca_file=double.ca_file, **settings)


def with_certificate(double, **settings):
    certificate, key = double.authority.client_certificate(APP)
    files = {"certificate": certificate, "private_key": key}
    return Apns(host=double.host, port=double.port, ca_file=double.ca_file, **files, **settings)


def run(scene, *, double=None, make=apns, **settings):
    async def go():
        async with ApnsDouble(**{"keys": PUBLIC, **(double or {})}) as provider:
            adapter = make(provider, **settings)
            try:
                return await scene(adapter, provider)
            finally:
                await adapter.aclose()

    return asyncio.run(go())


def answered(answer, **given):
    """The outcome of a push to which APNs says this, and its requests."""

    async def scene(adapter, double):
        double.standing = answer
        return await adapter.send(delivery(**given)), double.requests

    return run(scene)


RETRY = {"retry-after": "17"}


@pytest.mark.parametrize(
    ("code", "reason", "headers", "expected"),
    [
        (400, "BadDeviceToken", {}, (PERMANENT, 410, Fault.RECIPIENT, True, None)),
        (400, "DeviceTokenNotForTopic", {}, (PERMANENT, 410, Fault.RECIPIENT, True, None)),
        (410, "Unregistered", {}, (PERMANENT, 410, Fault.RECIPIENT, True, None)),
        (410, "ExpiredToken", {}, (PERMANENT, 410, Fault.RECIPIENT, True, None)),
        (400, "BadCollapseId", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "BadExpirationDate", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "BadMessageId", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "BadPriority", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "BadTopic", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "DuplicateHeaders", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "InvalidPushType", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "MissingDeviceToken", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "MissingTopic", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (400, "PayloadEmpty", {}, (PERMANENT, 400, Fault.MESSAGE, False, None)),
        (404, "BadPath", {}, (PERMANENT, 404, Fault.MESSAGE, False, None)),
        (405, "MethodNotAllowed", {}, (PERMANENT, 405, Fault.MESSAGE, False, None)),
        (405, "", {}, (PERMANENT, 405, Fault.MESSAGE, False, None)),
        (413, "PayloadTooLarge", {}, (PERMANENT, 413, Fault.MESSAGE, False, None)),
        (413, "", {}, (PERMANENT, 413, Fault.MESSAGE, False, None)),
        (400, "TopicDisallowed", {}, (PERMANENT, 400, Fault.CREDENTIALS, False, None)),
        (403, "BadCertificate", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "BadCertificateEnvironment", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "Forbidden", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "InvalidProviderToken", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "MissingProviderToken", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "UnrelatedKeyIdInToken", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "BadEnvironmentKeyIdInToken", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "", {}, (PERMANENT, 403, Fault.CREDENTIALS, False, None)),
        (403, "ExpiredProviderToken", {}, (TEMPORARY, 403, Fault.CREDENTIALS, False, None)),
        (400, "IdleTimeout", {}, (TEMPORARY, 400, Fault.PROVIDER, False, None)),
        (429, "TooManyRequests", {}, (THROTTLED, 429, Fault.PROVIDER, False, 60.0)),
        (429, "TooManyRequests", RETRY, (THROTTLED, 429, Fault.PROVIDER, False, 17.0)),
        (429, "TooManyProviderTokenUpdates", {}, (THROTTLED, 429, Fault.PROVIDER, False, 60.0)),
        (429, "", RETRY, (THROTTLED, 429, Fault.PROVIDER, False, 17.0)),
        (500, "InternalServerError", {}, (TEMPORARY, 500, Fault.PROVIDER, False, None)),
        (503, "ServiceUnavailable", RETRY, (TEMPORARY, 503, Fault.PROVIDER, False, 17.0)),
        (503, "Shutdown", {}, (TEMPORARY, 503, Fault.PROVIDER, False, None)),
        (502, "Unregistered", {}, (TEMPORARY, 502, Fault.PROVIDER, False, None)),
        (410, "", {}, (PERMANENT, 410, Fault.RECIPIENT, False, None)),
        (400, "", {}, (UNKNOWN, 400, Fault.PROVIDER, False, None)),
        (418, "NewInSomeYear", {}, (UNKNOWN, 418, Fault.PROVIDER, False, None)),
        (302, "", {}, (UNKNOWN, 400, Fault.PROVIDER, False, None)),
    ],
)
def test_each_answer_of_the_table(code, reason, headers, expected):
    outcome, requests = answered(Answer(status=code, reason=reason, headers=headers))
    assert (
        outcome.status,
        outcome.status_code,
        outcome.fault,
        outcome.dead_address,
        outcome.retry_after,
    ) == expected
    assert not outcome.indeterminate
    assert len(requests) == 1


def test_a_refusal_says_what_pinpoint_said():
    outcome, _ = answered(
        Answer(status=400, reason="BadDeviceToken"), channel=ChannelType.APNS_SANDBOX
    )
    assert outcome.status_message == (
        '{"errorMessage":"Unregistered or expired token","channelType":"APNS_SANDBOX",'
        '"pushProviderStatusCode":"400","pushProviderError":"BadDeviceToken",'
        '"pushProviderResponse":"{\\"reason\\":\\"BadDeviceToken\\"}"}'
    )


def test_what_is_accepted_says_nothing_and_has_the_deliverys_id():
    async def scene(adapter, double):
        given = delivery()
        return given, await adapter.send(given), double.requests[0]

    given, outcome, request = run(scene)
    assert (outcome.status, outcome.status_code, outcome.status_message) == (SUCCESSFUL, 200, "")
    assert outcome.message_id == given.id == request.headers["apns-id"]


def test_a_dead_token_is_dead_since_the_time_that_apns_says():
    outcome, _ = answered(Answer(status=410, reason="Unregistered", timestamp=1_700_000_000_500))
    assert (outcome.dead_address, outcome.dead_since) == (True, 1_700_000_000.5)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=410, body=b""), (PERMANENT, 410, False)),
        (Answer(status=400, reason="BadMessageId", echo_id=False), (PERMANENT, 400, False)),
        (Answer(echo_id=False), (SUCCESSFUL, 200, False)),
        (Answer(status=502, body=b"<html>Bad gateway</html>"), (TEMPORARY, 502, False)),
        (Answer(status=400, body=b'["reason"]'), (UNKNOWN, 400, False)),
        (Answer(status=410, body=b'{"reason":{},"timestamp":"x"}'), (PERMANENT, 410, False)),
        (Answer(status=410, reason="Unregistered", timestamp=-1), (PERMANENT, 410, True)),
        (Answer(status=410, reason="Unregistered", timestamp=10**18), (PERMANENT, 410, True)),
        (Answer(status=410, reason="Unregistered", timestamp=10**400), (PERMANENT, 410, True)),
        (Answer(status=500, body=b"[" * 16_000), (TEMPORARY, 500, False)),
    ],
    ids=[
        *("no body", "no id", "200 without id", "HTML", "a list", "an object", "no time"),
        *("no year of ours", "no number of ours", "a deep hole"),
    ],
)
def test_an_answer_in_another_shape_is_judged_by_what_can_be_read(answer, expected):
    outcome, _ = answered(answer)
    assert (outcome.status, outcome.status_code, outcome.dead_address) == expected
    assert outcome.dead_since is None


def sent(make=apns, double=None, settings=None, **given):
    """The headers of one push and its body."""

    async def scene(adapter, provider):
        outcome = await adapter.send(delivery(**given))
        assert outcome.status is SUCCESSFUL, outcome
        return provider.requests[0].headers, provider.requests[0].body

    return run(scene, double=double, make=make, **(settings or {}))


def test_the_headers_of_a_plain_push():
    headers, body = sent(payload={"aps": {"alert": "Füße"}})
    assert headers[":path"] == f"/3/device/{DEVICE}"
    assert headers["apns-topic"] == APP
    assert headers["apns-push-type"] == "alert"
    assert headers["apns-priority"] == "10"
    assert headers["authorization"].startswith("bearer ")
    assert not headers.keys() & {"apns-expiration", "apns-collapse-id", "host"}
    assert body == '{"aps":{"alert":"Füße"}}'.encode()


@pytest.mark.parametrize(
    ("push_type", "bundle_id", "topic"),
    [
        ("alert", APP, APP),
        ("background", APP, APP),
        ("voip", APP, f"{APP}.voip"),
        ("voip", f"{APP}.voip", f"{APP}.voip"),
        ("complication", APP, f"{APP}.complication"),
        ("fileprovider", APP, f"{APP}.pushkit.fileprovider"),
        ("mdm", "com.apple.mgmt.External.1", "com.apple.mgmt.External.1"),
    ],
)
def test_the_topic_follows_the_push_type(push_type, bundle_id, topic):
    headers, _ = sent(settings={"bundle_id": bundle_id}, push_type=push_type, priority=5)
    assert (headers["apns-topic"], headers["apns-push-type"]) == (topic, push_type)


@pytest.mark.parametrize(
    ("time_to_live", "age", "expiration"),
    [
        (None, 500.0, None),
        (0, 0.0, "0"),
        (0, 500.0, "0"),
        (600, 0.0, "1795000600"),
        (600, 0.4, "1795000600"),
        (600, 599.5, "1795000001"),
    ],
)
def test_the_expiration_is_what_is_left_of_the_time_to_live(time_to_live, age, expiration):
    headers, _ = sent(
        settings={"clock": Clock()},
        double={"clock": Clock()},
        time_to_live=time_to_live,
        age=age,
    )
    assert headers.get("apns-expiration") == expiration


def refused_here(settings=None, **given):
    async def scene(adapter, double):
        outcome = await adapter.send(delivery(**given))
        assert double.requests == []
        return outcome

    return run(scene, **(settings or {}))


def test_a_push_whose_time_to_live_ran_out_is_not_sent():
    outcome = refused_here(time_to_live=60, age=60.0)
    assert (outcome.status, outcome.status_code) == (TIMEOUT, 408)


@pytest.mark.parametrize("address", ["", "abc", "xy" * 32, "../" * 8, "ab" * 101, "ab cd", "ab\n"])
def test_what_is_no_device_token_is_not_sent(address):
    outcome = refused_here(address=address)
    assert (outcome.status, outcome.status_code) == (PERMANENT, 400)
    assert (outcome.fault, outcome.dead_address) == (Fault.RECIPIENT, False)
    assert json.loads(outcome.status_message)["pushProviderError"] == "BadDeviceToken"


@pytest.mark.parametrize("collapse_id", ["x" * 65, "ü" * 33, "a\r\nb", " a", "a ", "\ud800"])
def test_what_is_no_collapse_id_is_not_sent(collapse_id):
    outcome = refused_here(collapse_id=collapse_id)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)
    assert "BadCollapseId" in outcome.status_message


def test_a_collapse_id_goes_along():
    headers, _ = sent(collapse_id="ü" * 32)
    assert headers["apns-collapse-id"] == "ü" * 32


@pytest.mark.parametrize(("push_type", "limit"), [("alert", 4096), ("voip", 5120)])
def test_the_payload_has_a_limit_in_bytes(push_type, limit):
    fits = {"a": "ü" * ((limit - 8) // 2)}
    _, body = sent(payload=fits, push_type=push_type)
    assert len(body) == limit
    outcome = refused_here(payload={"a": fits["a"] + "x"}, push_type=push_type)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 413, Fault.MESSAGE)
    assert "PayloadTooLarge" in outcome.status_message


@pytest.mark.parametrize(
    "payload",
    [{"a": object()}, {"a": float("nan")}, {"a": "\ud800"}, DEEP],
    ids=["?", "NaN", "half", "without a bottom"],
)
def test_what_is_no_json_is_not_sent(payload):
    outcome = refused_here(payload=payload)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)


def test_another_channels_message_is_not_sent():
    async def scene(adapter, double):
        return await adapter.send(dataclasses.replace(delivery(), message=Sms(body="Hi")))

    outcome = run(scene)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)


@pytest.mark.parametrize(
    ("channel", "sandbox", "host"),
    [
        (ChannelType.APNS, None, PRODUCTION),
        (ChannelType.APNS_VOIP, None, PRODUCTION),
        (ChannelType.APNS_SANDBOX, None, SANDBOX),
        (ChannelType.APNS_VOIP_SANDBOX, None, SANDBOX),
        (ChannelType.APNS, True, SANDBOX),
        (ChannelType.APNS_SANDBOX, False, PRODUCTION),
    ],
)
def test_the_channel_tells_the_sandbox_from_production(channel, sandbox, host):
    asked = []

    async def lookup(name, *_, **__):
        asked.append(name)
        raise OSError

    async def go():
        asyncio.get_running_loop().getaddrinfo = lookup
        adapter = Apns(bundle_id=APP, **TOKEN, sandbox=sandbox)
        return await adapter.send(delivery(channel=channel))

    # This loop and no other: uvloop looks names up by itself, and would find Apple.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        outcome = runner.run(go())
    assert (outcome.status, outcome.fault) == (TEMPORARY, Fault.PROVIDER)
    assert not outcome.indeterminate
    assert asked == [host]


def both(double, **settings):
    return with_certificate(double, bundle_id=APP, **TOKEN, **settings)


@pytest.mark.parametrize(
    ("make", "default", "wanted", "has_token"),
    [
        (apns, None, None, True),
        (with_certificate, None, None, False),
        (both, None, None, True),
        (both, "TOKEN", None, True),
        (both, "CERTIFICATE", None, False),
        (both, "CERTIFICATE", "TOKEN", True),
        (both, "TOKEN", "CERTIFICATE", False),
    ],
)
def test_who_says_how_to_authenticate(make, default, wanted, has_token):
    headers, _ = sent(make, settings={"default_authentication": default}, authentication=wanted)
    assert ("authorization" in headers) is has_token
    assert headers["apns-topic"] == APP  # without bundle_id, the certificate's


@pytest.mark.parametrize(
    ("make", "default", "wanted"),
    [(apns, None, "CERTIFICATE"), (with_certificate, None, "TOKEN"), (apns, "CERTIFICATE", None)],
)
def test_there_is_no_falling_back_to_the_other_way(make, default, wanted):
    outcome = refused_here({"make": make, "default_authentication": default}, authentication=wanted)
    assert (outcome.status, outcome.status_code) == (PERMANENT, 403)
    assert outcome.fault is Fault.CREDENTIALS


def test_a_certificate_that_is_refused_is_no_reason_to_try_the_token():
    async def scene(adapter, double):
        double.standing = Answer(status=403, reason="BadCertificate")
        return await adapter.send(delivery()), len(double.requests)

    outcome, requests = run(scene, make=both, default_authentication="CERTIFICATE")
    assert (outcome.status, outcome.fault, requests) == (PERMANENT, Fault.CREDENTIALS, 1)


def test_a_certificate_that_tls_refuses_is_the_credentials_fault():
    async def scene(_, double):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(double.ca_file).with_name("server.pem"))
        context.verify_mode = ssl.CERT_REQUIRED  # and no authority is good enough
        context.set_alpn_protocols(["h2"])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            handshake = asyncio.ensure_future(asyncio.to_thread(refuse, listener, context))
            double.port = listener.getsockname()[1]
            adapter = with_certificate(double)
            outcome = await adapter.send(delivery())
            await handshake
            await adapter.aclose()
        return outcome

    def refuse(listener, context):
        # asyncio's server, and so the double, would leave without TLS's alert.
        connection, _ = listener.accept()
        with pytest.raises(ssl.SSLError), connection:
            context.wrap_socket(connection, server_side=True)
        connection.close()

    outcome = run(scene)
    assert (outcome.status, outcome.fault) == (TEMPORARY, Fault.CREDENTIALS)


def test_a_servers_certificate_that_nobody_vouches_for_is_not_accepted():
    def trusting_the_system(double):
        return Apns(host=double.host, port=double.port, bundle_id=APP, **TOKEN)

    async def scene(adapter, double):
        return await adapter.send(delivery()), double.requests

    outcome, requests = run(scene, make=trusting_the_system)
    assert (outcome.status, outcome.indeterminate, requests) == (TEMPORARY, False, [])


def test_the_key_is_never_on_a_disk_in_clear(monkeypatch, tmp_path):
    written = []

    def load(context, path, keyfile=None, password=None):
        file = Path(path)
        written.append((file.stat().st_mode & 0o777, file.read_text(), password))
        return original(context, path, keyfile, password)

    original = ssl.SSLContext.load_cert_chain

    async def scene(adapter, double):
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        again = with_certificate(double)
        return (await again.send(delivery())).status, await again.aclose()

    assert run(scene)[0] is SUCCESSFUL
    ((mode, text, password),) = written
    assert mode == 0o600
    assert text.count("PRIVATE KEY") == 2 == text.count("ENCRYPTED PRIVATE KEY")
    assert len(password) == 32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"bundle_id": APP}, "token_key or certificate"),
        ({"bundle_id": APP, "token_key": P8}, "token_key_id"),
        ({**TOKEN}, "bundle_id"),
        ({**TOKEN, "bundle_id": "com.exämple"}, "bundle_id"),
        ({**TOKEN, "bundle_id": APP, "token_key": "pa55"}, "token_key"),
        ({**TOKEN, "bundle_id": APP, "token_key": P384}, "token_key"),
        ({"certificate": "pa55"}, "certificate"),
        ({**TOKEN, "bundle_id": APP, "default_authentication": "pa55"}, "default_authentication"),
        ({**TOKEN, "bundle_id": APP, "connections": 0}, "connections"),
        ({**TOKEN, "bundle_id": APP, "streams": 0}, "streams"),
        ({**TOKEN, "bundle_id": APP, "port": 70_000}, "port"),
        ({**TOKEN, "bundle_id": APP, "ca_file": "/nowhere/pa55.pem"}, "ca_file"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_not_shown(settings, named):
    with pytest.raises(ValueError, match=named) as caught:
        Apns(**settings)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "pa55", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_private_key_that_is_not_the_certificates_is_named_and_not_shown(key):
    async def scene(adapter, double):
        certificate, _ = double.authority.client_certificate(APP)
        with pytest.raises(ValueError, match="private_key") as caught:
            Apns(certificate=certificate, private_key=key)
        assert "pa55" not in str(caught.value)

    run(scene)


def test_all_adapters_of_a_process_send_the_same_provider_token():
    async def scene(adapter, double):
        other = apns(double, clock=adapter._clock, bundle_id="com.example.other")
        outcomes = [await adapter.send(delivery()), await other.send(delivery())]
        await adapter.aclose()
        anew = apns(double, clock=adapter._clock)
        outcomes.append(await anew.send(delivery()))
        await other.aclose()
        await anew.aclose()
        return [outcome.status for outcome in outcomes], {
            request.headers["authorization"] for request in double.requests
        }

    clock = Clock()
    statuses, tokens = run(scene, double={"strict_updates": True, "clock": clock}, clock=clock)
    assert statuses == [SUCCESSFUL] * 3
    assert len(tokens) == 1


def test_a_provider_token_is_used_for_fifty_minutes():
    async def scene(adapter, double):
        for minutes in (0, 49, 51, 100, 102):
            clock.now = NOW + 60 * minutes
            assert (await adapter.send(delivery())).status is SUCCESSFUL
        return [request.headers["authorization"] for request in double.requests]

    clock = Clock()
    one, two, three, four, five = run(scene, double={"clock": clock}, clock=clock)
    assert one == two != three == four != five


def test_a_token_that_apns_finds_expired_is_replaced_and_the_pushes_sent_again():
    async def scene(adapter, double):
        assert (await adapter.send(delivery())).status is SUCCESSFUL
        clock.now += 25 * 60
        double.tokens.clock.now += 61 * 60  # its clock is ahead of ours
        outcomes = await asyncio.gather(*(adapter.send(delivery()) for _ in range(10)))
        return [outcome.status for outcome in outcomes], [
            request.headers["authorization"] for request in double.requests
        ]

    clock = Clock()
    statuses, tokens = run(scene, double={"strict_updates": True, "clock": Clock()}, clock=clock)
    assert statuses == [SUCCESSFUL] * 10
    assert len(set(tokens)) == 2
    assert len(tokens) <= 21  # no push more than twice


def test_a_young_token_is_not_replaced():
    async def scene(adapter, double):
        assert (await adapter.send(delivery())).status is SUCCESSFUL
        clock.now += 19 * 60
        double.standing = Answer(status=403, reason="ExpiredProviderToken")
        return await adapter.send(delivery()), len(double.requests)

    clock = Clock()
    outcome, requests = run(scene, double={"clock": clock}, clock=clock)
    assert (outcome.status, outcome.fault, requests) == (TEMPORARY, Fault.CREDENTIALS, 2)


def test_a_connection_on_which_tokens_changed_too_fast_is_not_used_again():
    async def scene(adapter, double):
        double.script(DEVICE, Answer(status=429, reason="TooManyProviderTokenUpdates"))
        outcomes = [await adapter.send(delivery()) for _ in range(2)]
        return [outcome.status for outcome in outcomes], [r.connection for r in double.requests]

    assert run(scene) == ([THROTTLED, SUCCESSFUL], [0, 1])


def test_what_the_deadline_finds_unanswered_is_indeterminate_and_its_stream_is_cancelled():
    async def scene(adapter, double):
        assert (await adapter.send(delivery())).status is SUCCESSFUL
        double.standing = Answer(silent=True)
        outcome = await adapter.send(delivery(timeout=0.2))
        double.standing = Answer()
        assert (await adapter.send(delivery())).status is SUCCESSFUL
        return outcome, double.cancelled, double.accepted

    outcome, cancelled, connections = run(scene)
    assert (outcome.status, outcome.status_code, outcome.indeterminate) == (UNKNOWN, 504, True)
    assert (cancelled, connections) == (1, 1)


@pytest.mark.parametrize("what", ["settings", "room", "a stream"])
def test_what_the_deadline_finds_unsent_is_temporary(what):
    async def scene(adapter, double):
        if what == "settings":
            double.cork()
        elif what == "room":
            double.withhold_credit()
            double.window = 10
        else:
            double.streams = 0
        return await adapter.send(delivery(timeout=0.2)), double.requests

    outcome, requests = run(scene)
    assert (outcome.status, outcome.status_code) == (TEMPORARY, 504)
    assert (outcome.indeterminate, outcome.fault, requests) == (False, Fault.PROVIDER, [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(reset=ErrorCodes.REFUSED_STREAM), "APNs refused to open a stream"),
        (Answer(goaway="immediate"), "APNs closed the connection: Shutdown"),
    ],
    ids=["refused", "goaway"],
)
def test_what_apns_did_not_process_is_sent_once_more(answer, said):
    async def scene(adapter, double):
        double.script(DEVICE, answer)
        once = await adapter.send(delivery())
        double.script(DEVICE, answer, answer)
        twice = await adapter.send(delivery())
        return once, twice, len(double.requests)

    once, twice, requests = run(scene)
    assert once.status is SUCCESSFUL
    assert (twice.status, twice.status_message) == (TEMPORARY, said)
    assert (twice.fault, twice.indeterminate, requests) == (Fault.PROVIDER, False, 4)


@pytest.mark.parametrize(
    "answer",
    [Answer(reset=ErrorCodes.INTERNAL_ERROR), Answer(raw=b"")],
    ids=["reset", "hangs up"],
)
def test_what_apns_may_have_processed_is_not_sent_again(answer):
    async def scene(adapter, double):
        double.standing = answer
        return await adapter.send(delivery()), len(double.requests)

    outcome, requests = run(scene)
    assert (outcome.status, outcome.indeterminate, requests) == (UNKNOWN, True, 1)


def test_everything_works_on_uvloop_too():
    uvloop = pytest.importorskip("uvloop")

    async def scene():
        async with ApnsDouble(keys=PUBLIC, one_stream=True, streams=50) as double:
            adapter = apns(double)
            sends = [adapter.send(delivery()) for _ in range(200)]
            statuses = {outcome.status for outcome in await asyncio.gather(*sends)}
            double.script(DEVICE, Answer(raw=b""))
            lost = await adapter.send(delivery())
            await adapter.aclose()
            return statuses, lost.indeterminate

    assert uvloop.run(scene()) == ({SUCCESSFUL}, True)


class ApnsPeer:
    def __init__(self, double, adapter):
        self.double, self.adapter = double, adapter
        self.reached, self.go_on = double.reached, asyncio.Event()

    def delivery(self, *, timeout=20.0):
        return delivery(secrets.token_hex(32), timeout=timeout)

    SAID = {
        Act.ACCEPTS: Answer(),
        Act.RATE_LIMITS: Answer(
            status=429, reason="TooManyRequests", headers={"retry-after": "3600"}
        ),
        Act.FAILS: Answer(status=503, reason="ServiceUnavailable"),
        Act.STAYS_SILENT: Answer(silent=True),
        Act.HANGS_UP: Answer(raw=b""),
        Act.REFUSES_RECIPIENT: Answer(status=400, reason="BadDeviceToken"),
        Act.GONE: Answer(status=410, reason="Unregistered", timestamp=1_700_000_000_000),
        Act.UNKNOWN_CODE: Answer(status=499, body=P8.encode()),
        Act.GARBAGE: Answer(raw=b"\x00\x01 what?\r\n\r\n"),
    }

    def will(self, answer):
        self.reached.clear()
        self.go_on.clear()
        waits = answer is Act.WAITS
        self.double.standing = Answer(after=self.go_on) if waits else self.SAID[answer]

    async def stop_listening(self):
        await self.double.stop()


class TestApns(AdapterContract):
    secrets = (*P8.splitlines()[1:-1], "bearer ey")
    retry_after = 3600.0
    unknown_code = UNKNOWN

    @contextlib.asynccontextmanager
    async def peer(self):
        async with ApnsDouble(keys=PUBLIC) as double:
            adapter = apns(double)
            try:
                yield ApnsPeer(double, adapter)
            finally:
                await adapter.aclose()
