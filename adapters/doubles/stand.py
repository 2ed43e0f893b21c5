"""Every double at once: all channels over their real protocols, without an account."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters import magic
from adapters.contract import ChannelType
from adapters.doubles import adm, apns, baidu, fcm, plays, smtp, stage, twilio, webhook
from adapters.doubles.plays import Received

BUNDLE_ID = "com.example.app"
NUMBER = "+15550100100"
"""The number that the doubles of Twilio send and call from."""

_APNS = (
    ChannelType.APNS,
    ChannelType.APNS_SANDBOX,
    ChannelType.APNS_VOIP,
    ChannelType.APNS_VOIP_SANDBOX,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How a channel reaches its double: the adapter's name and its settings. `at` is for people."""

    adapter: str
    settings: Mapping[str, Any] = field(repr=False)
    at: str


Stand = Mapping[ChannelType, Channel]

Told = Callable[[Received], None]


@contextlib.asynccontextmanager
async def stand(told: Told = lambda _: None) -> AsyncIterator[Stand]:
    """Start a double of every provider on free ports of 127.0.0.1, with credentials made up, for
    the length of the block. `told` hears of each message that one of them has read.

    A magic recipient (`adapters.magic`) gets its provider's own answer; see
    `adapters.doubles.plays`.
    """
    async with AsyncExitStack() as stack:
        apple = await _apns(stack, told)
        yield {
            **dict.fromkeys(_APNS, apple),
            ChannelType.GCM: await _fcm(stack, told),
            ChannelType.ADM: await _adm(stack, told),
            ChannelType.BAIDU: await _baidu(stack, told),
            ChannelType.SMS: await _twilio(stack, told, ChannelType.SMS),
            ChannelType.VOICE: await _twilio(stack, told, ChannelType.VOICE),
            ChannelType.EMAIL: await _smtp(stack, told),
            ChannelType.CUSTOM: await _webhook(stack, told),
        }


def apple() -> tuple[apns.ApnsDouble, Mapping[str, Any]]:
    """A double of APNs that knows one key, and the settings of an adapter that has it: all but the
    port, which the double has once it is started."""
    key = ec.generate_private_key(ec.SECP256R1())
    double = apns.ApnsDouble(keys={"DOUBLE0KEY": key.public_key()}, topics=frozenset({BUNDLE_ID}))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    settings = {
        "bundle_id": BUNDLE_ID,
        "token_key": pem.decode(),
        "token_key_id": "DOUBLE0KEY",
        "team_id": "DOUBLETEAM",
        "host": double.host,
        "ca_file": double.ca_file,
    }
    return double, settings


async def _apns(stack: AsyncExitStack, told: Told) -> Channel:
    double, settings = apple()
    double.standing = plays.Play(ChannelType.APNS, plays.APNS, told)
    await stack.enter_async_context(double)
    return Channel(
        adapter="apns",
        settings={**settings, "port": double.port},
        at=f"https://{double.host}:{double.port}",
    )


async def _fcm(stack: AsyncExitStack, told: Told) -> Channel:
    double = await stack.enter_async_context(fcm.FcmDouble())
    double.script.standing = plays.Play(ChannelType.GCM, plays.FCM, told)
    settings = {"service_account": double.service_account, "base_url": double.url}
    return Channel(adapter="fcm", settings=settings, at=double.url)


async def _adm(stack: AsyncExitStack, told: Told) -> Channel:
    double = await stack.enter_async_context(adm.AdmDouble())
    play = plays.Play(ChannelType.ADM, plays.ADM, told)
    double.script.standing = functools.partial(_renewing, double, play)
    settings = {
        "client_id": adm.CLIENT_ID,
        "client_secret": adm.CLIENT_SECRET,
        "base_url": double.url,
    }
    return Channel(adapter="adm", settings=settings, at=double.url)


def _renewing(
    double: adm.AdmDouble, play: plays.Play[stage.Answer], registration: str
) -> stage.Answer:
    """Amazon is the one that answers with the address to use from now on."""
    if magic.word(ChannelType.ADM, registration) == "updated-token":
        double.replaced[registration] = magic.renewed(ChannelType.ADM, registration)
    return play(registration)


async def _baidu(stack: AsyncExitStack, told: Told) -> Channel:
    double = await stack.enter_async_context(baidu.BaiduDouble())
    double.script.standing = plays.Play(ChannelType.BAIDU, plays.BAIDU, told)
    settings = {
        "api_key": baidu.API_KEY,
        "secret_key": baidu.SECRET_KEY,
        "base_url": double.url,
    }
    return Channel(adapter="baidu", settings=settings, at=double.url)


async def _twilio(stack: AsyncExitStack, told: Told, channel: ChannelType) -> Channel:
    ends, adapter = {
        ChannelType.SMS: (plays.SMS, "twilio-sms"),
        ChannelType.VOICE: (plays.VOICE, "twilio-voice"),
    }[channel]
    double = await stack.enter_async_context(twilio.TwilioDouble())
    play = plays.Play(channel, ends, told)
    # Whoever asks for a list sends nothing.
    double.script.standing = lambda to: stage.Answer() if to == "list" else play(to)
    settings = {
        "account_sid": twilio.ACCOUNT_SID,
        "auth_token": twilio.AUTH_TOKEN,
        "origination_number": NUMBER,
        "base_url": double.url,
    }
    return Channel(adapter=adapter, settings=settings, at=double.url)


async def _smtp(stack: AsyncExitStack, told: Told) -> Channel:
    double = await stack.enter_async_context(smtp.SmtpDouble())
    double.script.standing = plays.Play(ChannelType.EMAIL, plays.EMAIL, told)
    settings = {
        "host": double.host,
        "port": double.port,
        "security": "none",
        "username": smtp.USERNAME,
        "password": smtp.PASSWORD,
        "from_address": "sendpoint@example.com",
    }
    return Channel(adapter="smtp", settings=settings, at=f"smtp://{double.host}:{double.port}")


async def _webhook(stack: AsyncExitStack, told: Told) -> Channel:
    double = await stack.enter_async_context(webhook.WebhookDouble())
    double.script.standing = plays.Play(ChannelType.CUSTOM, plays.CUSTOM, told)
    settings = {"url": double.url, "secret": webhook.SECRET, "allow_private": ["127.0.0.1/32"]}
    return Channel(adapter="webhook", settings=settings, at=double.url)
