"""What the providers of the suite (`benchmarks.sinks`) can take: whether they are in the way.

`python -m benchmarks.providers` sends what was made before, with as little work as Python can do,
100 in flight. The figure that counts is messages a second of the provider's CPU: what it takes when
it has a core to itself, whoever sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop

from adapters import http2_frames as frames
from benchmarks import messages, running, surroundings
from benchmarks.contenders import CHANNELS
from benchmarks.gauge import Gauge
from benchmarks.surroundings import IN_FLIGHT, MAIL_CONNECTIONS

NAME = "providers"

_STREAMS = IN_FLIGHT // 2  # of each of two connections


@dataclass(frozen=True)
class Round:
    """How many messages a provider took a second, and a second of its CPU time."""

    channel: str
    per_second: float
    per_cpu_second: float


class Http(asyncio.Protocol):
    """The same request again and again, one at a time."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"}", b"ok")):  # an answer is one small write
            self._transport.write(self._request)


class Smtp(asyncio.Protocol):
    """The same mail again and again."""

    def __init__(self) -> None:
        content = b"From: <shop@example.com>\r\nTo: <r1@example.com>\r\nSubject: %b\r\n\r\n%b"
        subject, text = messages.EMAIL.subject, messages.EMAIL.text
        assert subject is not None
        assert text is not None
        content %= subject.data.encode(), text.data.encode()
        self._mail = [
            b"MAIL FROM:<shop@example.com>\r\n",
            b"RCPT TO:<r1@example.com>\r\n",
            b"DATA\r\n",
            content + b"\r\n.\r\n",
        ]
        self._next = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._next < 0:  # the greeting
            self._transport.write(b"EHLO bench\r\n")
            self._next = 0
        elif data.endswith(b"\r\n"):
            self._transport.write(self._mail[self._next])
            self._next = (self._next + 1) % len(self._mail)


class Apns(asyncio.Protocol):
    """The same push again and again, on as many streams as are in flight."""

    def __init__(self) -> None:
        path = f"/3/device/{messages.device_token(1)}"
        self._headers = frames.block(
            [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":path", path.encode()),
                (b"apns-id", str(uuid.uuid4()).encode()),
                (b"apns-topic", b"com.example.app"),
            ]
        )
        self._body = json.dumps(messages.APNS.payload).encode()
        self._stream = -1
        self._buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        settings = frames.frame(frames.SETTINGS, 0, 0)
        transport.write(frames.PREFACE + settings + b"".join(self._push() for _ in range(_STREAMS)))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        at, out = 0, []
        while len(buffer) >= at + 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < end:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            if kind == frames.HEADERS:
                out.append(self._push())
            elif kind == frames.SETTINGS and not flags:
                out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
            at = end
        self._buffer = buffer[at:]
        self._transport.write(b"".join(out))

    def _push(self) -> bytes:
        self._stream += 2
        return frames.frame(frames.HEADERS, 4, self._stream, self._headers) + frames.frame(
            frames.DATA, frames.END_STREAM, self._stream, self._body
        )


def _request(url: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    return b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        parts.path.encode(),
        parts.netloc.encode(),
        len(body),
        body,
    )


def _requests(settings: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    """What is sent on the channels over HTTP/1.1."""
    plain, account = settings["SMS"]["base_url"], settings["SMS"]["account_sid"]
    push = json.dumps({"message": messages.FCM.message | {"token": "token-1"}})
    sms = f"To=%2B14252000001&From=%2B15550100100&Body={messages.SMS.body}"
    custom = json.dumps({"Address": "token-1", **messages.CUSTOM.data})
    return {
        "GCM": _request(f"{plain}/v1/projects/sink-project/messages:send", push.encode()),
        "SMS": _request(
            f"{plain}/2010-04-01/Accounts/{account}/Messages.json",
            sms.encode(),
        ),
        "CUSTOM": _request(settings["CUSTOM"]["url"], custom.encode()),
    }


async def _fire(settings: dict[str, dict[str, Any]], channel: str, seconds: float) -> None:
    """Send for so many seconds, and hang up."""
    context = None
    address, port = "127.0.0.1", 0
    make: Callable[[], asyncio.Protocol]
    if channel == "APNS":
        port, connections, make = settings["APNS"]["port"], 2, Apns
        context = ssl.create_default_context(cafile=settings["APNS"]["ca_file"])
        context.set_alpn_protocols(["h2"])
    elif channel == "EMAIL":
        port, connections, make = settings["EMAIL"]["port"], MAIL_CONNECTIONS, Smtp
    else:
        request = _requests(settings)[channel]
        connections = IN_FLIGHT
        port = urlsplit(settings["SMS"]["base_url"]).port or 0

        def make() -> asyncio.Protocol:
            return Http(request)

    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(make, address, port, ssl=context) for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in opened:
        transport.abort()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round")
    running.bounds(parser, rounds=2, budget=15)


def measure(options: argparse.Namespace) -> running.Figures:
    rounds = []
    with surroundings.sinks() as providers:
        for number in running.turns(options):
            for channel in CHANNELS:
                running.say(f"round {number + 1}, provider of {channel}")
                rounds.append(_round(providers, channel, options.seconds))
    return {"rounds": [asdict(one) for one in rounds]}


def _round(providers: surroundings.Sinks, channel: str, seconds: float) -> Round:
    before = providers.counts().get(channel, 0)
    gauge = Gauge({"provider": [providers.ps]})
    started = time.perf_counter()
    uvloop.run(_fire(providers.settings, channel, seconds))
    took = providers.counts()[channel] - before
    return Round(
        channel=channel,
        per_second=took / (time.perf_counter() - started),
        per_cpu_second=took / gauge.cpu()["provider"],
    )


def table(figures: running.Figures) -> str:
    rounds = figures["rounds"]
    rows = [
        [channel, *(running.middle(rounds, name, channel=channel) for name in _COLUMNS)]
        for channel in CHANNELS
    ]
    head = ["channel", "as it was asked", "a second of its CPU"]
    return f"Messages a second that a provider's double takes\n\n{running.markdown(head, rows)}"


_COLUMNS = ("per_second", "per_cpu_second")

if __name__ == "__main__":
    running.main(sys.modules[__name__])
