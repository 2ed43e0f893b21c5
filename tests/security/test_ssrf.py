"""Nobody who can set a URL has Sendpoint connect to where they could not: the check is on the
address of the socket, whatever the name said when it was looked up, and nothing is redirected."""

import asyncio
import json
import socket

import pytest
from aiohttp import web

from adapters.contract import ChannelType, Delivery, DeliveryStatus
from adapters.doubles import stage
from adapters.fcm import Fcm
from adapters.messages import Custom
from adapters.webhook import Webhook
from tests.adapters.test_fcm import key_file
from tests.http.test_events import KINESIS, ROLE
from worker import sinks

METADATA = ("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]")
PRIVATE = ("10.0.0.1", "192.168.0.1", "[fd00::1]", "127.0.0.2", "0.0.0.0", "[::]", "2130706434")
STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
EVENT = Delivery(
    id="1",
    application_id="a",
    request_id="r",
    channel=ChannelType.CUSTOM,
    address="x",
    message=Custom(data={}),
    timeout=5.0,
)


class Internal:
    """A server that nobody must reach, and how often somebody did; or one that answers so."""

    def __init__(self, status=200, location=""):
        self.asked = 0
        self._said = (status, {"Location": location} if location else {})
        self.server = stage.Server(self._answer)

    async def _answer(self, request):
        self.asked += 1
        status, headers = self._said
        return web.Response(status=status, headers=headers)

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        await self.server.stop()

    @property
    def port(self):
        return int(self.server.url.rpartition(":")[2])


async def sent(**settings):
    adapter = Webhook(**settings)
    try:
        return await adapter.send(EVENT)
    finally:
        await adapter.aclose()


@pytest.fixture
def connects(monkeypatch):
    """The addresses that anybody begins to connect to; beyond loopback it gets nowhere."""
    tried = []
    original = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def sock_connect(loop, sock, address):
        tried.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        return await original(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", sock_connect)
    return tried


@pytest.fixture
def names(monkeypatch):
    """What the name `rebind.example` is found at, by turns; the last one again and again."""
    turns = []
    original = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host != "rebind.example":
            return original(host, port, *args, **kwargs)
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return turns


@pytest.mark.parametrize("host", [*METADATA, *PRIVATE])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_webhook_reaches_no_machine_behind_the_walls(host, scheme, connects):
    allowed = ["127.0.0.1/32"] if scheme == "http" else []
    outcome = asyncio.run(sent(url=f"{scheme}://{host}/latest/meta-data", allow_private=allowed))
    assert outcome.status in {DeliveryStatus.PERMANENT_FAILURE, DeliveryStatus.TEMPORARY_FAILURE}
    assert connects == []


def test_a_name_that_is_rebound_is_refused_when_it_is(names, connects):
    """First it is at an address that is allowed, then at one that is not."""

    async def scene():
        async with Internal() as receiver:
            names[:] = [["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1", "127.0.0.2"]]
            settings = {
                "url": f"http://rebind.example:{receiver.port}/",
                "allow_private": ["127.0.0.1/32"],
            }
            return [await sent(**settings) for _ in range(3)]

    good, *bad = asyncio.run(scene())
    assert good.status is DeliveryStatus.SUCCESSFUL
    for outcome in bad:
        assert (outcome.status, outcome.status_code) == (DeliveryStatus.PERMANENT_FAILURE, 403)
    assert set(connects) == {"127.0.0.1"}


def test_of_a_names_addresses_only_those_allowed_are_connected_to(names, connects):
    async def scene():
        async with Internal() as receiver:
            names[:] = [["169.254.169.254", "127.0.0.1", "10.0.0.1"]]
            url = f"http://rebind.example:{receiver.port}/"
            return await sent(url=url, allow_private=["127.0.0.1/32"])

    asyncio.run(scene())
    assert set(connects) <= {"127.0.0.1"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("what", ["webhook", "events"])
def test_nothing_is_redirected(status, what):
    async def scene():
        async with Internal() as internal, Internal(status, internal.server.url) as outside:
            url = f"{outside.server.url}/"
            if what == "webhook":
                await sent(url=url, allow_private=["127.0.0.1/32"])
            else:
                sink = sinks.build(url, "")
                try:
                    with pytest.raises(sinks.NotTaken):
                        await sink.put(STREAM, [])
                finally:
                    await sink.aclose()
            return outside.asked, internal.asked

    assert asyncio.run(scene()) == (1, 0)


# An operator may mean a private network of IPv6, which fd00:ec2::254 is in.
@pytest.mark.parametrize("host", [one for one in METADATA if "fd00" not in one])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_events_are_not_posted_to_a_clouds_metadata(host, scheme, connects):
    """The operator sets the URL, and may mean a private network: but never this."""

    async def scene():
        sink = sinks.build(f"{scheme}://{host}/", "")
        try:
            with pytest.raises(sinks.NotTaken):
                await sink.put(STREAM, [])
        finally:
            await sink.aclose()

    asyncio.run(scene())
    assert connects == []


@pytest.mark.parametrize("host", [*METADATA, *PRIVATE, "example.org"])
def test_a_tenants_key_file_names_no_door_to_knock_at(guarded, issue, host):
    """The one URL that an access key can have us post to: where Google gives access tokens."""
    file = json.dumps(key_file(token_uri=f"https://{host}/token"))
    path = f"/v1/apps/{guarded.application}/channels/gcm"
    key = {"Authorization": f"Bearer {issue('ann', applications=[guarded.application]).token}"}
    answer = guarded.request("PUT", path, json.dumps({"ServiceJson": file}), key)
    assert answer.status == 400
    assert host not in answer.json["Message"]
    with pytest.raises(ValueError, match="token_uri"):
        Fcm(service_account=file, base_url="http://127.0.0.1:1")


@pytest.mark.parametrize("name", [".", "..", "../x", "a/../../x", "x/y", "/etc/passwd", "a\0b", ""])
def test_a_streams_name_leads_out_of_no_directory(guarded, issue, name):
    """It becomes a part of the path, if the sink is a file for each stream."""
    arn = KINESIS.replace("pinpoint-events", name)
    body = json.dumps({"DestinationStreamArn": arn, "RoleArn": ROLE})
    key = {"Authorization": f"Bearer {issue('ann').token}"}
    path = f"/v1/apps/{guarded.application}/eventstream"
    assert guarded.request("POST", path, body, key).status == 400
