"""The pool of connections to APNs, and how long a connection lives."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from adapters.apns_credentials import ProviderToken, tls_context
from adapters.apns_pool import Pool
from adapters.doubles.apns import Answer, ApnsDouble
from adapters.http2 import Limits, NoAnswer
from adapters.http2_pool import NotReached
from tests.adapters.test_apns import P8
from tests.adapters.test_apns_http2 import GOOD, push, send, until


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
    return asyncio.ensure_future(send(pool, request(device)))


def start_of(pool, size):
    return asyncio.ensure_future(send(pool, request(size=size)))


def test_a_provider_that_does_not_answer_a_ping_is_left():
    async def scene(pool, double):
        await send(pool, request())
        double.standing = Answer(silent=True)
        sent = start(pool)
        await double.received(2)
        double.freeze()
        with pytest.raises(NoAnswer, match="lost"):
            await sent
        double.standing = Answer()
        return (await send(pool, request())).code, double.accepted

    assert play(scene, limits=Limits(quiet=0.05, patience=0.3)) == (200, 2)


def test_a_connection_on_which_a_send_heard_nothing_gets_no_other():
    async def scene(pool, double):
        await send(pool, request())
        double.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await send(pool, request())
        return (await send(pool, request())).code, double.accepted

    assert play(scene, limits=Limits(deaf=0.0)) == (200, 2)


def test_an_idle_connection_is_pinged_and_kept():
    async def scene(pool, double):
        await send(pool, request())
        await until(lambda: double.pings)
        return (await send(pool, request())).code, double.accepted

    assert play(scene, limits=Limits(quiet=0.01)) == (200, 1)


def test_a_connection_is_replaced_when_it_is_old():
    async def scene(pool, double):
        await send(pool, request())
        (old,) = pool._pool._connections or (None,)
        if old is not None:
            await old.gone
        return (await send(pool, request())).code, double.accepted

    assert play(scene, limits=Limits(age=0.05)) == (200, 2)


def test_a_connection_that_retires_stays_until_its_last_answer_is_in():
    async def scene(pool, double):
        await send(pool, request())
        (old,) = pool._pool._connections
        go = asyncio.Event()
        double.script("cafe", Answer(after=go))
        sent = start(pool, "cafe")
        await double.received(2)
        old.retire()
        assert (await send(pool, request())).code == 200
        assert not old.gone.done()
        go.set()
        assert (await sent).code == 200
        await old.gone
        return [each.connection for each in double.requests]

    assert play(scene) == [0, 0, 1]


def test_sends_wait_in_line():
    async def scene(pool, double):
        await send(pool, request())
        go = asyncio.Event()
        double.standing = Answer(after=go)
        names = [f"{number:04x}" for number in range(50)]
        sends = [start(pool, name) for name in names]
        await double.received(3)
        go.set()
        await asyncio.gather(*sends)
        return [each.token for each in double.requests[1:]] == names

    assert play(scene, streams=2)


def test_a_wait_that_is_cancelled_when_its_turn_has_come_gives_it_to_the_next():
    async def scene(pool, double):
        go = asyncio.Event()
        double.script("aaaa", Answer(after=go))
        first, second, third = start(pool, "aaaa"), start(pool, "bbbb"), start(pool, "cccc")
        await double.received(1)
        call = pool._pool._call

        def call_and_cancel():
            call()
            second.cancel()

        pool._pool._call = call_and_cancel
        go.set()
        ends = await asyncio.gather(first, second, third, return_exceptions=True)
        assert isinstance(ends[1], asyncio.CancelledError)
        assert (ends[0].code, ends[2].code) == (200, 200)
        return [each.token for each in double.requests]

    assert play(scene, streams=1) == ["aaaa", "cccc"]


def test_a_wait_that_is_cancelled_costs_nobody_his_turn():
    async def scene(pool, double):
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [start(pool) for _ in range(4)]
        await double.received(1)
        sends[1].cancel()
        sends[2].cancel()
        go.set()
        await asyncio.wait(sends)
        return [send.cancelled() for send in sends]

    assert play(scene, streams=1) == [False, True, True, False]


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
        await send(pool, request())
        go = asyncio.Event()
        double.standing = Answer(after=go)
        sends = [start(pool) for _ in range(10)]
        await double.received(4)
        (connection,) = pool._pool._connections
        assert connection.free == 0
        go.set()
        await asyncio.gather(*sends)
        return connection.free

    assert play(scene, limits=Limits(streams=3)) == 3


def test_all_who_wait_for_a_connection_hear_that_there_is_none():
    async def scene(pool, double):
        await double.stop()
        sends = await asyncio.gather(
            *(send(pool, request()) for _ in range(20)), return_exceptions=True
        )
        return {type(error) for error in sends}, {type(error.__cause__) for error in sends}

    assert play(scene) == ({NotReached}, {ConnectionRefusedError})


def test_a_connection_that_is_lost_before_its_settings_is_no_connection():
    async def scene(pool, double):
        double.cork()
        sent = start(pool)
        await until(lambda: double.connections)
        double.connections[0].hang_up()
        with pytest.raises(NotReached):
            await sent

    play(scene)


def test_settings_that_do_not_come_in_time_are_no_connection():
    async def scene(pool, double):
        double.cork()
        with pytest.raises(NotReached) as caught:
            await send(pool, request())
        await until(lambda: not double.connections)  # it is not left open either
        return type(caught.value.__cause__)

    assert play(scene, limits=Limits(connect=0.2)) is TimeoutError


def test_a_name_that_is_none_is_no_connection():
    async def scene():
        limits = Limits()
        tls = ssl.create_default_context()
        pool = Pool("x" * 70 + ".example", 443, tls, None, connections=1, limits=limits)
        with pytest.raises(NotReached) as caught:
            await send(pool, request())
        return type(caught.value.__cause__)

    # This loop and no other: it finds out before anybody is asked.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert issubclass(runner.run(scene()), ValueError)


def test_closing_gives_everyone_an_end():
    async def scene(pool, double):
        await send(pool, request())
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
        sent = start(pool)
        await until(lambda: double.connections)
        await pool.aclose()
        with pytest.raises(NotReached):
            await sent

    play(scene)


def test_an_answer_without_its_end_is_an_answer():
    async def scene(pool, double):
        await send(pool, request())
        double.script("dead", Answer(status=410, unfinished=True))
        return (await send(pool, request("dead"))).code

    assert play(scene) == 410


def test_an_answer_may_come_before_the_whole_request_has_left():
    async def scene(pool, double):
        await send(pool, request())
        double.withhold_credit()
        double.script("dead", Answer(status=413, reason="PayloadTooLarge", early=True))
        early = await send(pool, request("dead", size=70_000))
        double.give_credit()
        await until(lambda: double.cancelled)  # the rest of it is not sent
        return early.code, (await send(pool, request())).code, double.accepted

    assert play(scene) == (413, 200, 1)


def test_what_is_not_http2_ends_the_connection():
    async def scene(pool, double):
        await send(pool, request())
        data_on_stream_0 = b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x"
        double.script("dead", Answer(raw=data_on_stream_0))
        with pytest.raises(NoAnswer, match="not HTTP/2"):
            await send(pool, request("dead"))
        return (await send(pool, request())).code, double.accepted

    assert play(scene) == (200, 2)


def test_a_connection_whose_stream_numbers_have_run_out_is_replaced():
    async def scene(pool, double):
        await send(pool, request())
        (old,) = pool._pool._connections
        old._next = 2**31 + 1
        assert (await send(pool, request())).code == 200
        return old.draining, double.accepted

    assert play(scene) == (True, 2)


def test_a_body_in_parts_goes_on_after_goaway():
    async def scene(pool, double):
        await send(pool, request())
        double.withhold_credit()
        sent = start_of(pool, 70_000)
        await until(lambda: double.connections[0]._open)
        double.goaway()
        await until(lambda: not pool._pool._connections)
        double.give_credit()
        return (await sent).description, [len(each.body) for each in double.requests]

    assert play(scene) == ("PayloadTooLarge", [20, 70_000])


def test_a_request_of_which_nothing_was_written_is_sent_again():
    async def scene(pool, double):
        await send(pool, request())
        (connection,) = pool._pool._connections
        sent = start(pool)
        await asyncio.sleep(0)  # the stream is open, and the next turn would write
        assert connection.free < Limits().streams
        connection.transport.abort()
        return (await sent).code, len(double.requests)

    assert play(scene) == (200, 2)


def test_those_who_wait_are_served_by_what_there_is_if_no_more_can_be_had():
    async def scene(pool, double):
        await send(pool, request())
        double._server.close()
        sends = [start(pool) for _ in range(5)]
        await asyncio.wait(sends)
        return [send.result().code for send in sends], double.accepted

    assert play(scene, connections=2, streams=1) == ([200] * 5, 1)
