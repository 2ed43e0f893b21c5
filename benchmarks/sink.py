"""A mail server that accepts everything as fast as it can and counts it.

`python -m benchmarks.sink PORT` serves on loopback until its standard input closes, then prints how
many messages it accepted. It stands in for the relay, so it must not be what is measured.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

_REPLIES = {
    b"EHLO": b"250-sink\r\n250-8BITMIME\r\n250-SIZE 10240000\r\n250 ENHANCEDSTATUSCODES\r\n",
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"DATA": b"354 Go ahead\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Sink(asyncio.Protocol):
    """One connection. Clients that wait for each reply are all there are."""

    accepted = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._content = False
        self._buffer = bytearray()
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = b"\r\n.\r\n" if self._content else b"\r\n"
        while (at := self._buffer.find(end)) >= 0:
            line = bytes(self._buffer[:4]).upper()
            del self._buffer[: at + len(end)]
            if self._content:
                Sink.accepted += 1
                self._content = False
                self._transport.write(b"250 2.0.0 Ok: queued\r\n")
            else:
                self._content = line == b"DATA"
                self._transport.write(_REPLIES.get(line, b"502 5.5.2 What?\r\n"))
                if line == b"QUIT":
                    self._transport.close()
            end = b"\r\n.\r\n" if self._content else b"\r\n"


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    print(Sink.accepted, flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
