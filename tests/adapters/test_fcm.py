"""Fcm against a double of Firebase, and its requests against Google's own description."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import importlib.resources
import json
import re
import time
import uuid

import pyfcm
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.oauth2 import service_account as google_account
from pyfcm.errors import FCMNotRegisteredError

from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.doubles import fcm as double_fcm
from adapters.doubles.fcm import FcmDouble
from adapters.doubles.stage import Answer as Does
from adapters.fcm import Fcm
from adapters.messages import AdmPush, FcmPush
from tests.adapters.peers import DEEP, DoublePeer, closing
from tests.contracts.adapter import AdapterContract, Answer

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE
TIMEOUT = DeliveryStatus.TIMEOUT

TOKEN = "cXh3-device:APA91bExample_registration-token"
BAD_TOKEN = "The registration token is not a valid FCM registration token"
DATA = FcmPush(message={"data": {"pinpoint.notification.title": "Hi"}})
error = double_fcm.error


def run(scene):
    async def go():
        async with FcmDouble() as double, closing(adapter_of(double)) as adapter:
            return await scene(adapter, double)

    return asyncio.run(go())


def adapter_of(double, **settings):
    given = {"service_account": double.service_account, "base_url": double.url, **settings}
    return Fcm(**given)


def delivery(message=DATA, *, address=TOKEN, age=0.0, timeout=20.0):
    return Delivery(
        id=str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=ChannelType.GCM,
        address=address,
        message=message,
        age=age,
        timeout=timeout,
    )


def outcome_of(*answers):
    async def scene(adapter, double):
        double.script.say(TOKEN, *answers)
        return await adapter.send(delivery())

    return run(scene)


# What each answer means.


@pytest.mark.parametrize(
    ("answer", "status", "code", "fault", "dead"),
    [
        (
            error(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED"),
            *(PERMANENT, 410, Fault.RECIPIENT, True),
        ),
        (
            error(404, "NOT_FOUND", "Requested entity was not found."),
            *(PERMANENT, 404, Fault.CREDENTIALS, False),
        ),
        (Does(status=404, body="<html>"), PERMANENT, 404, Fault.CREDENTIALS, False),
        (
            error(400, "INVALID_ARGUMENT", BAD_TOKEN, code="INVALID_ARGUMENT"),
            *(PERMANENT, 400, Fault.RECIPIENT, True),
        ),
        (
            error(400, "INVALID_ARGUMENT", "No.", code="INVALID_ARGUMENT", field="message.token"),
            *(PERMANENT, 400, Fault.RECIPIENT, True),
        ),
        (
            error(400, "INVALID_ARGUMENT", "No.", field="message.token"),
            *(PERMANENT, 400, Fault.RECIPIENT, True),
        ),
        (
            error(400, "INVALID_ARGUMENT", "Too big", code="INVALID_ARGUMENT"),
            *(PERMANENT, 400, Fault.MESSAGE, False),
        ),
        (
            error(400, "INVALID_ARGUMENT", "No.", field="message.android.ttl"),
            *(PERMANENT, 400, Fault.MESSAGE, False),
        ),
        (
            error(403, "PERMISSION_DENIED", "SenderId mismatch", code="SENDER_ID_MISMATCH"),
            *(PERMANENT, 403, Fault.RECIPIENT, True),
        ),
        (
            error(403, "PERMISSION_DENIED", "Permission denied on resource project double."),
            *(PERMANENT, 403, Fault.CREDENTIALS, False),
        ),
        (
            error(401, "UNAUTHENTICATED", "Auth error", code="THIRD_PARTY_AUTH_ERROR"),
            *(PERMANENT, 401, Fault.CREDENTIALS, False),
        ),
        (
            error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", code="QUOTA_EXCEEDED"),
            *(THROTTLED, 429, Fault.PROVIDER, False),
        ),
        (Does(status=429), THROTTLED, 429, Fault.PROVIDER, False),
        (
            error(503, "UNAVAILABLE", "Later", code="UNAVAILABLE"),
            *(TEMPORARY, 503, Fault.PROVIDER, False),
        ),
        (
            error(500, "INTERNAL", "Internal error", code="INTERNAL"),
            *(TEMPORARY, 500, Fault.PROVIDER, False),
        ),
        (Does(status=500), TEMPORARY, 500, Fault.PROVIDER, False),
        (Does(status=502, body="<html>502"), TEMPORARY, 502, Fault.PROVIDER, False),
        (Does(status=504, body="<html>504"), TEMPORARY, 504, Fault.PROVIDER, False),
        (Does(status=413, body="<html>413"), PERMANENT, 413, Fault.MESSAGE, False),
        (
            error(400, "UNKNOWN", "Who knows", code="UNSPECIFIED_ERROR"),
            *(UNKNOWN, 400, Fault.PROVIDER, False),
        ),
        (Does(status=302), UNKNOWN, 400, Fault.PROVIDER, False),
        (Does(status=418), UNKNOWN, 418, Fault.PROVIDER, False),
        (Does(status=200, body="<html>"), UNKNOWN, 502, Fault.PROVIDER, False),
        (Does(status=200, body="{}"), UNKNOWN, 502, Fault.PROVIDER, False),
        (Does(status=200, body="[1]"), UNKNOWN, 502, Fault.PROVIDER, False),
        (Does(status=200, body="[" * 60_000), UNKNOWN, 502, Fault.PROVIDER, False),
        (Does(status=400, body={"error": "no object"}), PERMANENT, 400, Fault.MESSAGE, False),
        (
            Does(status=400, body={"error": {"details": [1, {"fieldViolations": "?"}]}}),
            *(PERMANENT, 400, Fault.MESSAGE, False),
        ),
    ],
)
def test_each_answer_of_the_table(answer, status, code, fault, dead):
    outcome = outcome_of(answer)
    assert (outcome.status, outcome.status_code, outcome.fault) == (status, code, fault)
    assert (outcome.dead_address, outcome.indeterminate) == (dead, False)


@pytest.mark.parametrize(
    ("status", "code", "header", "expected"),
    [
        (429, "QUOTA_EXCEEDED", "17", 17.0),
        (429, "QUOTA_EXCEEDED", None, 60.0),
        (429, "QUOTA_EXCEEDED", "Mon, 23 Nov 2015 10:00:00 GMT", 0.0),
        (503, "UNAVAILABLE", "120", 120.0),
        (503, "UNAVAILABLE", None, None),
        (404, "UNREGISTERED", "120", None),
    ],
)
def test_how_long_to_wait(status, code, header, expected):
    outcome = outcome_of(error(status, "", "", code=code, retry_after=header))
    assert outcome.retry_after == expected


def test_what_is_accepted_keeps_firebases_name():
    assert outcome_of(double_fcm.accepted("projects/double/messages/0:15%31")) == Outcome(
        status=SUCCESSFUL, status_code=200, message_id="projects/double/messages/0:15%31"
    )


def test_a_bad_token_is_told_as_pinpoint_told_it():
    outcome = outcome_of(error(400, "INVALID_ARGUMENT", BAD_TOKEN, code="INVALID_ARGUMENT"))
    assert outcome.status_message == (
        '{"errorMessage":"Invalid notification","channelType":"GCM","pushProviderStatusCode":"400",'
        '"pushProviderError":"The registration token is not a valid FCM registration token",'
        '"pushProviderResponse":"{\\"status\\":\\"INVALID_ARGUMENT\\"}"}'
    )


def test_a_token_that_has_ended_says_unregistered():
    outcome = outcome_of(
        error(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED")
    )
    assert json.loads(outcome.status_message) == {
        "errorMessage": "Unregistered or expired token",
        "channelType": "GCM",
        "pushProviderStatusCode": "404",
        "pushProviderError": "Requested entity was not found.",
        "pushProviderResponse": '{"status":"NOT_FOUND","errorCode":"UNREGISTERED"}',
    }


def test_what_the_answer_repeats_of_the_message_is_not_told():
    said = (
        f"Invalid value at 'message.data[0].value' (TYPE_STRING), \"my secret\"\nfor {TOKEN} "
        f"Invalid value at 'x' (TYPE_STRING), \"another\""
    )
    text = outcome_of(error(400, "INVALID_ARGUMENT", said)).status_message
    assert json.loads(text)["pushProviderError"] == (
        "Invalid value at 'message.data[0].value' (TYPE_STRING)"
    )
    assert TOKEN not in outcome_of(error(403, "PERMISSION_DENIED", f"Not {TOKEN}")).status_message


def test_an_endless_page_instead_of_an_answer_is_cut():
    outcome = outcome_of(error(400, "INVALID_ARGUMENT", "x" * 5000))
    assert len(outcome.status_message) < 600


# What is sent.


def sent(message, *, age=0.0):
    async def scene(adapter, double):
        outcome = await adapter.send(delivery(message, age=age))
        return outcome, double.messages

    return run(scene)


def test_the_message_gets_the_token():
    _, messages = sent(FcmPush(message={"data": {"k": "v"}, "token": "another"}))
    assert messages == [{"message": {"data": {"k": "v"}, "token": TOKEN}}]


def test_validate_only_goes_along():
    _, messages = sent(FcmPush(message={"data": {"k": "v"}}, validate_only=True))
    assert messages == [{"message": {"data": {"k": "v"}, "token": TOKEN}, "validate_only": True}]


@pytest.mark.parametrize(
    ("ttl", "age", "expected"),
    [
        ("3600s", 0.0, "3600s"),
        ("3600s", 0.9, "3600s"),
        ("3600s", 61.5, "3539s"),
        ("10023.32s", 3.0, "10020.32s"),
        ("1s", 0.99, "1s"),
        ("0s", 0.0, "0s"),
        ("0s", 500.0, "0s"),
        ("0.0000001s", 0.0, "0.0000001s"),
    ],
)
def test_the_time_to_live_is_what_is_left_of_it(ttl, age, expected):
    outcome, messages = sent(FcmPush(message={"data": {}, "android": {"ttl": ttl}}), age=age)
    assert outcome.status is SUCCESSFUL
    assert messages[0]["message"]["android"] == {"ttl": expected}


@pytest.mark.parametrize(("ttl", "age"), [("60s", 60.0), ("60s", 4000.0), ("0.5s", 0.6)])
def test_a_time_to_live_that_ran_out_is_not_sent(ttl, age):
    outcome, messages = sent(FcmPush(message={"android": {"ttl": ttl}}), age=age)
    assert (outcome.status, outcome.status_code, messages) == (TIMEOUT, 408, [])


@pytest.mark.parametrize("ttl", ["60", 60, "soon", "-1s", None], ids=repr)
def test_a_time_to_live_that_is_none_is_firebases_to_refuse(ttl):
    outcome, messages = sent(FcmPush(message={"android": {"ttl": ttl}}), age=5.0)
    assert messages[0]["message"]["android"] == {"ttl": ttl}
    assert (outcome.status, outcome.fault, outcome.dead_address) == (
        *(PERMANENT, Fault.MESSAGE, False),
    )


@pytest.mark.parametrize(
    "message",
    [{"data": {"n": 5}}, {"data": {"from": "me"}}, {"colour": "red"}, {"data": {"k": "x" * 4096}}],
    ids=["a number", "a reserved key", "an unknown member", "too big"],
)
def test_what_firebase_refuses_is_the_messages_fault(message):
    outcome, _ = sent(FcmPush(message=message))
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)


@pytest.mark.parametrize(
    "message",
    [
        AdmPush(data={}),
        FcmPush(message={"data": object()}),
        FcmPush(message={"data": "\ud800"}),
        FcmPush(message={"data": DEEP}),
    ],
    ids=["not for Firebase", "not JSON", "not text", "without a bottom"],
)
def test_what_cannot_be_written_is_never_sent(message):
    outcome, messages = sent(message)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)
    assert messages == []


SHAPES = [
    {"data": {"pinpoint.openApp": "true", "pinpoint.campaign.campaign_id": "_DIRECT"}},
    {
        "data": {"k": "v"},
        "android": {
            "priority": "HIGH",
            "ttl": "3600s",
            "collapse_key": "score",
            "restricted_package_name": "org.example",
        },
    },
    {
        "notification": {"title": "Hi", "body": "There", "image": "https://example.org/a.png"},
        "android": {"notification": {"channel_id": "c", "click_action": "A", "color": "#ff0000"}},
        "apns": {"payload": {"aps": {"badge": 3}}, "headers": {"apns-priority": "10"}},
        "webpush": {"headers": {"TTL": "60"}, "notification": {"title": "Hi"}},
        "fcm_options": {"analytics_label": "spring"},
    },
]


@pytest.mark.parametrize("shape", SHAPES, ids=["data", "options", "everything"])
@pytest.mark.parametrize("validate_only", [False, True])
def test_requests_fit_googles_description(shape, validate_only):
    outcome, messages = sent(FcmPush(message=shape, validate_only=validate_only), age=2.0)
    assert outcome.status is SUCCESSFUL
    assert misfits(messages[0]) == []


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        ({"message": {"data": {"n": 5}}}, "message.data.n"),
        ({"message": {"android": {"ttl": 60}}}, "message.android.ttl"),
        ({"message": {"android": {"ttl": "60"}}}, "message.android.ttl"),
        ({"message": {"android": {"priority": "URGENT"}}}, "message.android.priority"),
        ({"message": {"colour": "red"}}, "message.colour"),
        ({"message": {}, "validate_only": "yes"}, "validate_only"),
    ],
)
def test_googles_description_is_strict(request_, where):
    assert misfits(request_) == [where]


def misfits(request):
    """The paths at which a request is not what Google's discovery document describes."""
    packaged = importlib.resources.files("googleapiclient") / "discovery_cache" / "documents"
    schemas = json.loads((packaged / "fcm.v1.json").read_text())["schemas"]
    types = {"string": str, "boolean": bool, "integer": int, "number": float, "array": list}

    def walk(value, schema, path):
        schema = schemas[schema["$ref"]] if "$ref" in schema else schema
        if schema["type"] == "any":
            return
        if schema["type"] == "object":
            yield from members(value, schema, path)
        elif (
            type(value) is not types[schema["type"]]
            or value not in schema.get("enum", [value])
            or (schema.get("format") == "google-duration" and not re.fullmatch(DURATION, value))
        ):
            yield path
        elif schema["type"] == "array":
            for number, item in enumerate(value):
                yield from walk(item, schema["items"], f"{path}[{number}]")

    def members(value, schema, path):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, member in value.items():
            camel = re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)
            described = known.get(camel, others)
            here = f"{path}.{name}".lstrip(".")
            yield from [here] if described is None else walk(member, described, here)

    return list(walk(request, schemas["SendMessageRequest"], ""))


