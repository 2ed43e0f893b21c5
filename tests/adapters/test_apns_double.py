"""The double refuses what Apple refuses: else passing against it would mean little."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.apns_credentials import ProviderToken, tls_context
from adapters.apns_messages import Push
from adapters.apns_pool import Pool
from adapters.doubles import apns_rules
from adapters.doubles.apns import ApnsDouble
from adapters.http2 import Limits
from tests.adapters.test_apns import APP, KEY, P8, PUBLIC, Clock, pem

NOW = 1_795_000_000
ID = "123e4567-e89b-12d3-a456-426614174000"
GOOD = {
    ":method": "POST",
    ":path": "/3/device/abcd",
    "apns-id": ID,
    "apns-topic": APP,
    "apns-push-type": "alert",
    "apns-priority": "10",
    "authorization": "bearer x",
}


def judged(headers=(), *, without=(), body=b"{}", twice=()):
    given = {**GOOD, **dict(headers)}
    given = {name: value for name, value in given.items() if name not in without}
    token = given.get(":path", "").removeprefix("/3/device/")
    request = apns_rules.Request(token=token, headers=given, body=body, connection=0, stream_id=1)
    return apns_rules.refusal(request, [*given, *twice], frozenset({APP}))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, None),
        ({":method": "GET"}, (405, "MethodNotAllowed")),
        ({":path": "/4/device/abcd"}, (404, "BadPath")),
        ({":path": "/3/device/"}, (400, "MissingDeviceToken")),
        ({":path": "/3/device/xyz"}, (400, "BadDeviceToken")),
        ({"apns-id": ID.upper()}, (400, "BadMessageId")),
        ({"apns-expiration": "0"}, None),
        ({"apns-expiration": "soon"}, (400, "BadExpirationDate")),
        ({"apns-priority": "7"}, (400, "BadPriority")),
        ({"apns-push-type": "background"}, (400, "BadPriority")),
        ({"apns-push-type": "background", "apns-priority": "5"}, None),
        ({"apns-push-type": "poke"}, (400, "InvalidPushType")),
        ({"apns-push-type": "voip"}, (400, "BadTopic")),
        ({"apns-push-type": "voip", "apns-topic": f"{APP}.voip"}, None),
        ({"apns-collapse-id": "x" * 64}, None),
        ({"apns-collapse-id": "x" * 65}, (400, "BadCollapseId")),
        ({"apns-topic": "com.example.other"}, (400, "TopicDisallowed")),
    ],
)
def test_a_header_that_is_wrong(headers, reason):
    assert judged(headers) == reason


def test_what_is_missing_too_much_or_too_large():
    assert judged(without=["apns-topic"]) == (400, "MissingTopic")
    assert judged(without=["apns-topic", "authorization"]) is None  # the certificate names it
    assert judged(twice=["apns-id"]) == (400, "DuplicateHeaders")
    assert judged(body=b"") == (400, "PayloadEmpty")
    assert judged(body=b"x" * 4096) is None
    assert judged(body=b"x" * 4097) == (413, "PayloadTooLarge")
    voip = {"apns-push-type": "voip", "apns-topic": f"{APP}.voip"}
    assert judged(voip, body=b"x" * 5120) is None
    assert judged(voip, body=b"x" * 5121) == (413, "PayloadTooLarge")


def signed(key=P8, claims=None, **headers):
    claims = {"iss": "TEAM", "iat": NOW} if claims is None else claims
    headers = {"kid": "ABC123DEFG", **headers}
    return "bearer " + jwt.encode(claims, key, algorithm="ES256", headers=headers)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (signed(), None),
        (None, "MissingProviderToken"),
        ("bearer x", "InvalidProviderToken"),
        ("basic " + signed()[7:], "InvalidProviderToken"),
        (signed(kid="ANOTHER123"), "InvalidProviderToken"),
        (signed(pem(ec.generate_private_key(ec.SECP256R1()))), "InvalidProviderToken"),
        (signed(claims={"iss": "TEAM"}), "InvalidProviderToken"),
        (signed(claims={"iat": NOW}), "InvalidProviderToken"),
        (signed(claims={"iss": "TEAM", "iat": NOW - 3601}), "ExpiredProviderToken"),
    ],
    ids=["good", "none", "no JWT", "basic", "kid", "key", "no iat", "no iss", "old"],
)
def test_a_provider_token_that_is_wrong(header, reason):
    tokens = apns_rules.Tokens(clock=lambda: NOW, keys=PUBLIC)
    refusal = tokens.refusal(header)
    assert refusal == (None if reason is None else (403, reason))


def test_tokens_that_change_too_fast():
    clock = Clock(NOW)
    tokens = apns_rules.Tokens(clock=clock, keys=PUBLIC, strict_updates=True)
    first, second = signed(), signed(claims={"iss": "TEAM", "iat": NOW + 1})
    assert tokens.refusal(first) is None
    assert tokens.refusal(second) == (429, "TooManyProviderTokenUpdates")
    assert tokens.refusal(first) is None
    clock.now += 1200
    assert tokens.refusal(second) is None


def test_what_is_refused_is_answered_as_apple_does():
    async def scene():
        async with ApnsDouble(keys={"KEY": KEY.public_key()}, topics=frozenset({APP})) as double:
            pool = Pool(
                double.host,
                double.port,
                tls_context(double.ca_file),
                ProviderToken(P8, "KEY", "TEAM"),
                connections=1,
                limits=Limits(),
            )
            push = Push(
                "abcd", b"{}", notification_id="x", topic=APP, push_type="alert", priority=10
            )
            answer = await pool.send(push, asyncio.get_running_loop().time() + 30)
            await pool.aclose()
            return answer.code, answer.description, [each.token for each in double.requests]

    assert asyncio.run(scene()) == (400, "BadMessageId", ["abcd"])
