"""Our HTTP/2 against a server that a test plays frame by frame, at its worst."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct

import hpack
import pytest
import uvloop

from adapters import http2, http2_pool
from adapters import http2_frames as frames
from adapters.doubles import apns_tls

REQUEST = frames.block([(b":method", b"POST"), (b":path", b"/x"), (b"x-own", b"1")])
DONE = frames.END_HEADERS | frames.END_STREAM
NO, PROCESSED = http2.NotProcessed, http2.NoAnswer


class Peer:
    """A connection as the server has it. `read` are the frames that came, heads and all; `bodies`
    and `ended` are the streams'."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.read = []
        self.bodies = {}
        self.ended = []
        self.came = asyncio.Event()
        self.decoder = hpack.Decoder()

    def write(self, *octets):
        self.writer.write(b"".join(octets))

    def settings(self, **said):
        keys = {getattr(frames, name.upper()): value for name, value in said.items()}
        self.write(frames.frame(frames.SETTINGS, 0, 0, frames.settings(keys.items())))

    def credit(self, stream, more):
        self.write(frames.frame(frames.WINDOW_UPDATE, 0, stream, struct.pack(">I", more)))

    def answer(self, *streams):
        self.write(*[frames.frame(frames.HEADERS, DONE, stream, b"\x88") for stream in streams])

    def goaway(self, last, code=0, text=b""):
        self.write(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", last, code) + text))

    def reset(self, stream, code):
        self.write(frames.frame(frames.RST_STREAM, 0, stream, struct.pack(">I", code)))

    def of(self, kind):
        return [each for each in self.read if each[0] == kind]

    async def until(self, condition):
        while not condition():
            self.came.clear()
            await self.came.wait()

    async def serve(self):
        await self.reader.readexactly(len(frames.PREFACE))
        while True:
            head = await self.reader.readexactly(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            self.read.append((kind, flags, stream, payload))
            if kind == frames.HEADERS:
                self.decoder.decode(payload)
                self.bodies[stream] = b""
            if kind == frames.DATA:
                self.bodies[stream] += payload
                if flags & frames.END_STREAM:
                    self.ended.append(stream)
            self.came.set()


class Server:
    """`settings` are what each connection says first; `answers` whether each request is answered
    at once."""

    def __init__(self, *, answers=False, **settings):
        self.settings = settings
        self.answers = answers
        self.peers = []
        self.came = asyncio.Event()

    async def serve(self, reader, writer):
        peer = Peer(reader, writer)
        peer.settings(**self.settings)
        if self.settings.get("header_table_size") is not None:
            peer.decoder.max_allowed_table_size = self.settings["header_table_size"]
        self.peers.append(peer)
        self.came.set()
        ending = [ConnectionError, asyncio.IncompleteReadError]
        with contextlib.suppress(*ending):
            await peer.serve()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async def peer(self, number=0):
        while len(self.peers) <= number:
            self.came.clear()
            await self.came.wait()
        return self.peers[number]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return apns_tls.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(authority, request):
    def played(scene, *, limits=None, connections=1, **settings):
        async def go():
            server = Server(**settings)
            context = authority.server_context(ask_for_certificate=False)
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
            tls = ssl.create_default_context(cafile=authority.ca_file)
            tls.set_alpn_protocols(["h2"])
            pool = http2_pool.Pool(
                "127.0.0.1",
                listening.sockets[0].getsockname()[1],
                tls,
                name="Peer",
                connections=connections,
                limits=limits or http2.Limits(parting=0.1),
            )
            sends = []

            def send(body=b"body", seconds=20.0):
                deadline = asyncio.get_running_loop().time() + seconds
                request = http2.Request(REQUEST, body)
                sends.append(asyncio.ensure_future(pool.request(request, deadline)))
                return sends[-1]

            send.pool = pool
            try:
                return await asyncio.wait_for(scene(send, server), 30)
            finally:
                for each in sends:
                    each.cancel()
                await asyncio.gather(*sends, return_exceptions=True)
                await pool.aclose()
                listening.close()
                for peer in server.peers:
                    peer.writer.transport.abort()

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(go())

    return played


async def end(send):
    """The status of the answer, or what there is instead."""
    try:
        return (await send).status
    except (TimeoutError, http2.NotProcessed, http2.NoAnswer, http2_pool.NotReached) as error:
        return type(error)


# What the server allows.


def test_a_table_that_becomes_small_or_none_is_agreed_to(play):
    """hpack refuses a block that does not, as nghttp2 does."""

    async def scene(send, server):
        first = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.answer(1)
        ends = [await end(first)]
        peer.settings(header_table_size=100)
        peer.decoder.max_allowed_table_size = 100
        second = send()
        await peer.until(lambda: peer.ended[1:])
        peer.answer(3)
        return [*ends, await end(second)]

    assert play(scene, header_table_size=0) == [200, 200]


def test_a_window_may_shrink_under_a_request_and_below_nothing(play):
    async def scene(send, server):
        sent = send(b"x" * 1500)
        peer = await server.peer()
        lengths = []

        async def goes_on_to(length):
            await peer.until(lambda: len(peer.bodies.get(1, b"")) >= length)
            lengths.append(len(peer.bodies[1]))

        await goes_on_to(1000)
        peer.settings(initial_window_size=10)  # -990 are left,
        peer.credit(1, 900)  # -90,
        await peer.until(lambda: len(peer.of(frames.SETTINGS)) == 3)
        peer.credit(1, 100)  # and 10.
        await goes_on_to(1010)
        peer.settings(initial_window_size=1000)
        await goes_on_to(1500)
        peer.answer(1)
        return lengths, await end(sent)

    assert play(scene, initial_window_size=1000) == ([1000, 1010, 1500], 200)


def test_who_waits_for_the_connections_window_may_leave_and_the_others_have_it(play):
    async def scene(send, server):
        sends = [send(b"x" * 20_000) for _ in range(6)]
        peer = await server.peer()

        def came():
            return sum(map(len, peer.bodies.values()))

        await peer.until(lambda: came() == frames.WINDOW)
        sends.pop(3).cancel()
        await peer.until(lambda: peer.of(frames.RST_STREAM))
        peer.credit(0, 200_000)
        await peer.until(lambda: len(peer.ended) == 5)
        peer.answer(*peer.ended)
        return [await end(each) for each in sends]

    assert play(scene) == [200] * 5


def test_streams_may_be_fewer_none_and_more_again(play):
    async def scene(send, server):
        sends = [send() for _ in range(10)]
        peer = await server.peer()
        await peer.until(lambda: len(peer.ended) == 4)
        peer.settings(max_concurrent_streams=0)
        peer.answer(*peer.ended)
        for each in sends[:4]:
            await each
        peer.write(frames.frame(frames.PING, 0, 0, b"anyone??"))
        await peer.until(lambda: peer.of(frames.PING))
        sent = len(peer.ended)
        peer.settings(max_concurrent_streams=100)
        await peer.until(lambda: len(peer.ended) == 10)
        peer.answer(*peer.ended[4:])
        return sent, {await end(each) for each in sends}

    assert play(scene, max_concurrent_streams=4) == (4, {200})


def test_who_gets_no_stream_until_his_deadline_has_sent_nothing_and_leaves_nothing(play):
    async def scene(send, server):
        ends = {await end(send(seconds=0.05)) for _ in range(5)}
        peer = await server.peer()
        return ends, len(send.pool._waiters), peer.of(frames.HEADERS)

    assert play(scene, max_concurrent_streams=0) == ({TimeoutError}, 0, [])


def test_a_thousand_requests_share_a_hundred_streams(play):
    async def scene(send, server):
        sends = [send() for _ in range(1000)]
        peer = await server.peer()
        most = 0
        for number in range(1000):
            await peer.until(lambda number=number: len(peer.ended) > number)
            most = max(most, len(peer.ended) - number)
            peer.answer(peer.ended[number])
        return {await end(each) for each in sends}, most

    assert play(scene, max_concurrent_streams=100) == ({200}, 100)


# Whether a request may have been processed.


@pytest.mark.parametrize("code", [*range(14), 99])
def test_only_a_refused_stream_is_sent_again(play, code):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.reset(1, code)
        if code == frames.REFUSED_STREAM:
            await peer.until(lambda: peer.ended[1:])
            peer.reset(3, code)
        ended = await end(sent)
        after = send()
        count = len(peer.ended) + 1
        await peer.until(lambda: len(peer.ended) == count)
        peer.answer(peer.ended[-1])
        return ended, await end(after), count - 1

    refused = code == frames.REFUSED_STREAM
    assert play(scene) == ((NO, 200, 2) if refused else (PROCESSED, 200, 1))


def test_the_last_goaway_says_what_was_processed(play):
    async def scene(send, server):
        sends = [send() for _ in range(4)]
        peer = await server.peer()
        await peer.until(lambda: len(peer.ended) == 4)
        peer.goaway(2**31 - 1)
        peer.goaway(3)
        again = await server.peer(1)
        await again.until(lambda: len(again.ended) == 2)
        again.answer(1, 3)
        peer.answer(1)
        peer.writer.close()
        return [await end(each) for each in sends]

    assert play(scene) == [200, PROCESSED, 200, 200]


@pytest.mark.parametrize(
    "change",
    [lambda peer: peer.reset(1, frames.REFUSED_STREAM), lambda peer: peer.goaway(0)],
    ids=["REFUSED_STREAM", "GOAWAY"],
)
def test_what_has_begun_to_be_answered_was_processed_whatever_is_said_then(play, change):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x88"))
        change(peer)
        return await end(sent), len(server.peers), len(peer.ended)

    assert play(scene) == (200, 1, 1)


def test_a_server_that_closes_within_a_frame_may_have_processed_what_left(play):
    async def scene(send, server):
        sends = [send(), send()]
        peer = await server.peer()
        await peer.until(lambda: len(peer.ended) == 2)
        peer.write(frames.frame(frames.HEADERS, DONE, 1, b"\x88")[:7])
        peer.writer.close()
        return [await end(each) for each in sends]

    assert play(scene) == [PROCESSED, PROCESSED]


def test_what_begins_after_its_deadline_does_not_leave(play):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.answer(1)
        await sent
        late = http2.Request(REQUEST, b"body")
        with pytest.raises(TimeoutError):
            await send.pool.request(late, asyncio.get_running_loop().time())
        return late.left, len(peer.ended)

    assert play(scene) == (False, 1)


# A server that is out to do harm.


def test_an_answer_that_nobody_waits_for_uses_up_no_window(play):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        sent.cancel()
        await peer.until(lambda: peer.of(frames.RST_STREAM))
        peer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x88"))
        peer.write(*[frames.frame(frames.DATA, 0, 1, bytes(frames.FRAME))] * 150)
        await peer.until(lambda: len(peer.of(frames.WINDOW_UPDATE)) == 5)
        after = send()
        await peer.until(lambda: peer.ended[1:])
        peer.answer(3)
        return await end(after), len(server.peers)

    assert play(scene) == (200, 1)


@pytest.mark.parametrize(
    "status", [b"9" * 5000, b"9999", b"2", b"", b"-20", b"2e2"], ids=lambda status: status[:5]
)
def test_a_status_that_is_no_number_of_three_digits_is_none(play, status):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.write(frames.frame(frames.HEADERS, DONE, 1, frames.field(b":status", status)))
        return await end(sent)

    assert play(scene) == 0


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(frames.frame(frames.PING, 0, 0, b"1234567"), id="a short PING"),
        pytest.param(frames.frame(frames.PING, 0, 0, b"123456789"), id="a long PING"),
        pytest.param(frames.frame(frames.RST_STREAM, 0, 1, bytes(5)), id="a long RST_STREAM"),
        pytest.param(frames.frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\1\0"), id="long credit"),
        pytest.param(frames.frame(frames.WINDOW_UPDATE, 0, 1, bytes(4)), id="no credit"),
        pytest.param(
            frames.frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff") * 2,
            id="a stream's too much",
        ),
        pytest.param(
            frames.frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0")
            + frames.frame(frames.SETTINGS, 0, 0, frames.settings([(4, 2**30)])),
            id="a stream's too much by settings",
        ),
        pytest.param(frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), id="a loud ACK"),
        pytest.param(
            frames.frame(frames.SETTINGS, 0, 0, frames.settings([(5, 2**24)])), id="too long frames"
        ),
        pytest.param(
            frames.frame(frames.SETTINGS, 0, 0, frames.settings([(5, 2**14 - 1)])),
            id="too short frames",
        ),
        pytest.param(
            frames.frame(frames.HEADERS, DONE | frames.PRIORITISED, 1, bytes(4)),
            id="half a priority",
        ),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(play, octets):
    async def scene(send, server):
        sent = send(b"x" * 100_000)  # which is not out whole
        peer = await server.peer()
        await peer.until(lambda: len(peer.bodies.get(1, b"")) == frames.WINDOW)
        peer.write(octets)
        again = await server.peer(1)  # as it can not have been processed
        await again.until(lambda: again.bodies)
        again.credit(1, 100_000)
        again.credit(0, 100_000)
        await again.until(lambda: again.ended)
        again.answer(1)
        return await end(sent), [each[3][4:] for each in peer.of(frames.GOAWAY)]

    assert play(scene) == (200, [frames.PROTOCOL_ERROR.to_bytes(4, "big")])


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(frames.frame(frames.PING, 0, 0, b"12345678"), id="PING"),
        pytest.param(frames.frame(frames.SETTINGS, 0, 0), id="SETTINGS"),
        pytest.param(frames.frame(frames.DATA, 0, 1), id="empty DATA"),
        pytest.param(frames.frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), id="WINDOW_UPDATE"),
        pytest.param(frames.frame(frames.HEADERS, 4, 1, b"\x08\x03103"), id="early hints"),
        pytest.param(frames.frame(frames.RST_STREAM, 0, 3, bytes(4)), id="RST_STREAM"),
        pytest.param(frames.frame(frames.PRIORITY, 0, 1, bytes(5)), id="PRIORITY"),
        pytest.param(frames.frame(0xFA, 0, 0), id="unknown"),
    ],
)
def test_a_flood_ends_the_connection(play, octets):
    async def scene(send, server):
        sends = [send(), send()]
        peer = await server.peer()
        await peer.until(lambda: len(peer.ended) == 2)
        (connection,) = send.pool._connections
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                peer.write(octets * 1000)
                await peer.writer.drain()
        return await end(sends[0]), connection.draining

    assert play(scene) == (PROCESSED, True)


def test_who_pings_and_reads_nothing_costs_little_and_is_left(play):
    async def scene(send, server):
        sent = send()
        peer = await server.peer()
        await peer.until(lambda: peer.ended)
        peer.answer(1)
        await sent
        peer.settings(initial_window_size=2**31 - 1)
        peer.credit(0, 2**30)
        (connection,) = send.pool._connections
        peer.writer.transport.pause_reading()
        sends = []
        while not connection.draining:
            peer.write(frames.frame(frames.PING, 0, 0, b"12345678"))
            sends.append(send(b"x" * 50_000, seconds=0.1))
            await asyncio.sleep(0.005)
        return connection.transport.get_write_buffer_size()

    assert play(scene, limits=http2.Limits(parting=0.1, deaf=0.05)) < 2 * 1024 * 1024


def test_nothing_of_a_request_is_shown(play):
    async def scene(send, server):
        send(b"word" * 30_000)
        peer = await server.peer()
        await peer.until(lambda: peer.bodies)
        (connection,) = send.pool._connections
        return repr(connection._open)

    assert "word" not in play(scene)
