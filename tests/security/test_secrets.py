"""Secrets, addresses and contents are where they belong and nowhere else: whatever a provider
answers, and whatever goes wrong, in no log, no error, no answer and no repr.

The providers here answer with all that they were asked, in every member that an adapter reads.
"""

import asyncio
import base64
import dataclasses
import importlib
import json
import logging
import pkgutil
import sys
import urllib.parse
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import adapters
import worker
from adapters.contract import ChannelType, Delivery
from adapters.doubles import apns, stage
from adapters.messages import Sms
from tests.http.api import bearer
from worker import breaker, dispatch, plan, store, vault, wire
from worker import loop as loop_
from worker import settings as settings_

SID = "AC" + 32 * "d"


class Parrot:
    """A server that answers everything with what it was asked, as HTTP and as SMTP."""

    def __init__(self):
        self.status = 400
        self.http = stage.Server(self._answer)
        self.smtp = None
        self.asked = 0

    async def start(self):
        await self.http.start()
        self.smtp = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.smtp_port = self.smtp.sockets[0].getsockname()[1]

    async def stop(self):
        await self.http.stop()
        self.smtp.close()
        await self.smtp.wait_closed()

    async def _answer(self, request):
        self.asked += 1
        body = (await request.read()).decode(errors="replace")
        heard = f"{request.method} {request.path_qs} {dict(request.headers)} {body}"
        heard += urllib.parse.unquote_plus(heard)
        said = {
            "code": 21211,
            "message": heard,
            "error": heard,
            "error_description": heard,
            "reason": heard,
            "error_code": 30602,
            "error_msg": heard,
            "sid": heard,
            "name": heard,
            "registrationID": heard,
            "access_token": "issued",
        }
        if "/messages:send" in request.path:
            said["error"] = {"status": heard, "message": heard, "details": [{"errorCode": heard}]}
        headers = {"X-Amzn-RequestId": urllib.parse.quote(heard)[:500], "Retry-After": "junk"}
        # A token is given, so that there is a message to fail.
        status = 200 if "token" in request.path else self.status
        return web.Response(status=status, text=json.dumps(said), headers=headers)

    async def _relay(self, reader, writer):
        """It offers a password's use, and then refuses by the status: the password, the recipient,
        or the message."""
        writer.write(b"220 parrot\r\n")
        heard = []
        while line := await reader.readline():
            words = line.decode(errors="replace").strip()
            heard.append(words)
            verb = words.upper().split(" ")[0]
            said = "250 go on"
            if verb == "EHLO":
                said = "250-parrot\r\n250 AUTH PLAIN"
            elif verb == "AUTH":
                plain = base64.b64decode(words.split()[-1]).replace(b"\0", b" ").decode()
                bad = f"535 5.7.8 no: {words} {plain}"
                said = bad if self.status == 401 else "235 hello"
            elif verb == "RCPT" and self.status == 400:
                said = f"550 5.1.1 {' '.join(heard[-2:])}"
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                content = (await reader.readuntil(b"\r\n.\r\n")).decode(errors="replace")
                said = f"554 5.6.0 {content[-300:].replace(chr(13), ' ').replace(chr(10), ' ')}"
            elif verb == "QUIT":
                break
            self.asked += 1
            writer.write(f"{said}\r\n".encode())
            await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def loop():
    loop = loop_.Loop("parrot")
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def parrot(loop):
    parrot = Parrot()
    loop.run(parrot.start())
    yield parrot
    loop.run(parrot.stop())


