"""Every provider as fast as Python can play it, in one process of its own: it takes what it can
frame, checks nothing, and counts.

`python -m benchmarks.sinks` prints the channels' settings as JSON on one line. Then it answers each
line of its standard input with a line of JSON, until that closes: `counts` with how many messages
each channel took, `arrivals` with when (monotonic clock) each push to a token of Firebase's came
since the last time it was asked. The doubles of `adapters.doubles` check everything, and would be
what is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hpack
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters import http2_frames as frames
from adapters.doubles import apns_tls

_counts: Counter[str] = Counter()
_arrivals: list[tuple[str, float]] = []

_ACCOUNT = "AC" + 32 * "d"
_TOKEN = b'{"access_token":"ya29.sink","expires_in":3599,"token_type":"Bearer"}'


class Http(asyncio.Protocol):
    """HTTP/1.1 of clients that say how long their requests are."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            path = self._buffer[: self._buffer.find(b" HTTP/")].split(b" ", 1)[1]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(_http(*_answer(path, body)))
            if b"\r\nconnection: close" in head:
                self._transport.close()


_FCM_TOKEN = re.compile(rb'"token":\s*"([^"]*)"')


def _answer(path: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Status and content."""
    if path.endswith(b"/messages:send"):
        _counts["GCM"] += 1
        if found := _FCM_TOKEN.search(body):
            _arrivals.append((found[1].decode(), time.monotonic()))
        return b"200 OK", b'{"name":"projects/sink/messages/%d"}' % _counts["GCM"]
    if path.endswith(b"/token"):
        return b"200 OK", _TOKEN
    for channel, (part, status, answer) in _ROUTES.items():
        if part in path:
            _counts[channel] += 1
            return status, answer % _counts[channel]
    _counts["CUSTOM"] += 1
    return b"200 OK", b"ok"


_TWILIO = (
    b',"account_sid":"%b","status":"queued","direction":"outbound-api",'
    b'"date_created":"Mon, 02 Nov 2026 10:00:00 +0000",'
    b'"date_updated":"Mon, 02 Nov 2026 10:00:00 +0000","date_sent":null,"price":null,'
    b'"error_code":null,"num_segments":"1","num_media":"0","api_version":"2010-04-01"}'
) % _ACCOUNT.encode()

_ROUTES = {
    "SMS": (b"/Messages.json", b"201 Created", b'{"sid":"SM%032x"' + _TWILIO),
    "VOICE": (b"/Calls.json", b"201 Created", b'{"sid":"CA%032x"' + _TWILIO),
    "ADM": (b"/messaging/registrations/", b"200 OK", b'{"registrationID":"%d"}'),
    "BAIDU": (
        b"/rest/3.0/push/",
        b"200 OK",
        b'{"request_id":1,"response_params":{"msg_id":"%d"}}',
    ),
}


def _http(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


_CREDIT = 16_384


class Http2(asyncio.Protocol):
    """HTTP/2 of clients that send each request's headers in one frame and no trailers. A push to
    Apple is answered 200 with its own apns-id, which aioapns wants to have back."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._buffer = b""
        self._preface = len(frames.PREFACE)
        self._received = 0
        self._requests: dict[int, dict[bytes, bytes]] = {}
        self._bodies: dict[int, bytes] = {}
        self._decoder: hpack.Decoder | None = None
        said = frames.settings([(frames.MAX_CONCURRENT_STREAMS, 1000)])
        transport.write(frames.frame(frames.SETTINGS, 0, 0, said))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        at, self._preface = min(self._preface, len(buffer)), max(0, self._preface - len(buffer))
        out = []
        while len(buffer) >= at + 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < at + 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            out.append(self._frame(kind, flags, stream, buffer[at + 9 : at + 9 + length]))
            at += 9 + length
        self._buffer = buffer[at:]
        if self._received >= _CREDIT:
            credit = self._received.to_bytes(4, "big")
            out.append(frames.frame(frames.WINDOW_UPDATE, 0, 0, credit))
            self._received = 0
        self._transport.write(b"".join(out))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == frames.DATA:
            self._received += len(payload)
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
        elif kind == frames.HEADERS:
            self._requests[stream] = self._fields(frames.unpadded(flags, payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            return frames.frame(frames.SETTINGS, frames.ACK, 0)
        elif kind == frames.PING and not flags & frames.ACK:
            return frames.frame(frames.PING, frames.ACK, 0, payload)
        if kind in {frames.DATA, frames.HEADERS} and flags & frames.END_STREAM:
            return self._answer(stream)
        return b""

    def _fields(self, block: bytes) -> dict[bytes, bytes]:
        fields = frames.read_block(block) if self._decoder is None else None
        if fields is None:  # the client has a table
            self._decoder = self._decoder or hpack.Decoder()
            decoded = self._decoder.decode(block, raw=True)
            fields = {bytes(each[0]): bytes(each[1]) for each in decoded}
        return fields

    def _answer(self, stream: int) -> bytes:
        fields, body = self._requests.pop(stream), self._bodies.pop(stream, b"")
        path = fields[b":path"]
        if path.startswith(b"/3/device/"):
            _counts["APNS"] += 1
            block = b"\x88" + frames.field(b"apns-id", fields.get(b"apns-id", b""))
            last = frames.END_HEADERS | frames.END_STREAM
            return frames.frame(frames.HEADERS, last, stream, block)
        status, content = _answer(path, body)
        block = frames.block([(b":status", status[:3]), (b"content-type", b"application/json")])
        return frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block) + frames.frame(
            frames.DATA, frames.END_STREAM, stream, content
        )


class Tls(asyncio.Protocol):
    """What the client wants of the two."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        chosen = Http2() if tls.selected_alpn_protocol() == "h2" else Http()
        transport.set_protocol(chosen)
        chosen.connection_made(transport)


_REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 10240000\r\n"
    b"250 ENHANCEDSTATUSCODES\r\n",
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"DATA": b"354 Go ahead\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Smtp(asyncio.Protocol):
    """A relay. Commands that come together are answered together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._content = False
        self._buffer = bytearray()
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        said = []
        end = b"\r\n.\r\n" if self._content else b"\r\n"
        while (at := self._buffer.find(end)) >= 0:
            line = bytes(self._buffer[:4]).upper()
            del self._buffer[: at + len(end)]
            if self._content:
                _counts["EMAIL"] += 1
                self._content = False
                said.append(b"250 2.0.0 Ok: queued\r\n")
            else:
                self._content = line == b"DATA"
                said.append(_REPLIES.get(line, b"502 5.5.2 What?\r\n"))
            end = b"\r\n.\r\n" if self._content else b"\r\n"
        self._transport.write(b"".join(said))
        if said and said[-1] == _REPLIES[b"QUIT"]:
            self._transport.close()


def _settings(http: int, mail: int, tls: int, ca_file: Path) -> dict[str, dict[str, Any]]:
    """How each channel's adapter reaches its sink, with credentials made up."""
    url, google = f"http://127.0.0.1:{http}", f"https://127.0.0.1:{tls}"
    twilio = {
        "account_sid": _ACCOUNT,
        "auth_token": secrets.token_hex(16),
        "origination_number": "+15550100100",
        "base_url": url,
    }
    account = {
        "type": "service_account",
        "project_id": "sink-project",
        "private_key_id": "sink",
        "private_key": _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "client_email": "sendpoint@sink.iam.gserviceaccount.com",
        "token_uri": f"{google}/token",
    }
    return {
        "GCM": {"service_account": account, "base_url": google},
        "APNS": {
            "bundle_id": "com.example.app",
            "token_key": _pem(ec.generate_private_key(ec.SECP256R1())),
            "token_key_id": "SINK000KEY",
            "team_id": "SINK00TEAM",
            "host": "127.0.0.1",
            "port": tls,
            "ca_file": str(ca_file),
        },
        "EMAIL": {
            "host": "127.0.0.1",
            "port": mail,
            "security": "none",
            "from_address": "shop@example.com",
        },
        "SMS": twilio,
        "VOICE": twilio,
        "CUSTOM": {
            "url": f"{url}/hook",
            "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            "allow_private": ["127.0.0.1/32"],
        },
        "ADM": {"client_id": "sink", "client_secret": "sink", "base_url": url},
        "BAIDU": {"api_key": "sink", "secret_key": "sink", "base_url": url},
    }


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


async def _serve(folder: Path) -> None:
    authority = apns_tls.Authority(folder)
    http = await _listen(Http)
    mail = await _listen(Smtp)
    context = authority.server_context(ask_for_certificate=False)
    context.set_alpn_protocols(["h2", "http/1.1"])
    tls = await _listen(Tls, ssl=context)
    print(json.dumps(_settings(http, mail, tls, authority.ca_file)), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "arrivals":
            print(json.dumps(_arrivals), flush=True)
            _arrivals.clear()
        else:
            print(json.dumps(_counts), flush=True)


async def _listen(protocol: Callable[[], asyncio.Protocol], **options: Any) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024, **options)
    port: int = server.sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="sendpoint-bench-") as name:
        uvloop.run(_serve(Path(name)))