DURATION = r"[0-9]+(\.[0-9]{1,9})?s"


# The access token.


def test_one_access_token_serves_many_sends():
    async def scene(adapter, double):
        outcomes = await asyncio.gather(*(adapter.send(delivery()) for _ in range(50)))
        return {outcome.status for outcome in outcomes}, double.asked

    assert run(scene) == ({SUCCESSFUL}, 1)


def test_a_stale_access_token_is_renewed_once_for_all_and_the_sends_made_again():
    async def scene(adapter, double):
        await adapter.send(delivery())
        double.forget_tokens()
        outcomes = await asyncio.gather(*(adapter.send(delivery()) for _ in range(20)))
        return {outcome.status for outcome in outcomes}, double.asked, len(double.messages)

    assert run(scene) == ({SUCCESSFUL}, 2, 41)


def test_an_access_token_that_is_never_good_is_tried_twice():
    async def scene(adapter, double):
        double.script.standing = error(401, "UNAUTHENTICATED", "Expected OAuth 2 access token.")
        return await adapter.send(delivery()), len(double.messages), double.asked

    outcome, sends, asked = run(scene)
    assert (outcome.status, outcome.status_code) == (TEMPORARY, 401)
    assert (outcome.fault, outcome.dead_address) == (Fault.CREDENTIALS, False)
    assert (sends, asked) == (2, 2)


