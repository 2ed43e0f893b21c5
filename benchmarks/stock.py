"""The same sends as a program writes them with the libraries alone, for `benchmarks.adapters`.

Each is a context manager that gives an async function of one message's number. Connections are kept
and shared wherever the library can.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import aioapns
import aioapns.connection
import aiohttp
import aiosmtplib
import pyfcm
import standardwebhooks
import twilio.rest
from google.oauth2 import service_account
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.twiml.voice_response import VoiceResponse

from benchmarks import messages
from benchmarks.surroundings import IN_FLIGHT, MAIL_CONNECTIONS

Send = Callable[[int], Awaitable[object]]


@contextlib.asynccontextmanager
async def aioapns_(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    """aioapns. Its host is a constant, so that is changed."""
    protocol = aioapns.connection.APNsProductionClientProtocol
    protocol.APNS_SERVER, protocol.APNS_PORT = settings["host"], settings["port"]
    context = ssl.create_default_context(cafile=settings["ca_file"])
    context.set_alpn_protocols(["h2"])
    client = aioapns.APNs(
        key=settings["token_key"],
        key_id=settings["token_key_id"],
        team_id=settings["team_id"],
        topic=settings["bundle_id"],
        max_connections=2,
        ssl_context=context,
    )

    async def send(number: int) -> None:
        request = aioapns.NotificationRequest(
            device_token=messages.device_token(number),
            message=messages.APNS.payload,
            time_to_live=messages.APNS.time_to_live,
            priority=messages.APNS.priority,
            push_type=aioapns.PushType.ALERT,
        )
        assert (await client.send_notification(request)).is_successful

    yield send
    client.pool.close()


@contextlib.asynccontextmanager
async def pyfcm_(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    """pyfcm's notify, which blocks, in as many threads as there are sends in flight."""
    account = service_account.Credentials.from_service_account_info(
        settings["service_account"],
        scopes=["https://www.googleapis.com/auth/firebase.messaging"],
    )
    client = pyfcm.FCMNotification(credentials=account)
    client.FCM_END_POINT_BASE = f"{settings['base_url']}/v1/projects"
    data = messages.FCM.message["data"]
    android = messages.FCM.message["android"]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(IN_FLIGHT) as threads:

        def notify(number: int) -> None:
            client.notify(fcm_token=f"token-{number}", data_payload=data, android_config=android)

        async def send(number: int) -> None:
            await loop.run_in_executor(threads, notify, number)

        yield send


@contextlib.asynccontextmanager
async def twilio_sms(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    async with AsyncTwilioHttpClient() as http:
        client = _twilio(settings, http)

        async def send(number: int) -> None:
            created = await client.messages.create_async(
                to=messages.phone_number(number),
                from_=settings["origination_number"],
                body=messages.SMS.body,
            )
            assert created.sid

        yield send


@contextlib.asynccontextmanager
async def twilio_voice(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    async with AsyncTwilioHttpClient() as http:
        client = _twilio(settings, http)

        async def send(number: int) -> None:
            response = VoiceResponse()
            response.say(messages.VOICE.body)
            created = await client.calls.create_async(
                to=messages.phone_number(number),
                from_=settings["origination_number"],
                twiml=response.to_xml(xml_declaration=False),
                timeout=60,
            )
            assert created.sid

        yield send


def _twilio(settings: Mapping[str, Any], http: AsyncTwilioHttpClient) -> twilio.rest.Client:
    client = twilio.rest.Client(settings["account_sid"], settings["auth_token"], http_client=http)
    client.api.base_url = settings["base_url"]
    return client


@contextlib.asynccontextmanager
async def aiosmtplib_(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    """aiosmtplib's send_message of an EmailMessage each, over as many kept connections as ours."""
    free: asyncio.Queue[aiosmtplib.SMTP] = asyncio.Queue()
    clients = [
        aiosmtplib.SMTP(hostname=settings["host"], port=settings["port"], start_tls=False)
        for _ in range(MAIL_CONNECTIONS)
    ]
    for client in clients:
        await client.connect()
        free.put_nowait(client)

    async def send(number: int) -> None:
        message = EmailMessage()
        message["From"] = messages.EMAIL.from_address
        message["To"] = f"r{number}@example.com"
        message["Subject"] = messages.EMAIL.subject.data
        message.set_content(messages.EMAIL.text.data)
        message.add_alternative(messages.EMAIL.html.data, subtype="html")
        chosen = await free.get()
        try:
            await chosen.send_message(message)
        finally:
            free.put_nowait(chosen)

    yield send
    for client in clients:
        await client.quit()


@contextlib.asynccontextmanager
async def standardwebhooks_(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    """A signed webhook as https://www.standardwebhooks.com shows it: its library signs, aiohttp
    posts."""
    signer = standardwebhooks.Webhook(settings["secret"])
    async with aiohttp.ClientSession() as session:

        async def send(number: int) -> None:
            message_id, now = str(uuid.uuid4()), datetime.now(tz=UTC)
            body = json.dumps({"Address": f"token-{number}", **messages.CUSTOM.data})
            headers = {
                "Content-Type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signer.sign(message_id, now, body),
            }
            async with session.post(settings["url"], data=body, headers=headers) as response:
                response.raise_for_status()
                await response.read()

        yield send


@contextlib.asynccontextmanager
async def signed_by_hand(settings: Mapping[str, Any]) -> AsyncIterator[Send]:
    """The least that a signed webhook can be with aiohttp: no library, no id but a number."""
    key = base64.b64decode(settings["secret"].removeprefix("whsec_"))
    async with aiohttp.ClientSession() as session:

        async def send(number: int) -> None:
            body = json.dumps({"Address": f"a-{number}", **messages.CUSTOM.data}).encode()
            now = str(int(time.time()))
            digest = hmac.digest(key, f"{number}.{now}.".encode() + body, hashlib.sha256)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": str(number),
                "webhook-timestamp": now,
                "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
            }
            async with session.post(settings["url"], data=body, headers=headers) as response:
                assert response.status == 200
                await response.read()

        yield send
