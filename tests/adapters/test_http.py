"""Our use of aiohttp's connections against servers that write exactly what a test says."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from adapters import http

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Reads requests that say how long they are, and writes for each what `answers` has next."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.writers = []
        self.read = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.lower().split("\r\n")
                (length,) = (line[16:] for line in lines if line.startswith("content-length: "))
                self.requests.append((head, await reader.readexactly(int(length))))
                self.read.set()
                for piece in self.answers.pop(0) if self.answers else ():
                    writer.write(piece)
                    await asyncio.sleep(0)
        writer.close()


def play(scene, *answers, connections=10):
    """`scene` with something that sends one request to a server with these answers."""

    async def go():
        server = Server(*answers)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/some/path?q=%20"
        client = http.Connections(connections=connections)

        async def send(*, seconds=20.0, **options):
            deadline = asyncio.get_running_loop().time() + seconds
            options = {"headers": {"X-Own": "1"}, "data": b"body", **options}
            try:
                return await client.request("POST", url, deadline=deadline, **options)
            except http.NoAnswer as trouble:
                return trouble

        try:
            return await scene(send, server, client)
        finally:
            await client.aclose()
            for writer in server.writers:
                writer.close()
            listening.close()
            await listening.wait_closed()

    return asyncio.run(go())


def test_what_begins_after_its_deadline_does_not_leave():
    async def scene(send, server, client):
        await send()  # there is a connection
        late = await send(seconds=0.0)
        return late.kind, late.left, len(server.requests)

    assert play(scene, [OK], [OK]) == ("TimeoutError", False, 1)


def test_a_request_is_what_it_says():
    async def scene(send, server, client):
        reply = await send()
        return reply, server.requests

    reply, [(head, body)] = play(scene, [OK])
    assert (reply.status, reply.body) == (200, b"ok")
    first, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
    assert first == "POST /some/path?q=%20 HTTP/1.1"
    assert headers[0].startswith("Host: 127.0.0.1:")
    assert headers[1:] == ["X-Own: 1", "Content-Length: 4"]
    assert body == b"body"


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\na", b"bcd"], 200, b"abcd"),
        (
            [b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"0\r\n\r\n"],
            201,
            b"ab",
        ),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\n\r\n", OK], 200, b"ok"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
    ],
    ids=["in pieces", "chunked", "informed first", "without a body"],
)
def test_an_answer_is_read_as_it_is_framed_and_its_connection_used_again(pieces, status, body):
    async def scene(send, server, client):
        first = await send()
        return first, await send(), server.connections

    first, second, connections = play(scene, pieces, [OK])
    assert (first.status, first.body) == (status, body)
    assert (second.body, connections) == (b"ok", 1)


def test_a_body_that_breaks_off_does_not_undo_the_answer():
    async def scene(send, server, client):
        reply = await send(seconds=0.2)
        return reply, await send(), server.connections

    half = b"HTTP/1.1 202 X\r\nContent-Length: 9\r\n\r\nhalf"
    reply, after, connections = play(scene, [half], [OK])
    assert (reply.status, reply.body) == (202, b"half")
    assert (after.body, connections) == (b"ok", 2)


def test_what_comes_after_the_limit_is_not_waited_for_and_costs_the_connection():
    async def scene(send, server, client):
        return await send(limit=4), await send(), server.connections

    endless = b"HTTP/1.1 200 X\r\nContent-Length: 999\r\n\r\nhalf"
    first, second, connections = play(scene, [endless], [OK])
    assert (first.body, second.body, connections) == (b"half", b"ok", 2)


@pytest.mark.parametrize(
    "unasked",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"HTTP/1.1 408 X\r\n\r\n", b"\0"],
    ids=["an answer", "an error", "no HTTP"],
)
def test_what_comes_without_a_request_answers_none(unasked):
    """Else the next request would take it for its own answer, and every one after it the one
    before."""

    async def scene(send, server, client):
        await send()
        server.writers[0].write(unasked)
        for _ in range(5):  # it is at the client's socket by now: the loop needs a turn to see it
            await asyncio.sleep(0)
        return await send(), server.connections

    reply, connections = play(scene, [OK], [OK])
    assert (reply.status, reply.body, connections) == (200, b"ok", 2)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb"])
def test_a_header_stays_one_line(value):
    async def scene(send, server, client):
        return await send(headers={"X-Own": value}), server.requests

    trouble, requests = play(scene)
    assert (trouble.kind, trouble.left, requests) == ("ValueError", False, [])


def test_closing_ends_those_in_flight_and_those_who_wait():
    """None is cancelled that nobody cancelled."""

    async def scene(send, server, client):
        sends = [asyncio.ensure_future(send()) for _ in range(3)]
        await server.read.wait()
        await client.aclose()
        return await asyncio.gather(*sends, send())

    assert [one.left for one in play(scene, connections=1)] == [True, False, False, False]


def test_who_is_cancelled_while_waiting_is_cancelled():
    async def scene(send, server, client):
        sends = [asyncio.ensure_future(send()) for _ in range(2)]
        await server.read.wait()
        sends[1].cancel()
        await asyncio.wait([sends[1]])
        await client.aclose()
        return sends[1].cancelled(), await sends[0]

    cancelled, first = play(scene, connections=1)
    assert cancelled
    assert first.left