def test_apples_and_the_browsers_credentials_are_not_cured_by_an_access_token():
    async def scene(adapter, double):
        double.script.standing = error(401, "UNAUTHENTICATED", "", code="THIRD_PARTY_AUTH_ERROR")
        await adapter.send(delivery())
        return len(double.messages), double.asked

    assert run(scene) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Does(status=400, body={"error": "invalid_grant"}),
            (PERMANENT, 400, Fault.CREDENTIALS, "No access token: invalid_grant"),
        ),
        (
            Does(status=401, body={"error": "<not a word>"}),
            (PERMANENT, 401, Fault.CREDENTIALS, "No access token: HTTP 401"),
        ),
        (Does(status=302), (PERMANENT, 302, Fault.CREDENTIALS, "No access token: HTTP 302")),
        (Does(status=429), (TEMPORARY, 429, Fault.PROVIDER, "No access token: HTTP 429")),
        (Does(status=503), (TEMPORARY, 503, Fault.PROVIDER, "No access token: HTTP 503")),
        (
            Does(status=200, body="{}"),
            (
                *(TEMPORARY, 502, Fault.PROVIDER),
                "No access token: the endpoint answered without one",
            ),
        ),
        (
            Does(status=200, body={"access_token": "a\r\nb"}),
            (
                *(TEMPORARY, 502, Fault.PROVIDER),
                "No access token: the endpoint answered without one",
            ),
        ),
        (
            Does(raw=b""),
            (
                *(TEMPORARY, 504, Fault.PROVIDER),
                "No access token: FCM did not answer: ServerDisconnectedError",
            ),
        ),
    ],
)
def test_without_an_access_token_nothing_is_sent(answer, expected):
    async def scene(adapter, double):
        double.token_answer = answer
        return await adapter.send(delivery()), double.messages

    outcome, messages = run(scene)
    assert (outcome.status, outcome.status_code, outcome.fault, outcome.status_message) == expected
    assert (outcome.indeterminate, messages) == (False, [])