@pytest.fixture(scope="module")
def apple(loop):
    """An Apple that knows none of our keys."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    double = apns.ApnsDouble(keys={"ANOTHERKEY": key})
    loop.run(double.start())
    yield double
    loop.run(double.stop())


@pytest.fixture(scope="module")
def doubles(loop, parrot, apple):
    return loop, parrot, apple


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


PRIVATE = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
PROVIDER_KEY = pem(ec.generate_private_key(ec.SECP256R1()))


def channels(parrot, apple, secret):
    """By channel: the adapter, its settings with the secret, and the forms in which that goes on
    the wire."""
    url = parrot.http.url
    signing = base64.b64encode(secret.encode().ljust(24, b"s")[:64]).decode()
    twilio = {"account_sid": SID, "auth_token": secret, "base_url": url}
    twilio["origination_number"] = "+14255550100"
    basic = base64.b64encode(f"{SID}:{secret}".encode()).decode()
    account = {
        "type": "service_account",
        "project_id": "shop",
        "private_key": PRIVATE,
        "private_key_id": "k",
        "client_email": "push@shop.example",
        "token_uri": f"{url}/token",
    }
    plain = base64.b64encode(f"\0shop\0{secret}".encode()).decode()
    smtp = {"host": "127.0.0.1", "port": parrot.smtp_port, "security": "none"}
    return {
        ChannelType.APNS: (
            "apns",
            {
                "bundle_id": "com.example.app",
                "token_key": PROVIDER_KEY,
                "token_key_id": "DOUBLE0KEY",
                "team_id": "DOUBLETEAM",
                "host": apple.host,
                "port": apple.port,
                "ca_file": apple.ca_file,
            },
            [PROVIDER_KEY, PROVIDER_KEY.splitlines()[1]],
        ),
        ChannelType.GCM: (
            "fcm",
            {"service_account": account, "base_url": url},
            [PRIVATE, PRIVATE.splitlines()[1]],
        ),
        ChannelType.ADM: (
            "adm",
            {"client_id": "client", "client_secret": secret, "base_url": url},
            [secret],
        ),
        ChannelType.BAIDU: (
            "baidu",
            {"api_key": "key", "secret_key": secret, "base_url": url},
            [secret],
        ),
        ChannelType.SMS: ("twilio-sms", twilio, [secret, basic]),
        ChannelType.VOICE: ("twilio-voice", twilio, [secret, basic]),
        ChannelType.EMAIL: (
            "smtp",
            {
                **smtp,
                "username": "shop",
                "password": secret,
                "from_address": "shop@example.com",
            },
            [secret, plain],
        ),
        ChannelType.CUSTOM: (
            "webhook",
            {
                "url": f"{url}/hook",
                "secret": f"whsec_{signing}",
                "headers": {"Authorization": f"Bearer {secret}"},
                "allow_private": ["127.0.0.1/32"],
            },
            [secret, signing],
        ),
    }


CHANNELS = ("APNS", "GCM", "ADM", "BAIDU", "SMS", "VOICE", "EMAIL", "CUSTOM")


def address(channel, mark):
    if channel in {ChannelType.SMS, ChannelType.VOICE}:
        return f"+1425555{int(mark[:6], 16) % 10_000:04}"
    if channel == ChannelType.EMAIL:
        return f"r{mark}@reader.example"
    return mark * 4


def few(number):
    return hypothesis_settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# What a provider may have as a password, and what regular expressions and URLs trip over.
SECRETS = st.text("abcXYZ0189", min_size=12, max_size=30).map("s3cr3t{}".format) | st.text(
    "aB3$^.*+?()[]{}|\\/%&=#@! <>\"';:,~`_-", min_size=16, max_size=30
).map("q{}z".format)
MARKS = st.integers(16**15, 16**16 - 1).map("{:x}".format)


def logged(caplog):
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")
    return "\n".join(formatter.format(one) for one in caplog.records)


@pytest.mark.parametrize("status", [200, 400, 401, 503])
@pytest.mark.parametrize("channel", CHANNELS)
@few(2)
@given(secret=SECRETS, mark=MARKS)
def test_a_provider_that_repeats_everything(
    guarded, issue, doubles, caplog, channel, status, secret, mark
):
    api, db = guarded, guarded.runtime.db
    loop, parrot, apple = doubles
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    parrot.status = status
    adapter, settings, secrets = channels(parrot, apple, secret)[channel]
    store.set_channel(db, api.application, channel, adapter=adapter, settings=settings)
    api.runtime.channels.forget(api.application)
    api.runtime.breakers = breaker.Breakers(api.runtime.clock)
    to, content = address(channel, mark), f"bOdY-{mark}"
    request = {
        "MessageConfiguration": {"DefaultMessage": {"Body": content}},
        "Addresses": {to: {"ChannelType": channel, "Context": {"mark": content}}},
    }
    if channel == ChannelType.EMAIL:
        parts = {"Subject": {"Data": content}, "TextPart": {"Data": content}}
        request["MessageConfiguration"] = {"EmailMessage": {"SimpleEmail": parts}}
    key = bearer(issue())
    answers = [api.post(request, key)]
    request_id = UUID(answers[0].json["RequestId"])
    (row,) = store.results(db, api.application, request_id)
    asked = parrot.asked + len(apple.requests)
    try:
        loop.run(dispatch.deliver(api.runtime, row.id))
    finally:
        loop.run(dispatch.aclose(api.runtime))
        api.runtime.channels._open.clear()
    (row,) = store.results(db, api.application, request_id)
    assert parrot.asked + len(apple.requests) > asked, row.status_message
    answers.append(api.request("GET", f"{api.path}/{request_id}", None, key))
    answers.append(api.request("GET", f"/v1/apps/{api.application}/channels", None, key))
    (row,) = store.results(db, api.application, request_id)
    said, log = row.status_message, logged(caplog)
    shown = repr((api.runtime, store.channels(db, api.application)))
    everywhere = "\n".join([log, shown, *(one.body.decode() for one in answers)])
    for one in secrets:
        for form in (one, urllib.parse.quote(one), urllib.parse.quote_plus(one), json.dumps(one)):
            assert form not in everywhere
            assert form not in said
    assert to not in log + shown + said
    assert content not in log  # the provider's words are the caller's, who knows the content


HIDDEN = {"address", "configuration", "variables", "record", "updated_token", "secret", "password"}
SHOWN = {
    "adapters.smtp_options.ReturnPath.address",  # our own
}


def classes():
    """The data classes of the house, but for the doubles, which have made-up things only."""
    for package in (adapters, worker):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__") or ".doubles" in found.name:
                continue
            module = importlib.import_module(found.name)
            for one in vars(module).values():
                here = isinstance(one, type) and one.__module__ == module.__name__
                if here and dataclasses.is_dataclass(one):
                    yield one


def structs():
    """Those of the house's structs that are no shapes of the wire."""
    for name, module in list(sys.modules.items()):
        if name.startswith("worker.") and not name.startswith("worker.wire"):
            for one in vars(module).values():
                here = isinstance(one, type) and one.__module__ == name
                if here and issubclass(one, msgspec.Struct):
                    yield one


