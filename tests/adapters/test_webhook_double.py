"""The receiver's double refuses what was not signed (Standard Webhooks)."""

import asyncio
import base64

import aiohttp
import pytest

from adapters.doubles import webhook

NOW = 1_795_000_000
# Of `msg_1.1795000000.{"Address": "a"}`, by OpenSSL:
#   openssl dgst -sha256 -mac HMAC -macopt key:"the-double's-own-secret!" -binary | base64
RIGHT = "v1,ec4nAkIhSYwFQvqILywjVrJoLXnQnCXRu620kdv4xWw="
SIGNED = {
    "webhook-id": "msg_1",
    "webhook-timestamp": str(NOW),
    "webhook-signature": RIGHT,
}
BODY = b'{"Address": "a"}'


def status(body=BODY, *, method="POST", now=NOW, **changed):
    headers = {**SIGNED, **{name.replace("_", "-"): text for name, text in changed.items()}}

    async def run():
        async with (
            webhook.WebhookDouble(clock=lambda: now) as double,
            aiohttp.ClientSession() as session,
            session.request(method, double.url, data=body, headers=headers) as response,
        ):
            return response.status

    return asyncio.run(run())


def test_the_secret_is_what_the_signature_was_made_with():
    secret = base64.b64decode(webhook.SECRET.removeprefix("whsec_"))
    assert secret == b"the-double's-own-secret!"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 200),
        ({"webhook_signature": f"v1,AAAA {RIGHT} v1a,BBBB"}, 200),
        ({"now": NOW + 299}, 200),
        ({"now": NOW + 301}, 401),
        ({"now": NOW - 301}, 401),
        ({"webhook_signature": "v1,AAAA"}, 401),
        ({"webhook_signature": ""}, 401),
        ({"webhook_id": "msg_2"}, 401),
        ({"webhook_timestamp": "soon"}, 401),
        ({"body": b'{"Address": "b"}'}, 401),
        ({"method": "PUT"}, 405),
    ],
)
def test_only_what_was_signed_lately_is_taken(changed, expected):
    assert status(**changed) == expected
