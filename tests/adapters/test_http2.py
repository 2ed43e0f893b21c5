"""Our HTTP/2 against a server that writes what a test says, and its octets against hpack's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import http2, http2_pool
from adapters import http2_frames as frames
from adapters.doubles import apns_tls

REQUEST = frames.block([(b":method", b"POST"), (b":path", b"/x"), (b"x-own", b"1")])
PLAIN = hpack.Encoder()
PLAIN.header_table_size = 0
DONE = frames.END_HEADERS | frames.END_STREAM


class Server:
    """Says its settings, and writes for each request what `answers` has next, which may depend on
    the request's stream."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.read = []
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        writer.write(frames.frame(frames.SETTINGS, 0, 0))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(frames.PREFACE))
            while True:
                head = await reader.readexactly(9)
                kind, flags = head[3], head[4]
                stream = int.from_bytes(head[5:], "big")
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                self.read.append((kind, flags, stream, payload))
                if kind == frames.DATA and flags & frames.END_STREAM and self.answers:
                    answer = self.answers.pop(0)
                    writer.write(answer(stream) if callable(answer) else answer)
        writer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return apns_tls.Authority(tmp_path_factory.mktemp("authority"))


def play(authority, scene, *answers, limits=None):
    async def go():
        server = Server(*answers)
        context = authority.server_context(ask_for_certificate=False)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        tls = ssl.create_default_context(cafile=authority.ca_file)
        tls.set_alpn_protocols(["h2"])
        pool = http2_pool.Pool(
            "127.0.0.1",
            listening.sockets[0].getsockname()[1],
            tls,
            name="Peer",
            connections=1,
            limits=limits or http2.Limits(),
        )

        async def send(body=b"body", seconds=20.0):
            deadline = asyncio.get_running_loop().time() + seconds
            return await pool.request(http2.Request(REQUEST, body), deadline)

        try:
            return await scene(send, server)
        finally:
            await pool.aclose()
            listening.close()

    return asyncio.run(go())


def headers(*fields, flags=DONE, encoder=PLAIN):
    block = encoder.encode([(name, value) for name, value in fields])
    return lambda stream: frames.frame(frames.HEADERS, flags, stream, block)


def together(*parts):
    return lambda stream: b"".join(part(stream) if callable(part) else part for part in parts)


def data(payload, flags=frames.END_STREAM):
    return lambda stream: frames.frame(frames.DATA, flags, stream, payload)


OK = headers((b":status", b"200"))
OPEN = headers((b":status", b"200"), flags=frames.END_HEADERS)


async def one(send, server):
    return await send()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(together(OPEN, data(b"hello")), id="plainly"),
        pytest.param(together(OPEN, data(b"hel", 0), data(b"lo")), id="in two frames"),
        pytest.param(
            together(headers((b":status", b"103"), flags=frames.END_HEADERS), OPEN, data(b"hello")),
            id="after an early hint",
        ),
        pytest.param(
            together(OPEN, data(b"hello", 0), headers((b"grpc-status", b"0"))), id="with trailers"
        ),
        pytest.param(
            together(OPEN, data(b"\x03hello\0\0\0", frames.PADDED | frames.END_STREAM)), id="padded"
        ),
        pytest.param(
            together(
                lambda stream: frames.frame(
                    frames.HEADERS,
                    frames.END_HEADERS | frames.PADDED | frames.PRIORITISED,
                    stream,
                    b"\x01" + b"\0\0\0\0\x10" + b"\x88" + b"\0",
                ),
                data(b"hello"),
            ),
            id="padded and with a priority",
        ),
        pytest.param(
            together(
                lambda stream: frames.frame(frames.HEADERS, 0, stream, b"\x88\x00\x03x-"),
                lambda stream: frames.frame(frames.CONTINUATION, 0, stream, b"a\x01"),
                lambda stream: frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream, b"b"),
                data(b"hello"),
            ),
            id="with fields in three frames",
        ),
        pytest.param(
            together(frames.frame(0xFA, 0xFF, 0, b"?"), OPEN, data(b"hello")),
            id="after a frame that nobody knows",
        ),
    ],
)
def test_an_answer_may_come(authority, answer):
    came = play(authority, one, answer)
    assert (came.status, came.body) == (200, b"hello")


def test_a_provider_may_have_a_table_though_none_is_wanted(authority):
    encoder = hpack.Encoder()
    fields = [(b":status", b"200"), (b"server", b"peer/1"), (b"x-id", b"1")]

    async def scene(send, server):
        return [(await send()).headers for _ in range(3)]

    answers = [headers(*fields, encoder=encoder) for _ in range(3)]
    assert play(authority, scene, *answers) == [dict(fields)] * 3


def test_a_ping_is_answered(authority):
    async def scene(send, server):
        await send()
        await send()
        return [each[3] for each in server.read if each[0] == frames.PING]

    ping = frames.frame(frames.PING, 0, 0, b"12345678")
    assert play(authority, scene, together(ping, OK), OK) == [b"12345678"]