def test_no_struct_shows_whom_a_message_is_for():
    list(classes())  # which imports them all
    found = {one for one in structs() if HIDDEN & set(one.__struct_fields__)}
    assert {plan.Recipient, store.Recipient} <= found
    assert [one for one in found if one.__repr__ is msgspec.Struct.__repr__] == []
    shown = (
        plan.Recipient(
            address="+14255550199",
            configuration=wire.EndpointSendConfiguration(BodyOverride="s3cr3t"),
            channel=ChannelType.SMS,
            variables={"Address": "+14255550199"},
        ),
        store.Recipient(
            id=UUID(int=1),
            position=0,
            channel_type="SMS",
            address="+14255550199",
            queue="",
            ring_in=0.0,
            configuration="s3cr3t",
        ),
    )
    assert "4255550199" not in repr(shown)
    assert "s3cr3t" not in repr(shown)


def test_no_data_class_shows_whom_a_message_is_for_or_what_it_says():
    """A repr is what ends in a log or a traceback when nobody thinks of it."""
    showing = {
        f"{one.__module__}.{one.__name__}.{field.name}"
        for one in classes()
        for field in dataclasses.fields(one)
        if field.repr and (field.name in HIDDEN or (field.name == "body" and field.type == "str"))
    }
    assert showing <= SHOWN
    delivery = Delivery(
        id="1",
        application_id="a",
        request_id="r",
        channel=ChannelType.SMS,
        address="+14255550199",
        message=Sms(body="s3cr3t"),
    )
    assert repr(delivery).startswith("Delivery(id='1', application_id='a'")
    assert "4255550199" not in repr(delivery)
    assert "s3cr3t" not in repr(delivery)


def test_settings_show_no_secret():
    key = vault.new_key()
    settings = settings_.Settings(
        database_url="postgresql://u:s3cr3t@db/x",
        broker_url="rediss://:s3cr3t@redis/0",
        secret_keys=key,
        events="redis://:s3cr3t@redis/1",
        events_secret="whsec_" + base64.b64encode(b"s3cr3t" * 5).decode(),
    )
    shown = f"{settings!r} {settings}"
    assert "port=8321" in shown
    for secret in ("s3cr3t", key.partition(":")[2], settings.events_secret):
        assert secret not in shown
