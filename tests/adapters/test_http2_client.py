"""FCM over HTTP/2, and over HTTP/1.1 where a server speaks nothing newer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import aiohttp
import pytest

from adapters import http2_client
from adapters.contract import DeliveryStatus, Fault
from adapters.doubles import apns_tls
from adapters.doubles.fcm import FcmDouble, error
from adapters.doubles.stage import Answer as Does
from tests.adapters.http2_front import Front
from tests.adapters.peers import closing
from tests.adapters.test_fcm import TOKEN, adapter_of, delivery


@pytest.fixture
def authority(tmp_path, monkeypatch):
    found = apns_tls.Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.ca_file))
    http2_client._tls.cache_clear()
    # aiohttp reads the authorities when it is imported.
    context = ssl.create_default_context()
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)
    yield found
    http2_client._tls.cache_clear()


def play(authority, scene, **front):
    async def go():
        async with FcmDouble() as double, Front(authority, double.url, **front) as before:
            account = {**double.service_account, "token_uri": f"{before.url}/token"}
            adapter = adapter_of(double, service_account=account, base_url=before.url)
            async with closing(adapter):
                return await scene(adapter, double, before)

    return asyncio.run(go())


def test_many_sends_share_one_connection(authority):
    async def scene(adapter, double, front):
        outcomes = await asyncio.gather(*[adapter.send(delivery()) for _ in range(100)])
        assert len({outcome.message_id for outcome in outcomes}) == 100
        return len(front.connections), len(double.messages), double.asked

    assert play(authority, scene) == (1, 100, 1)


def test_a_second_connection_is_opened_when_the_first_has_no_stream_left(authority):
    async def scene(adapter, double, front):
        go = asyncio.Event()
        await adapter.send(delivery())
        double.script.standing = Does(after=go)
        sends = [asyncio.ensure_future(adapter.send(delivery())) for _ in range(6)]
        while len(double.messages) < 7:
            double.reached.clear()
            await double.reached.wait()
        go.set()
        await asyncio.gather(*sends)
        return len(front.connections)

    assert play(authority, scene, streams=3) == 2


def test_a_refusal_is_read_with_its_headers(authority):
    async def scene(adapter, double, front):
        refusal = error(429, "RESOURCE_EXHAUSTED", "x", code="QUOTA_EXCEEDED", retry_after="17")
        double.script.say(TOKEN, refusal)
        outcome = await adapter.send(delivery())
        return outcome.status, outcome.retry_after

    assert play(authority, scene) == (DeliveryStatus.THROTTLED, 17.0)


def test_the_request_is_the_one_that_firebase_describes(authority):
    async def scene(adapter, double, front):
        await adapter.send(delivery())
        (_, sent) = front.requests
        return sent

    sent = play(authority, scene)
    assert sent["authorization"].startswith("Bearer ya29.")
    assert sent[":path"] == "/v1/projects/double/messages:send"


def test_a_send_without_an_answer_is_indeterminate(authority):
    async def scene(adapter, double, front):
        await adapter.send(delivery())
        double.script.say(TOKEN, Does(raw=b""))
        reset = await adapter.send(delivery())
        double.script.say(TOKEN, Does(after=asyncio.Event()))
        late = await adapter.send(delivery(timeout=0.2))
        after = await adapter.send(delivery())
        return reset, late, after

    reset, late, after = play(authority, scene)
    texts = "FCM reset the stream", "FCM did not answer: TimeoutError"
    assert (reset.status_message, late.status_message) == texts
    assert reset.indeterminate
    assert late.indeterminate
    assert after.status is DeliveryStatus.SUCCESSFUL


def test_who_is_not_there_was_not_reached(authority):
    async def scene(adapter, double, front):
        front.server.close()
        return await adapter.send(delivery())

    outcome = play(authority, scene)
    assert (outcome.status, outcome.fault) == (DeliveryStatus.TEMPORARY_FAILURE, Fault.PROVIDER)
    assert not outcome.indeterminate


def test_a_server_without_http2_is_sent_http1(authority):
    async def scene():
        async with FcmDouble() as double:
            listening = await _tls_before(authority, double.url)
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            account = {**double.service_account, "token_uri": f"{url}/token"}
            adapter = adapter_of(double, service_account=account, base_url=url)
            async with closing(adapter):
                sends = [adapter.send(delivery()) for _ in range(5)]
                outcomes = await asyncio.gather(*sends)
            listening.close()
            return {outcome.status for outcome in outcomes}, len(double.messages)

    assert asyncio.run(scene()) == ({DeliveryStatus.SUCCESSFUL}, 5)


async def _tls_before(authority, url):
    """A server that ends TLS and offers no HTTP/2."""
    context = authority.server_context(ask_for_certificate=False)
    context.set_alpn_protocols(["http/1.1"])
    port = int(url.rpartition(":")[2])

    async def pipe(reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        behind, onward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, onward), pipe(behind, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


def test_an_address_that_says_nothing_costs_no_more_than_a_moment(authority, monkeypatch):
    """As IPv6's does where that is half there."""

    async def scene(adapter, double, front):
        loop = asyncio.get_running_loop()
        (there,) = await loop.getaddrinfo(
            "127.0.0.1", front.server.sockets[0].getsockname()[1], type=socket.SOCK_STREAM
        )
        with contextlib.ExitStack() as stack:
            deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(3):  # who comes after them is not answered
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(deaf.getsockname())

            async def both(*_, **__):
                return [(*there[:4], deaf.getsockname()), there]

            monkeypatch.setattr(loop, "getaddrinfo", both)
            return (await adapter.send(delivery(timeout=10.0))).status

    assert play(authority, scene, name="localhost") is DeliveryStatus.SUCCESSFUL