def test_the_token_endpoints_silence_is_no_doubt_about_the_message():
    async def scene(adapter, double):
        double.token_answer = Does(after=asyncio.Event())
        return await adapter.send(delivery(timeout=0.2))

    outcome = run(scene)
    assert (outcome.status, outcome.status_code, outcome.indeterminate) == (TEMPORARY, 504, False)


def test_the_loop_runs_on_while_the_token_endpoint_takes_its_time():
    async def scene(adapter, double):
        go_on = asyncio.Event()
        double.token_answer = Does(after=go_on)
        send = asyncio.ensure_future(adapter.send(delivery()))
        await double.token_asked.wait()
        waited = not send.done()
        go_on.set()
        return waited, (await send).status

    assert run(scene) == (True, SUCCESSFUL)


def test_a_cancelled_send_leaves_the_others_their_access_token():
    async def scene(adapter, double):
        go_on = asyncio.Event()
        double.token_answer = Does(after=go_on)
        first, second = (asyncio.ensure_future(adapter.send(delivery())) for _ in range(2))
        await double.token_asked.wait()
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        go_on.set()
        return (await second).status, double.asked

    assert run(scene) == (SUCCESSFUL, 1)


def test_closing_while_an_access_token_is_fetched_gives_the_send_an_outcome():
    async def scene(adapter, double):
        double.token_answer = Does(after=asyncio.Event())
        send = asyncio.ensure_future(adapter.send(delivery()))
        await double.token_asked.wait()
        await adapter.aclose()
        return await send

    outcome = run(scene)
    assert (outcome.status, outcome.indeterminate) == (TEMPORARY, False)


