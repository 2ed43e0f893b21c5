"""Baidu against a double of Baidu Cloud Push."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import uuid

import pytest

from adapters.baidu import Baidu, signature
from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.doubles import baidu as double_baidu
from adapters.doubles.baidu import BaiduDouble
from adapters.doubles.stage import Answer as Does
from adapters.messages import BaiduPush, FcmPush
from tests.adapters.peers import DEEP, DoublePeer, closing
from tests.contracts.adapter import AdapterContract, Answer

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE
DUPLICATE = DeliveryStatus.DUPLICATE

CHANNEL = "4617656892525519033"
ADDRESS = f"1100235190812307342:{CHANNEL}"
NOW = 1_427_180_905
DATA = BaiduPush(message={"pinpoint.notification.title": "Hi"})
refused = double_baidu.refused


def run(scene, **settings):
    async def go():
        async with (
            BaiduDouble(clock=lambda: NOW) as double,
            closing(adapter_of(double, **settings)) as adapter,
        ):
            return await scene(adapter, double)

    return asyncio.run(go())


def adapter_of(double, **settings):
    given = {
        "api_key": double_baidu.API_KEY,
        "secret_key": double_baidu.SECRET_KEY,
        "base_url": double.url,
        "clock": lambda: NOW,
        **settings,
    }
    return Baidu(**given)


def delivery(message=DATA, *, address=ADDRESS, age=0.0, timeout=20.0):
    return Delivery(
        id=str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=ChannelType.BAIDU,
        address=address,
        message=message,
        age=age,
        timeout=timeout,
    )


def sent(message=DATA, *, age=0.0, address=ADDRESS, **settings):
    async def scene(adapter, double):
        outcome = await adapter.send(delivery(message, age=age, address=address))
        return outcome, double.messages

    return run(scene, **settings)


def outcome_of(*answers):
    async def scene(adapter, double):
        double.script.say(CHANNEL, *answers)
        return await adapter.send(delivery())

    return run(scene)


@pytest.mark.parametrize(
    ("http", "error_code", "status", "code", "fault", "dead"),
    [
        (500, 30600, TEMPORARY, 500, Fault.PROVIDER, False),
        (405, 30601, PERMANENT, 405, Fault.MESSAGE, False),
        (400, 30602, PERMANENT, 400, Fault.MESSAGE, False),
        (401, 30603, PERMANENT, 401, Fault.CREDENTIALS, False),
        (402, 30604, THROTTLED, 402, Fault.PROVIDER, False),
        (404, 30605, PERMANENT, 404, Fault.MESSAGE, False),
        (400, 30607, PERMANENT, 410, Fault.RECIPIENT, True),
        (400, 30608, PERMANENT, 410, Fault.RECIPIENT, True),
        (400, 30609, PERMANENT, 400, Fault.MESSAGE, False),
        (400, 30610, DUPLICATE, 400, Fault.MESSAGE, False),
        (404, 30611, PERMANENT, 404, Fault.MESSAGE, False),
        (403, 30612, PERMANENT, 403, Fault.CREDENTIALS, False),
        (403, 30613, PERMANENT, 403, Fault.CREDENTIALS, False),
        (400, 30614, PERMANENT, 400, Fault.MESSAGE, False),
        (400, 30615, PERMANENT, 400, Fault.MESSAGE, False),
        (403, 30699, THROTTLED, 403, Fault.PROVIDER, False),
        (200, 30608, PERMANENT, 410, Fault.RECIPIENT, True),
        (200, 30602, PERMANENT, 400, Fault.MESSAGE, False),
        (200, 39999, UNKNOWN, 400, Fault.PROVIDER, False),
        (500, 39999, TEMPORARY, 500, Fault.PROVIDER, False),
        (400, 39999, PERMANENT, 400, Fault.MESSAGE, False),
    ],
)
def test_each_code_of_the_table(http, error_code, status, code, fault, dead):
    outcome = outcome_of(refused(http, error_code, "No."))
    assert (outcome.status, outcome.status_code, outcome.fault) == (status, code, fault)
    assert (outcome.dead_address, outcome.indeterminate) == (dead, False)


@pytest.mark.parametrize(
    ("answer", "status", "code", "fault"),
    [
        (Does(status=401), PERMANENT, 401, Fault.CREDENTIALS),
        (Does(status=404, body="<html>"), PERMANENT, 404, Fault.CREDENTIALS),
        (Does(status=429), THROTTLED, 429, Fault.PROVIDER),
        (Does(status=502, body="<html>"), TEMPORARY, 502, Fault.PROVIDER),
        (Does(status=302), PERMANENT, 400, Fault.CREDENTIALS),
        (Does(status=200, body="<html>"), UNKNOWN, 502, Fault.PROVIDER),
        (Does(status=200, body={"response_params": {}}), UNKNOWN, 502, Fault.PROVIDER),
        (Does(status=200, body={"response_params": "?"}), UNKNOWN, 502, Fault.PROVIDER),
    ],
)
def test_an_answer_without_a_code_falls_by_its_status(answer, status, code, fault):
    outcome = outcome_of(answer)
    assert (outcome.status, outcome.status_code, outcome.fault) == (status, code, fault)


@pytest.mark.parametrize(
    ("error_code", "header", "expected"),
    [(30604, None, 3600.0), (30699, None, 60.0), (30699, "17", 17.0), (30600, None, None)],
)
def test_how_long_to_wait(error_code, header, expected):
    outcome = outcome_of(refused(400, error_code, "", retry_after=header))
    assert outcome.retry_after == expected


def test_what_is_accepted_keeps_baidus_id():
    assert outcome_of(double_baidu.accepted("5346")) == Outcome(
        status=SUCCESSFUL, status_code=200, message_id="5346"
    )


def test_a_refusal_is_told_in_pinpoints_form_and_without_the_address():
    outcome = outcome_of(refused(400, 30608, f"Bind Relation Not Found: {CHANNEL}, {ADDRESS}"))
    assert json.loads(outcome.status_message) == {
        "errorMessage": "Unregistered or expired token",
        "channelType": "BAIDU",
        "pushProviderStatusCode": "30608",
        "pushProviderError": "Bind Relation Not Found: ***, ***",
        "pushProviderResponse": (
            '{"error_code":30608,"error_msg":"Bind Relation Not Found: ***, ***"}'
        ),
    }


# What is sent.


def test_baidus_published_example_of_a_signature():
    parameters = {
        "timestamp": "1427180905",
        "expires": "1313293565",
        "apikey": "Ljc710pzAa99GULCo8y48NvB",
    }
    url = "http://api.tuisong.baidu.com/rest/3.0/test/echo"
    signed = signature(url, parameters, "87772555E1C16715EBA5C85341684C58")
    assert signed == "7d14113142e2a1583b4e9dad3fba73d0"


def test_a_signature_is_of_what_php_would_encode():
    # php -r 'echo md5(urlencode("POSThttp://h/amsg={\"k\":\"~ é*\"}s"));'
    encoded = "POSThttp%3A%2F%2Fh%2Famsg%3D%7B%22k%22%3A%22%7E+%C3%A9%2A%22%7Ds"
    expected = hashlib.md5(encoded.encode()).hexdigest()
    assert signature("http://h/a", {"msg": '{"k":"~ é*"}'}, "s") == expected


def test_the_whole_form():
    message = BaiduPush(message={"title": "~Привет é & +"}, expires=18_000)
    outcome, messages = sent(message, age=61.5)
    assert outcome.status is SUCCESSFUL
    assert {name: value for name, value in messages[0].items() if name != "sign"} == {
        "apikey": double_baidu.API_KEY,
        "channel_id": CHANNEL,
        "device_type": "3",
        "msg": '{"title":"~Привет é & +"}',
        "msg_expires": "17939",
        "msg_type": "0",
        "timestamp": "1427180905",
    }


def test_an_iphones_form():
    outcome, messages = sent(device_type=4, deploy_status=2)
    assert outcome.status is SUCCESSFUL
    assert (messages[0]["device_type"], messages[0]["deploy_status"]) == ("4", "2")


@pytest.mark.parametrize("address", [ADDRESS, CHANNEL])
def test_an_address_is_a_channel_id_with_or_without_its_user(address):
    _, messages = sent(address=address)
    assert messages[0]["channel_id"] == CHANNEL


@pytest.mark.parametrize(
    ("expires", "age", "expected"), [(0, 500.0, "0"), (60, 0.9, "60"), (60, 59.9, "1")]
)
def test_what_is_left_of_the_expiry_is_sent(expires, age, expected):
    _, messages = sent(BaiduPush(message={}, expires=expires), age=age)
    assert messages[0]["msg_expires"] == expected


def test_what_has_expired_is_not_sent():
    outcome, messages = sent(BaiduPush(message={}, expires=60), age=60.0)
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.TIMEOUT, 408)
    assert messages == []


@pytest.mark.parametrize(
    "message",
    [
        FcmPush(message={}),
        BaiduPush(message={"a": object()}),
        BaiduPush(message={"a": "\ud800"}),
        BaiduPush(message=DEEP),
    ],
    ids=["not for Baidu", "not JSON", "not text", "without a bottom"],
)
def test_what_cannot_be_written_is_never_sent(message):
    outcome, messages = sent(message)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)
    assert messages == []


def test_a_request_that_is_too_old_is_signed_anew_and_sent_again():
    times = iter([NOW - 601, NOW])
    outcome, messages = sent(clock=lambda: next(times))
    assert outcome.status is SUCCESSFUL
    assert [form["timestamp"] for form in messages] == [str(NOW - 601), str(NOW)]


def test_a_clock_that_is_wrong_is_tried_twice():
    outcome, messages = sent(clock=lambda: NOW - 601)
    assert (outcome.status, outcome.fault) == (TEMPORARY, Fault.CREDENTIALS)
    assert (outcome.dead_address, len(messages)) == (False, 2)


def test_another_secret_is_the_channels_fault():
    outcome, _ = sent(secret_key="another")
    assert (outcome.status, outcome.status_code, outcome.fault) == (
        *(PERMANENT, 401, Fault.CREDENTIALS),
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"api_key": ""}, "api_key"),
        ({"secret_key": ""}, "secret_key"),
        ({"device_type": 5}, "device_type"),
        ({"deploy_status": 3}, "deploy_status"),
        ({"base_url": "api.tuisong.baidu.com"}, "base_url"),
        ({"connections": 0}, "connections"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as raised:
        Baidu(**{"api_key": "key", "secret_key": "pa55", **settings})
    assert "pa55" not in str(raised.value)


SAID = {
    Answer.RATE_LIMITS: refused(403, 30699, "Too frequent", retry_after="3600"),
    Answer.FAILS: refused(500, 30600, f"Not now, {CHANNEL}"),
    Answer.REFUSES_RECIPIENT: refused(400, 30608, f"No {ADDRESS}"),
    Answer.GONE: refused(400, 30607, "Channel Token Timeout"),
    Answer.UNKNOWN_CODE: refused(418, 39999, f"No {CHANNEL}"),
}


class TestBaidu(AdapterContract):
    secrets = (double_baidu.SECRET_KEY, CHANNEL)
    retry_after = 3600.0

    @contextlib.asynccontextmanager
    async def peer(self):
        async with (
            BaiduDouble(clock=lambda: NOW) as double,
            closing(adapter_of(double)) as adapter,
        ):
            yield DoublePeer(adapter, double, delivery_with, SAID)


def delivery_with(*, timeout=20.0):
    return delivery(timeout=timeout)
