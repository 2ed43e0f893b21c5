"""What a caller writes stays what it is: it starts no header, no second request, no recipient, and
is read as no template."""

import asyncio
import re

import pytest

from adapters.adm import Adm
from adapters.baidu import Baidu
from adapters.contract import ChannelType, Delivery
from adapters.doubles import fcm as fcm_double
from adapters.fcm import Fcm
from adapters.messages import AdmPush, BaiduPush, Custom, FcmPush, Sms, Voice
from adapters.twilio_sms import TwilioSms
from adapters.twilio_voice import TwilioVoice
from adapters.webhook import Webhook
from tests.worker.test_handlebars_bounds import filled
from worker.render import Unrenderable
from worker.render.substitute import Fill
from worker.render.variables import Variables

SID = "AC" + 32 * "d"
HOSTILE = [
    "x\r\nEvil: 1",
    "x HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /evil HTTP/1.1",
    "../../../evil?evil=1#evil",
    "/evil",
    "//evil.example/evil",
    "%0d%0aEvil:%201",
    "x\nEvil: 1",
    "x\u010d\u010aEvil: 1",  # what a careless encoder makes CR and LF of
    "x\0evil",
    "\u2028evil\x85",
    "@evil.example",
    "x&evil=1",
    '","evil":"1',
    "évil",
    "\ud800evil",
]
# All that an adapter says of itself.
HEADERS = {
    *("host", "content-length", "content-type", "user-agent", "accept", "accept-encoding"),
    *("authorization", "x-amzn-type-version", "x-amzn-accept-type"),
    *("webhook-id", "webhook-timestamp", "webhook-signature", "accept-charset"),
}


class Recorder:
    """A server that keeps the bytes of each connection, and refuses whatever they are."""

    def __init__(self):
        self.connections = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for one in self.connections:
            one.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)  # the transports close in the loop's next turn


class _Connection(asyncio.Protocol):
    def __init__(self, recorder):
        recorder.connections.append(self)
        self.received = bytearray()
        self.answered = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        """What is written after the first request's end is kept too."""
        self.received += data
        if self.answered or not _complete(self.received):
            return
        self.answered = True
        said = b'{"access_token": "t", "expires_in": 3600}'
        token = b" /token " in self.received or b"/auth/O2/token" in self.received
        status = b"200 OK" if token else b"400 Bad Request"
        self.transport.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(said)))
        self.transport.write(b"Connection: close\r\n\r\n" + said)


def _complete(received):
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    return bool(length) and len(body) >= int(length[1])


def adapters(url, text):
    """Each adapter, and a message that says the text wherever it can."""
    account = {**fcm_double.FcmDouble().service_account, "token_uri": f"{url}/token"}
    twilio = {
        "account_sid": SID,
        "auth_token": "t",
        "base_url": url,
        "origination_number": "+14255550100",
    }
    sms = {"sender_id": text, "keyword": text, "media_url": text}
    return {
        ChannelType.ADM: (
            lambda: Adm(client_id="c", client_secret="s", base_url=url),
            AdmPush(data={"a": text}, consolidation_key=text, expires_after=60, md5=text),
        ),
        ChannelType.BAIDU: (
            lambda: Baidu(api_key="k", secret_key="s", base_url=url),
            BaiduPush(message={"description": text, "title": text}),
        ),
        ChannelType.GCM: (
            lambda: Fcm(service_account=account, base_url=url),
            FcmPush(message={"data": {"a": text}, "android": {"collapse_key": text}}),
        ),
        ChannelType.SMS: (lambda: TwilioSms(**twilio), Sms(body=text, **sms)),
        ChannelType.VOICE: (
            lambda: TwilioVoice(**twilio),
            Voice(body=f"</Say><Dial>{text}", language_code=text, voice_id=text),
        ),
        ChannelType.CUSTOM: (
            lambda: Webhook(url=f"{url}/hook", allow_private=["127.0.0.1/32"]),
            Custom(data={"Address": text, text: text}),
        ),
    }


def delivery(channel, address, message):
    return Delivery(
        id="0f8d",
        application_id="a",
        request_id="r",
        channel=channel,
        address=address,
        message=message,
        timeout=10.0,
    )


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("channel", list(adapters("http://127.0.0.1:1", "x")))
def test_one_message_is_one_request_with_our_headers(channel, text):
    async def scene():
        async with Recorder() as recorder:
            make, message = adapters(recorder.url, text)[channel]
            adapter = make()
            try:
                for address in (text, "+14255550199"):
                    outcome = await adapter.send(delivery(channel, address, message))
                    assert outcome.status != "SUCCESSFUL"
            finally:
                await adapter.aclose()
            return [bytes(one.received) for one in recorder.connections]

    for received in asyncio.run(scene()):
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, version = first.split(" ")
        assert (method, version) == ("POST", "HTTP/1.1")
        assert "evil" not in path.replace("%", "\0") or path.startswith("/messaging/registrations/")
        assert path.count("/") <= 5
        assert ".." not in path.split("/")
        fields = [line.partition(": ") for line in lines]
        names = [name.lower() for name, _, _ in fields]
        assert len(names) == len(set(names))
        assert set(names) <= HEADERS
        values = {name.lower(): value for name, _, value in fields}
        assert values["host"].startswith("127.0.0.1")
        assert int(values["content-length"]) == len(body), "something follows the request"
        assert not re.search(r"[\r\n\0]", "".join(lines))


def test_a_voice_that_speaks_markup_dials_nobody():
    """The words of a call go into TwiML."""

    async def scene():
        async with Recorder() as recorder:
            adapter = TwilioVoice(
                account_sid=SID,
                auth_token="t",
                base_url=recorder.url,
                origination_number="+14255550100",
            )
            message = Voice(body='</Say><Dial>+1900</Dial><Say voice="x">&lt;')
            try:
                await adapter.send(delivery(ChannelType.VOICE, "+14255550199", message))
            finally:
                await adapter.aclose()
            (one,) = recorder.connections
            return bytes(one.received)

    received = asyncio.run(scene())
    assert b"Twiml=" in received
    assert b"Dial%26gt%3B%2B1900" in received
    assert b"%3CDial" not in received


@pytest.mark.parametrize(
    "text",
    [
        "{{v.__class__}}",
        "{{v.__class__.__mro__}}",
        "{{__import__}}",
        "{{constructor.constructor}}",
        "{{this.__dict__}}",
        "{{lookup this '__class__'}}",
        "{{v.[__init__]}}",
        "{{@root}}",
        "{{self._TemplateReference__context}}",
        "{% for x in ().__class__ %}{% endfor %}",
        "${7*7}",
        "<%= 7*7 %>",
        "{{7*7}}",
        "{{{v.format}}}",
    ],
)
def test_a_template_sees_nothing_but_its_variables(text):
    try:
        said = filled(text)
    except Unrenderable:
        return
    assert not re.search("class|<built-in|function|object at|49|dict", said.replace(text, ""))


@pytest.mark.parametrize(
    "value", ["{{secret}}", "{{{secret}}}", "{{#each list}}x{{/each}}", "{{> p}}", "\\{{secret}}"]
)
def test_a_variables_value_is_no_template(value):
    fill = Fill(({"v": [value], "secret": ["s3cr3t"], "list": ["1", "2"]},), Variables())
    said = fill.text("{{{v}}} {{v}}")
    assert "s3cr3t" not in said
    assert value in said