def test_a_redirect_does_not_get_the_access_token():
    async def scene(adapter, double):
        moved = {"Location": f"{double.url}/v1/projects/another/messages:send"}
        double.script.say(TOKEN, Does(status=307, headers=moved))
        return (await adapter.send(delivery())).status, len(double.messages)

    assert run(scene) == (UNKNOWN, 1)


def test_a_failed_handshake_has_sent_nothing():
    async def scene(_, double):
        secure = adapter_of(double, base_url=double.url.replace("http://", "https://"))
        async with closing(secure) as adapter:
            return await adapter.send(delivery()), double.messages

    outcome, messages = run(scene)
    assert (outcome.status, outcome.fault, messages) == (TEMPORARY, Fault.PROVIDER, [])


def test_a_send_that_gets_no_connection_in_time_has_not_left():
    async def scene(_, double):
        async with closing(adapter_of(double, connections=1)) as adapter:
            double.script.say("slow", Does(after=asyncio.Event()))
            slow = asyncio.ensure_future(adapter.send(delivery(address="slow", timeout=1.0)))
            await double.reached.wait()
            waiting = await adapter.send(delivery(timeout=0.1))
            return waiting, await slow

    waiting, slow = run(scene)
    assert (waiting.status, waiting.indeterminate) == (TEMPORARY, False)
    assert slow.indeterminate