def test_a_long_answer_is_read_to_its_end_and_kept_in_part(authority):
    body = bytes(range(256)) * 64  # a whole frame

    async def scene(send, server):
        long = await send()
        await send()
        credit = [each for each in server.read if each[0] == frames.WINDOW_UPDATE]
        return len(long.body), sum(struct.unpack(">I", each[3])[0] for each in credit if each[2])

    answer = together(OPEN, *[data(body, 0)] * 40, data(b""))
    kept, credit = play(authority, scene, answer, OK)
    assert kept == http2.KEPT
    assert credit >= 40 * len(body) - frames.WINDOW


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP/1.1"),
        pytest.param(b"\xff\xff\xff" + bytes(6), id="a frame that is too long"),
        pytest.param(frames.frame(frames.DATA, 0, 0, b"x"), id="data of no stream"),
        pytest.param(frames.frame(frames.HEADERS, DONE, 2, b"\x88"), id="a stream of its own"),
        pytest.param(frames.frame(frames.HEADERS, DONE, 99, b"\x88"), id="a stream of the future"),
        pytest.param(frames.frame(frames.SETTINGS, 0, 1), id="settings of a stream"),
        pytest.param(frames.frame(frames.SETTINGS, 0, 0, b"12345"), id="settings of five octets"),
        pytest.param(
            frames.frame(frames.SETTINGS, 0, 0, frames.settings([(4, 2**31)])),
            id="too large a window",
        ),
        pytest.param(
            frames.frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), id="too much credit"
        ),
        pytest.param(frames.frame(frames.GOAWAY, 0, 0, b"1234"), id="a short farewell"),
        pytest.param(frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x88"), id="a promise"),
        pytest.param(frames.frame(frames.CONTINUATION, 4, 1, b"\x88"), id="continues nothing"),
        pytest.param(
            together(lambda s: frames.frame(frames.HEADERS, 0, s, b"\x88"), data(b"x")),
            id="fields without their end",
        ),
        pytest.param(
            together(
                lambda s: frames.frame(frames.HEADERS, 0, s, bytes(16_000)),
                *[lambda s: frames.frame(frames.CONTINUATION, 0, s, bytes(16_000))] * 5,
            ),
            id="fields without an end",
        ),
        pytest.param(
            lambda s: frames.frame(frames.HEADERS, DONE, s, b"\x00\x7fx"), id="half a field"
        ),
        pytest.param(
            lambda s: frames.frame(frames.HEADERS, DONE, s, b"\xff\xff\xff\xff\xff\xff\x7f"),
            id="a number without an end",
        ),
        pytest.param(
            lambda s: frames.frame(frames.HEADERS, DONE, s, b"\xfe"), id="a field of no table"
        ),
        pytest.param(
            together(OPEN, data(b"\x09x", frames.PADDED | frames.END_STREAM)), id="only padding"
        ),
    ],
)
def test_what_is_not_http2_ends_the_connection_and_only_that(authority, answer):
    async def scene(send, server):
        try:
            came = (await send()).status
        except http2.NoAnswer as error:
            came = str(error)
        again = await send()
        return came, again.status, server.connections

    came, again, connections = play(authority, scene, answer, OK)
    assert came in {"Peer answered what is not HTTP/2", 200}  # what had begun is an answer
    assert (again, connections) == (200, 2)


def test_a_block_that_is_longer_than_a_frame_goes_out_in_parts(authority):
    block = REQUEST + frames.field(b"x-long", b"v" * 40_000)

    async def go():
        parts = http2._in_parts(5, block, frames.FRAME)
        kinds = [part[3] for part in parts]
        assert kinds == [frames.HEADERS, frames.CONTINUATION, frames.CONTINUATION]
        assert [part[4] for part in parts] == [0, 0, frames.END_HEADERS]
        return b"".join(part[9:] for part in parts)

    assert asyncio.run(go()) == block


names = st.sampled_from([b":status", b":path", b"date", b"apns-id", b"x-own", b"content-type"])
values = st.binary(max_size=300).filter(lambda value: not set(value) & set(b"\0\r\n"))


@given(st.lists(st.tuples(names, values), max_size=12))
def test_hpack_reads_what_we_write_and_we_what_it_writes(fields):
    written = frames.block(fields)
    assert hpack.Decoder().decode(written, raw=True) == fields
    assert frames.read_block(written) == dict(fields)
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    sensitive = [hpack.NeverIndexedHeaderTuple(*each) for each in fields]
    assert frames.read_block(encoder.encode(sensitive)) == dict(fields)


@given(st.binary(max_size=200))
def test_any_octets_are_a_block_or_are_refused(octets):
    with contextlib.suppress(ValueError):
        read = frames.read_block(octets)
        if read is not None:
            assert dict(hpack.Decoder(max_header_list_size=2**20).decode(octets, raw=True)) == read


@pytest.mark.parametrize(
    ("name", "value"), [(b"a b", b"x"), (b"A", b"x"), (b"x-a", b"x\r\nb: c"), (b"x-a", b"x\0")]
)
def test_a_field_cannot_become_two(name, value):
    with pytest.raises(ValueError, match="header"):
        frames.field(name, value)
