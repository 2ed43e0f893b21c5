"""What aioapns 4.0 does when a provider is not at its best, and what its hardened form does.

Every test with a `kind` runs on both and says what comes of each: a defect that is fixed upstream
fails its test, and then the remedy can go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import uuid

import aioapns
import pytest
from aioapns.connection import APNsKeyConnectionPool, APNsTLSClientProtocol
from h2.errors import ErrorCodes

from adapters import apns_messages
from adapters.apns_credentials import ProviderToken, tls_context
from adapters.apns_messages import Push
from adapters.apns_pool import Pool
from adapters.doubles.apns import Answer, ApnsDouble
from adapters.http2 import Limits
from tests.adapters.test_apns import P8

APP = "com.example.app"
STOCK, OURS = "stock", "ours"
GOOD = "ab" * 32


def both(stock, ours):
    """The test on each, with what is expected of it."""
    return pytest.mark.parametrize(("kind", "expected"), [(STOCK, stock), (OURS, ours)])


def stock_pool(double, limits):
    class ToDouble(APNsTLSClientProtocol):
        APNS_SERVER, APNS_PORT = double.host, double.port
        INACTIVITY_TIME = limits.quiet

    context = ssl.create_default_context(cafile=double.ca_file)
    context.set_alpn_protocols(["h2"])
    pool = APNsKeyConnectionPool(
        P8, "KEY", "TEAM", APP, max_connections=1, max_connection_attempts=1, ssl_context=context
    )
    pool.protocol_class = ToDouble
    return pool


def our_pool(double, limits):
    token = ProviderToken(P8, "KEY", "TEAM")
    tls = tls_context(double.ca_file)
    return Pool(double.host, double.port, tls, token, connections=1, limits=limits)


class Client:
    """A pool of one connection, aioapns' or our own, that keeps its sends in `tasks`."""

    def __init__(self, kind, double, limits):
        self.kind = kind
        self.tasks = []
        self.pool = (stock_pool if kind == STOCK else our_pool)(double, limits)

    @property
    def connection(self):
        return (self.pool.connections if self.kind == STOCK else self.pool._pool._connections)[0]

    def start(self, device=GOOD, *, size=20, on=None):
        """A send on its way: through the pool, or on this connection."""
        payload = {"a": "x" * (size - 8)}
        if self.kind == STOCK:
            request = aioapns.NotificationRequest(device, payload)
            send = (on or self.pool).send_notification(request)
        else:
            send = self.send_ours(push(device, payload), on)
        task = asyncio.ensure_future(send)
        self.tasks.append(task)
        return task

    async def send_ours(self, request, on):
        if on is None:
            return await send(self.pool, request)
        token = ProviderToken(P8, "KEY", "TEAM").get_header()
        return apns_messages.Answer(await on.request(request.written("double", token), soon()))

    async def result(self, device=GOOD, *, on=None):
        task = self.start(device, on=on)
        await asyncio.wait([task])
        return came_to(task)

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.kind == OURS:
            await self.pool.aclose()
        else:
            for connection in list(self.pool.connections):
                connection.transport.abort()


def soon():
    return asyncio.get_running_loop().time() + 30


async def send(pool, request):
    return await pool.send(request, soon())


def push(device, payload):
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Push(
        device, body, notification_id=str(uuid.uuid4()), topic=APP, push_type="alert", priority=10
    )


def came_to(task):
    if not task.done():
        return "nothing"
    if task.cancelled():
        return "cancelled"
    if error := task.exception():
        return type(error).__name__
    return task.result().status


def play(kind, scene, *, warm=True, limits=None, **double):
    async def go():
        async with ApnsDouble(**double) as provider:
            client = Client(kind, provider, limits or Limits())
            try:
                if warm:  # the settings have come, the token is proven
                    assert await client.result() == "200"
                return await scene(client, provider)
            finally:
                await client.leave()

    return asyncio.run(go())


async def until(condition):
    while not condition():  # noqa: ASYNC110  # it is aioapns' state too, which tells nobody
        await asyncio.sleep(0.001)


@both(stock="nothing", ours="410")
def test_errors_use_up_no_window(kind, expected):
    async def scene(client, double):
        # 65 535 bytes are 1 285 answers of 51 bytes, or these five.
        gone = Answer(status=410, body=b'{"reason":"Unregistered"}'.ljust(13_107))
        double.script("dead", *[gone] * 6)
        for _ in range(5):
            assert await client.result("dead") == "410"
        sixth = client.start("dead")
        assert await client.result() == "200"
        return came_to(sixth)

    assert play(kind, scene) == expected


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (STOCK, ErrorCodes.INTERNAL_ERROR, "nothing"),
        (OURS, ErrorCodes.INTERNAL_ERROR, "NoAnswer"),
        (OURS, ErrorCodes.REFUSED_STREAM, "NotProcessed"),
    ],
)
def test_a_reset_stream_ends_its_send(kind, code, expected):
    async def scene(client, double):
        double.script("cafe", Answer(reset=code))
        send = client.start("cafe", on=client.connection)
        assert await client.result() == "200"
        return came_to(send)

    assert play(kind, scene) == expected