# Settings.


def key_file(**changes):
    made = FcmDouble().service_account
    given = {**made, "token_uri": "https://oauth2.googleapis.com/token", **changes}
    return {name: value for name, value in given.items() if value is not None}


def test_the_key_file_may_be_text():
    Fcm(service_account=json.dumps(key_file()))
    Fcm(service_account=key_file(token_uri="https://accounts.google.com/o/oauth2/token"))


def ec_key():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"project_id": None}, "project_id"),
        ({"project_id": "../pa55"}, "project_id"),
        ({"client_email": None}, "client_email"),
        ({"private_key": None}, "private_key"),
        ({"private_key": "pa55"}, "private_key"),
        ({"private_key": 5}, "private_key"),
        ({"private_key": ec_key()}, "private_key"),
        ({"token_uri": None}, "token_uri"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "token_uri"),
        ({"token_uri": "https://10.0.0.1/pa55"}, "token_uri"),
        ({"token_uri": "https://accounts.google.com@example.org/pa55"}, "token_uri"),
        ({"token_uri": "https://accounts.google.com.example.org/pa55"}, "token_uri"),
    ],
)
def test_what_is_wrong_with_a_key_file_is_named_at_once(changes, named):
    with pytest.raises(ValueError, match=named) as raised:
        Fcm(service_account=key_file(**changes))
    assert "pa55" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"service_account": "pa55"}, "not JSON"),
        ({"service_account": "[]"}, "JSON object"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "https://example.org/?q=pa55"}, "base_url"),
        ({"base_url": "https://me:pa55@example.org/"}, "base_url"),
        ({"connections": 0}, "connections"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as raised:
        Fcm(**{"service_account": key_file(), **settings})
    assert "pa55" not in str(raised.value)


# Why pyfcm's own transport is not used.


def stock(double, call, monkeypatch):
    """What `call` makes of pyfcm as it is, in a thread, where it may block and not sleep."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def go():
        credentials = google_account.Credentials.from_service_account_info(
            double.service_account, scopes=["https://www.googleapis.com/auth/firebase.messaging"]
        )
        service = pyfcm.FCMNotification(credentials=credentials)
        service.FCM_END_POINT_BASE = f"{double.url}/v1/projects"
        try:
            return call(service)
        except Exception as trouble:  # noqa: BLE001  # what it raises is what is asked
            return trouble
        finally:
            service.requests_session.close()

    return asyncio.to_thread(go), slept


def stock_outcome(monkeypatch, *answers, call=None):
    async def scene(_, double):
        double.script.say(TOKEN, *answers)
        notify = call or (lambda service: service.notify(fcm_token=TOKEN, data_payload={"k": "v"}))
        thread, slept = stock(double, notify, monkeypatch)
        return await thread, slept, len(double.messages)

    return run(scene)


def test_pyfcm_sleeps_and_sends_again_inside_the_call_for_as_long_as_it_is_throttled(monkeypatch):
    throttled = error(429, "RESOURCE_EXHAUSTED", "", code="QUOTA_EXCEEDED", retry_after="900")
    said, slept, sends = stock_outcome(monkeypatch, *[throttled] * 14)
    assert said["name"]
    assert slept == [900] * 14
    assert sends == 15


def test_pyfcm_cannot_read_a_date_to_wait_for(monkeypatch):
    later = email.utils.formatdate(time.time() + 5, usegmt=True)
    said, *_ = stock_outcome(monkeypatch, error(500, "", "", retry_after=later))
    assert isinstance(said, ValueError)


def test_pyfcm_sends_again_what_a_gateway_may_have_passed_on(monkeypatch):
    said, _, sends = stock_outcome(monkeypatch, Does(status=502))
    assert (bool(said["name"]), sends) == (True, 2)


def test_pyfcm_sends_again_for_as_long_as_its_access_token_is_refused(monkeypatch):
    details = [{"reason": "ACCESS_TOKEN_EXPIRED"}]
    refused = Does(status=401, body={"error": {"details": details}})
    _, _, sends = stock_outcome(monkeypatch, *[refused] * 20)
    assert sends == 21


def test_pyfcm_cannot_tell_a_dead_token_from_a_wrong_project(monkeypatch):
    dead = error(404, "NOT_FOUND", "", code="UNREGISTERED")
    wrong = error(404, "NOT_FOUND", "")
    said = [stock_outcome(monkeypatch, answer)[0] for answer in (dead, wrong)]
    assert [type(one) for one in said] == [FCMNotRegisteredError] * 2
    assert str(said[0]) == str(said[1])


def test_pyfcms_own_payload_loses_an_image_and_keeps_numbers(monkeypatch):
    payload = json.loads(
        pyfcm.FCMNotification(credentials=object(), project_id="p").parse_payload(
            fcm_token="t", data_payload={"n": 5}, notification_image="https://example.org/a.png"
        )
    )
    assert payload["message"] == {"token": "t", "data": {"n": 5}}


SAID = {
    Answer.RATE_LIMITS: error(429, "", "", code="QUOTA_EXCEEDED", retry_after="3600"),
    Answer.FAILS: error(503, "UNAVAILABLE", f"Not now, {TOKEN}", code="UNAVAILABLE"),
    Answer.REFUSES_RECIPIENT: error(400, "", f"{BAD_TOKEN}: {TOKEN}", code="INVALID_ARGUMENT"),
    Answer.GONE: error(404, "NOT_FOUND", "Gone.", code="UNREGISTERED"),
    Answer.UNKNOWN_CODE: error(418, "TEAPOT", "Short and stout", code="TEAPOT"),
}


class TestFcm(AdapterContract):
    secrets = (
        "ya29.double",
        "PRIVATE KEY",
        *FcmDouble().service_account["private_key"].split()[3:6],
    )
    retry_after = 3600.0
    unknown_code = UNKNOWN

    @contextlib.asynccontextmanager
    async def peer(self):
        async with FcmDouble() as double, closing(adapter_of(double)) as adapter:
            yield DoublePeer(adapter, double, delivery_with, SAID)


def delivery_with(*, timeout=20.0):
    return delivery(timeout=timeout)
