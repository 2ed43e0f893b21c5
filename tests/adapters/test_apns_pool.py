"""The pool of connections to APNs, and how long a connection lives."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from adapters.apns_credentials import ProviderToken, tls_context
from adapters.apns_frames import Limits, NoAnswer, NotProcessed
from adapters.apns_pool import NotReached, Pool
from adapters.doubles.apns import Answer, ApnsDouble
from tests.adapters.test_apns import P8
from tests.adapters.test_apns_http2 import GOOD, push, until


def play(scene, *, connections=1, limits=None, **double):
    async def go():
        async with ApnsDouble(**double) as provider:
            pool = Pool(
                provider.host,
                provider.port,
                tls_context(provider.ca_file),
                ProviderToken(P8, "KEY", "TEAM"),
                connections=connections,
                limits=limits or Limits(),
            )
            try:
                return await scene(pool, provider)
            finally:
                await pool.aclose()

    return asyncio.run(go())


def request(device=GOOD, size=20):
    return push(device, {"a": "x" * (size - 8)})


def start(pool, device=GOOD):
    return asyncio.ensure_future(pool.send(request(device)))


def test_a_provider_that_does_not_answer_a_ping_is_left():
    async def scene(pool, double):
        await pool.send(request())
        double.standing = Answer(silent=True)
        send = start(pool)
        await double.received(2)
        double.freeze()
        with pytest.raises(NoAnswer, match="lost"):
            await send
        double.standing = Answer()
        return (await pool.send(request())).code, double.accepted

    assert play(scene, limits=Limits(quiet=0.05, patience=0.05)) == (200, 2)


def test_an_idle_connection_is_pinged_and_kept():
    async def scene(pool, double):
        await pool.send(request())
        await until(lambda: double.pings)
        return (await pool.send(request())).code, double.accepted

    assert play(scene, limits=Limits(quiet=0.01)) == (200, 1)


def test_an_old_connection_is_replaced_when_its_last_answer_is_in():
    async def scene(pool, double):
        go = asyncio.Event()
        await pool.send(request())
        (old,) = pool._connections
        double.script("cafe", Answer(after=go))
        send = start(pool, "cafe")
        await until(lambda: old.draining)
        assert (await pool.send(request())).code == 200
        assert not old.gone.done()
        go.set()
        assert (await send).code == 200
        await old.gone
        return [each.connection for each in double.requests]

    assert play(scene, limits=Limits(age=0.3)) == [0, 0, 1]


def test_sends_wait_in_line():
    async def scene(pool, double):
        await pool.send(request())
        go = asyncio.Event()
        double.standing = Answer(after=go)
        names = [f"{number:04x}" for number in range(50)]
        sends = [start(pool, name) for name in names]
        await double.received(3)
        go.set()
        await asyncio.gather(*sends)
        return [each.token for each in double.requests[1:]] == names

    assert play(scene, streams=2)


def test_a_cancelled_wait_gives_its_turn_to_the_next():
    async def scene(pool, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        first, second, third = start(pool), start(pool), start(pool)
        await double.received(1)
        go.set()
        await first  # which calls the second
        second.cancel()
        assert (await third).code == 200
        return len(double.requests)

    assert play(scene, streams=1) in {2, 3}


def test_a_second_connection_is_opened_when_the_first_is_full_and_no_third():
    async def scene(pool, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [start(pool) for _ in range(5)]
        await double.received(2)
        go.set()
        await asyncio.gather(*sends)
        return double.accepted

    assert play(scene, connections=2, streams=1) == 2


def test_the_streams_in_flight_are_bounded_on_our_side_too():
    async def scene(pool, double):
        await pool.send(request())
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [start(pool) for _ in range(10)]
        await double.received(4)
        (connection,) = pool._connections
        assert connection.free == 0
        go.set()
        await asyncio.gather(*sends)
        return connection.free

    assert play(scene, limits=Limits(streams=3)) == 3


def test_all_who_wait_for_a_connection_hear_that_there_is_none():
    async def scene(pool, double):
        await double.stop()
        sends = await asyncio.gather(
            *(pool.send(request()) for _ in range(20)), return_exceptions=True
        )
        return {type(error) for error in sends}, {type(error.__cause__) for error in sends}

    assert play(scene) == ({NotReached}, {ConnectionRefusedError})


def test_a_connection_that_is_lost_before_its_settings_is_no_connection():
    async def scene(pool, double):
        double.cork()
        send = start(pool)
        await until(lambda: double.connections)
        double.connections[0].hang_up()
        with pytest.raises(NotReached):
            await send

    play(scene)


def test_settings_that_do_not_come_in_time_are_no_connection():
    async def scene(pool, double):
        double.cork()
        with pytest.raises(NotReached) as caught:
            await pool.send(request())
        return type(caught.value.__cause__)

    assert play(scene, limits=Limits(connect=0.2)) is TimeoutError


def test_a_name_that_is_none_is_no_connection():
    async def scene():
        pool = Pool("x" * 70 + ".example", 443, ssl.create_default_context(), None,
                    connections=1, limits=Limits())  # fmt: skip
        with pytest.raises(NotReached):
            await pool.send(request())

    asyncio.run(scene())


def test_closing_gives_everyone_an_end():
    async def scene(pool, double):
        await pool.send(request())
        double.standing = Answer(silent=True)
        sent, waiting = start(pool), start(pool)
        await double.received(2)
        await pool.aclose()
        ends = await asyncio.gather(sent, waiting, return_exceptions=True)
        assert not double.connections or await until(lambda: not double.connections) is None
        return [type(end) for end in ends]

    assert play(scene, streams=1) == [NoAnswer, NotReached]


def test_closing_does_not_wait_for_a_connection_that_is_opening():
    async def scene(pool, double):
        double.cork()
        send = start(pool)
        await until(lambda: double.connections)
        await pool.aclose()
        with pytest.raises(NotReached):
            await send

    play(scene)