@both(stock=["200"] + ["nothing"] * 9, ours=["200"] * 10)
def test_a_token_is_proven_by_one_stream_before_there_are_more(kind, expected):
    async def scene(client, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [client.start() for _ in range(10)]
        await until(lambda: double.refused == 9 or (kind == OURS and double.requests))
        go.set()
        assert await client.result() == "200"
        return sorted(came_to(send) for send in sends)

    assert play(kind, scene, warm=False, one_stream=True) == expected


@both(stock=(5, 15), ours=(20, 0))
def test_a_cold_burst_waits_for_the_settings(kind, expected):
    async def scene(client, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        double.cork()
        sends = [client.start() for _ in range(20)]
        await until(lambda: double.accepted and (kind == OURS or double.refused == 15))
        double.uncork()
        go.set()
        # The resets were written before the answers, so whoever has none now gets none.
        await until(lambda: sum(send.done() for send in sends) == expected[0])
        return sum(came_to(send) == "200" for send in sends), double.refused

    assert play(kind, scene, warm=False, streams=5) == expected


@both(stock={"200", "FlowControlError"}, ours={"200"})
def test_a_full_window_makes_sends_wait(kind, expected):
    async def scene(client, double):
        double.withhold_credit()
        sends = [client.start(size=2000, on=client.connection) for _ in range(40)]
        await double.received(1 + 65_000 // 2000)
        double.give_credit()
        await asyncio.wait(sends)
        return {came_to(send) for send in sends}

    assert play(kind, scene) == expected


@pytest.mark.parametrize("window", [1, 100, 1999])
def test_a_body_goes_out_in_parts_if_the_stream_has_a_small_window(window):
    async def scene(client, double):
        sends = [client.start(size=2000) for _ in range(3)]
        await asyncio.wait(sends)
        return [came_to(send) for send in sends], [len(each.body) for each in double.requests]

    results, sizes = play(OURS, scene, window=window)
    assert results == ["200"] * 3
    assert sizes == [20, 2000, 2000, 2000]


@both(stock={"ConnectionClosed"}, ours={"200"})
@pytest.mark.parametrize("together", [True, False])
def test_what_was_accepted_before_goaway_is_answered_after(kind, expected, together):
    async def scene(client, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        connection = client.connection
        sends = [client.start(on=connection) for _ in range(20)]
        await double.received(21)
        if together:  # GOAWAY and the answers arrive in one piece
            double.cork()
            double.goaway()
            go.set()
            await until(lambda: not double.tasks)
            double.uncork()
        else:
            double.goaway()
            await until(lambda: connection.draining if kind == OURS else sends[0].done())
            go.set()
        await asyncio.wait(sends)
        assert len(double.requests) == 21
        return {came_to(send) for send in sends}

    assert play(kind, scene) == expected


@both(stock="ProtocolError", ours="200")
def test_a_pool_does_not_offer_a_connection_that_is_ending(kind, expected):
    async def scene(client, double):
        send = client.start("cafe")
        double.script("cafe", Answer(silent=True))
        await double.received(2)
        double.freeze()  # the provider keeps TCP open and TLS's farewell waiting
        connection = client.connection
        double.goaway()
        await until(lambda: kind == OURS or connection.conn.state_machine.state.name == "CLOSED")
        return await client.result(), send and None

    assert play(kind, scene)[0] == expected


@both(stock="ConnectionClosed", ours="200")
def test_a_slow_answer_is_waited_for(kind, expected):
    async def scene(client, double):
        go = asyncio.Event()
        double.script("cafe", Answer(after=go))
        send = client.start("cafe", on=client.connection)
        await until(lambda: send.done() or double.pings)
        go.set()
        await asyncio.wait([send])
        return came_to(send)

    assert play(kind, scene, limits=Limits(quiet=0.3, parting=0.1)) == expected


@both(stock=False, ours=True)
def test_a_cancelled_send_leaves_its_neighbours_alone(kind, expected, caplog):
    async def scene(client, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        connection = client.connection
        sends = [client.start(on=connection) for _ in range(6)]
        await double.received(7)
        sends[0].cancel()
        await asyncio.wait(sends[:1])
        if kind == OURS:
            await until(lambda: double.cancelled == 1)
        go.set()
        await until(lambda: connection.transport.is_closing() or all(s.done() for s in sends))
        return [came_to(send) for send in sends[1:]] == ["200"] * 5

    assert play(kind, scene) is expected


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (STOCK, Answer(status=410, body=b""), "nothing"),
        (OURS, Answer(status=410, body=b""), "410"),
        (STOCK, Answer(status=400, reason="BadMessageId", echo_id=False), "nothing"),
        (OURS, Answer(status=400, reason="BadMessageId", echo_id=False), "400"),
        (STOCK, Answer(status=502, body=b"<html>"), "ConnectionClosed"),
        (OURS, Answer(status=502, body=b"<html>"), "502"),
    ],
    ids=["stock-bare", "ours-bare", "stock-no id", "ours-no id", "stock-HTML", "ours-HTML"],
)
def test_an_error_in_another_shape_is_an_answer(kind, answer, expected):
    async def scene(client, double):
        double.script("cafe", answer)
        connection = client.connection
        send = client.start("cafe", on=connection)
        if expected == "nothing":
            good = client.start(on=connection)
            await until(lambda: good.done() or connection.transport.is_closing())
        else:
            await asyncio.wait([send])
        return came_to(send)

    assert play(kind, scene) == expected


@both(stock=False, ours=True)
def test_nothing_is_kept_of_what_is_done(kind, expected):
    async def scene(client, double):
        for _ in range(50):
            assert await client.result() == "200"
        kept = [value for value in vars(client.connection).values() if isinstance(value, dict)]
        return max(len(each) for each in kept) < 50

    assert play(kind, scene) is expected


@both(stock=20, ours=0)
def test_waiting_for_a_stream_is_silent(kind, expected, caplog):
    async def scene(client, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [client.start() for _ in range(21)]
        await double.received(2)
        go.set()
        await asyncio.wait(sends)
        assert {came_to(send) for send in sends} == {"200"}
        return sum("busy" in record.message for record in caplog.records)

    with caplog.at_level(logging.DEBUG):
        assert play(kind, scene, streams=1) == expected
