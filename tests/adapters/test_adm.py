"""Adm against a double of Amazon Device Messaging."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import time
import urllib.parse
import uuid

import pytest

from adapters.adm import Adm, checksum
from adapters.contract import ChannelType, Delivery, DeliveryStatus, Fault, Outcome
from adapters.doubles import adm as double_adm
from adapters.doubles.adm import AdmDouble
from adapters.doubles.stage import Answer as Does
from adapters.messages import AdmPush, FcmPush
from tests.adapters.peers import DoublePeer, closing
from tests.contracts.adapter import AdapterContract, Answer

SUCCESSFUL = DeliveryStatus.SUCCESSFUL
THROTTLED = DeliveryStatus.THROTTLED
TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
PERMANENT = DeliveryStatus.PERMANENT_FAILURE
UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE

REGISTRATION = "amzn1.adm-registration.v2.Y29tLmFtYXpvbi5EZXZpY2U"
DATA = AdmPush(data={"pinpoint.notification.title": "Hi"})
refused = double_adm.refused


def run(scene, **settings):
    async def go():
        async with AdmDouble() as double, closing(adapter_of(double, **settings)) as adapter:
            return await scene(adapter, double)

    return asyncio.run(go())


def adapter_of(double, **settings):
    given = {
        "client_id": double_adm.CLIENT_ID,
        "client_secret": double_adm.CLIENT_SECRET,
        "base_url": double.url,
        **settings,
    }
    return Adm(**given)


def delivery(message=DATA, *, address=REGISTRATION, age=0.0, timeout=20.0):
    return Delivery(
        id=str(uuid.uuid4()),
        application_id="app",
        request_id="request",
        channel=ChannelType.ADM,
        address=address,
        message=message,
        age=age,
        timeout=timeout,
    )


def sent(message, *, age=0.0, address=REGISTRATION):
    async def scene(adapter, double):
        outcome = await adapter.send(delivery(message, age=age, address=address))
        return outcome, double.messages

    return run(scene)


def outcome_of(*answers):
    async def scene(adapter, double):
        double.script.say(REGISTRATION, *answers)
        return await adapter.send(delivery())

    return run(scene)


@pytest.mark.parametrize(
    ("answer", "status", "code", "fault", "dead"),
    [
        (refused(400, "InvalidRegistrationId"), PERMANENT, 400, Fault.RECIPIENT, True),
        (refused(400, "Unregistered"), PERMANENT, 410, Fault.RECIPIENT, True),
        (refused(400, "InvalidData"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(400, "InvalidConsolidationKey"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(400, "InvalidExpiration"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(400, "InvalidChecksum"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(400, "InvalidType"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(400, "NewReason"), PERMANENT, 400, Fault.MESSAGE, False),
        (Does(status=400, body="<html>"), PERMANENT, 400, Fault.MESSAGE, False),
        (refused(413, "MessageTooLarge"), PERMANENT, 413, Fault.MESSAGE, False),
        (Does(status=413), PERMANENT, 413, Fault.MESSAGE, False),
        (Does(status=403), PERMANENT, 403, Fault.CREDENTIALS, False),
        (Does(status=302), PERMANENT, 400, Fault.CREDENTIALS, False),
        (refused(429, "MaxRateExceeded"), THROTTLED, 429, Fault.PROVIDER, False),
        (Does(status=429), THROTTLED, 429, Fault.PROVIDER, False),
        (Does(status=500), TEMPORARY, 500, Fault.PROVIDER, False),
        (Does(status=503), TEMPORARY, 503, Fault.PROVIDER, False),
        (Does(status=204), UNKNOWN, 400, Fault.PROVIDER, False),
        (Does(status=200, body="<html>"), UNKNOWN, 502, Fault.PROVIDER, False),
        (Does(status=200, body='{"registrationID":5}'), UNKNOWN, 502, Fault.PROVIDER, False),
    ],
)
def test_each_answer_of_the_table(answer, status, code, fault, dead):
    outcome = outcome_of(answer)
    assert (outcome.status, outcome.status_code, outcome.fault) == (status, code, fault)
    assert (outcome.dead_address, outcome.indeterminate) == (dead, False)


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (429, "17", 17.0),
        (429, None, 60.0),
        (429, "Mon, 23 Nov 2015 10:00:00 GMT", 0.0),
        (500, None, 60.0),
        (503, "120", 120.0),
        (400, "120", None),
    ],
)
def test_how_long_to_wait(status, header, expected):
    assert outcome_of(refused(status, "", retry_after=header)).retry_after == expected


def test_retry_after_may_be_a_date():
    later = email.utils.formatdate(time.time() + 600, usegmt=True)
    assert 500 < outcome_of(refused(503, "", retry_after=later)).retry_after <= 600


def test_what_is_accepted_keeps_amazons_id_of_the_request():
    headers = {"X-Amzn-RequestId": "d917ceac"}
    accepted = Does(status=200, body={"registrationID": REGISTRATION}, headers=headers)
    assert outcome_of(accepted) == Outcome(
        status=SUCCESSFUL, status_code=200, message_id="d917ceac"
    )


def test_a_registration_that_was_replaced_is_told():
    async def scene(adapter, double):
        double.replaced[REGISTRATION] = "amzn1.adm-registration.v3.new"
        return await adapter.send(delivery())

    outcome = run(scene)
    assert (outcome.status, outcome.updated_token) == (SUCCESSFUL, "amzn1.adm-registration.v3.new")


def test_a_refusal_is_told_in_pinpoints_form():
    assert json.loads(outcome_of(refused(400, "Unregistered")).status_message) == {
        "errorMessage": "Unregistered or expired token",
        "channelType": "ADM",
        "pushProviderStatusCode": "400",
        "pushProviderError": "Unregistered",
        "pushProviderResponse": '{"reason":"Unregistered"}',
    }


def test_a_reason_that_is_no_word_is_not_told():
    outcome = outcome_of(refused(400, f"{REGISTRATION} got Hi"))
    assert REGISTRATION not in outcome.status_message
    assert "Hi" not in outcome.status_message


# What is sent.


def test_the_whole_message():
    message = AdmPush(data={"b": "2", "a": "é"}, consolidation_key="score", expires_after=3600)
    outcome, messages = sent(message, age=61.5)
    assert outcome.status is SUCCESSFUL
    assert messages == [
        (
            REGISTRATION,
            {
                "data": {"b": "2", "a": "é"},
                "consolidationKey": "score",
                "expiresAfter": 3539,
                "md5": "UELoKgfgl4M1tVvH1yLZAA==",
            },
        )
    ]


def test_the_checksum_is_of_the_sorted_pairs():
    # printf a:1,b:2 | openssl md5 -binary | base64
    assert checksum({"b": "2", "a": "1"}) == "Xvb142mSeo7pSjdDDASyeA=="


def test_the_callers_own_checksum_is_passed_on_for_adm_to_check():
    outcome, messages = sent(AdmPush(data={"a": "1"}, md5="bm90IHJpZ2h0"))
    assert messages[0][1]["md5"] == "bm90IHJpZ2h0"
    assert json.loads(outcome.status_message)["pushProviderError"] == "InvalidChecksum"


@pytest.mark.parametrize(
    ("expires_after", "age", "expected"),
    [(3600, 0.9, 3600), (3600, 3590.0, 60), (60, 59.0, 60), (2_678_400, 1.0, 2_678_399)],
)
def test_what_is_left_of_the_expiry_is_sent_but_no_less_than_adm_takes(
    expires_after, age, expected
):
    outcome, messages = sent(AdmPush(data={}, expires_after=expires_after), age=age)
    assert (outcome.status, messages[0][1]["expiresAfter"]) == (SUCCESSFUL, expected)


def test_an_expiry_that_is_too_short_is_adms_to_refuse():
    outcome, messages = sent(AdmPush(data={}, expires_after=59))
    assert messages[0][1]["expiresAfter"] == 59
    assert (outcome.status, outcome.fault) == (PERMANENT, Fault.MESSAGE)


def test_what_has_expired_is_not_sent():
    outcome, messages = sent(AdmPush(data={}, expires_after=60), age=60.0)
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.TIMEOUT, 408)
    assert messages == []


@pytest.mark.parametrize("address", ["a/../b?c#d", "a b+c%20", "ключ", "a%2Fb", "~-_.", ".."])
def test_an_address_is_one_step_of_the_path_whatever_it_holds(address):
    outcome, messages = sent(DATA, address=address)
    assert (outcome.status, messages[0][0]) == (SUCCESSFUL, address)


@pytest.mark.parametrize(
    "message",
    [FcmPush(message={}), AdmPush(data={"a": object()}), AdmPush(data={"a": "\ud800"})],
    ids=["not for ADM", "not JSON", "not text"],
)
def test_what_cannot_be_written_is_never_sent(message):
    outcome, messages = sent(message)
    assert (outcome.status, outcome.status_code, outcome.fault) == (PERMANENT, 400, Fault.MESSAGE)
    assert messages == []


def test_an_address_that_is_no_text_is_never_sent():
    outcome, messages = sent(DATA, address="\ud800")
    assert (outcome.status, outcome.fault, messages) == (PERMANENT, Fault.RECIPIENT, [])


# The access token.


def test_a_stale_access_token_is_renewed_once_for_all_and_the_sends_made_again():
    async def scene(adapter, double):
        await adapter.send(delivery())
        double.forget_tokens()
        outcomes = await asyncio.gather(*(adapter.send(delivery()) for _ in range(20)))
        return {outcome.status for outcome in outcomes}, double.asked, len(double.messages)

    assert run(scene) == ({SUCCESSFUL}, 2, 41)


def test_an_access_token_that_is_never_good_is_tried_twice():
    async def scene(adapter, double):
        double.script.standing = refused(401, "AccessTokenExpired")
        return await adapter.send(delivery()), len(double.messages)

    outcome, sends = run(scene)
    assert (outcome.status, outcome.status_code, outcome.fault) == (
        *(TEMPORARY, 401, Fault.CREDENTIALS),
    )
    assert sends == 2


def test_credentials_that_amazon_does_not_know_are_the_channels_fault():
    async def scene(adapter, double):
        return await adapter.send(delivery()), double.messages

    outcome, messages = run(scene, client_secret="wrong")
    assert outcome == Outcome(
        status=PERMANENT,
        status_code=401,
        status_message="No access token: invalid_client",
        fault=Fault.CREDENTIALS,
    )
    assert messages == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Does(status=400, body={"error": "invalid_scope"}), (PERMANENT, 400, Fault.CREDENTIALS)),
        (Does(status=500), (TEMPORARY, 500, Fault.PROVIDER)),
        (Does(status=200, body="<html>"), (TEMPORARY, 502, Fault.PROVIDER)),
        (Does(raw=b""), (TEMPORARY, 504, Fault.PROVIDER)),
    ],
)
def test_without_an_access_token_nothing_is_sent(answer, expected):
    async def scene(adapter, double):
        double.token_answer = answer
        return await adapter.send(delivery()), double.messages

    outcome, messages = run(scene)
    assert (outcome.status, outcome.status_code, outcome.fault) == expected
    assert (outcome.indeterminate, messages) == (False, [])


@pytest.mark.parametrize("lifetime", [10**400, -(10**400), 0, 1e300, None, "3600"])
def test_an_access_token_may_be_good_for_any_time(lifetime):
    async def scene(adapter, double):
        token = double._token(urllib.parse.urlencode(adapter._form).encode())
        double.token_answer = Does(status=200, body={**token.body, "expires_in": lifetime})
        return (await adapter.send(delivery())).status

    assert run(scene) is SUCCESSFUL


@pytest.mark.parametrize("replaced", ["\0", "a\nb", "x" * 5000])
def test_what_is_no_registration_replaces_none(replaced):
    outcome = outcome_of(Does(status=200, body={"registrationID": replaced}))
    assert (outcome.status, outcome.updated_token) == (UNKNOWN, None)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"base_url": "api.amazon.com"}, "base_url"),
        ({"connections": 0}, "connections"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as raised:
        Adm(**{"client_id": "id", "client_secret": "pa55", **settings})
    assert "pa55" not in str(raised.value)


SAID = {
    Answer.RATE_LIMITS: refused(429, "MaxRateExceeded", retry_after="3600"),
    Answer.FAILS: Does(status=503, body=f"Not now, {REGISTRATION}"),
    Answer.REFUSES_RECIPIENT: refused(400, "InvalidRegistrationId"),
    Answer.GONE: refused(400, "Unregistered"),
    Answer.UNKNOWN_CODE: refused(418, f"No {REGISTRATION}"),
}


class TestAdm(AdapterContract):
    secrets = (double_adm.CLIENT_SECRET, "Atc|double")
    retry_after = 3600.0

    @contextlib.asynccontextmanager
    async def peer(self):
        async with AdmDouble() as double, closing(adapter_of(double)) as adapter:
            yield DoublePeer(adapter, double, delivery_with, SAID)


def delivery_with(*, timeout=20.0):
    return delivery(timeout=timeout)
