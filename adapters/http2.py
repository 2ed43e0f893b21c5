"""One HTTP/2 connection to a provider, as a client of many small requests needs it (RFC 9113).

Requests that are made in one turn of the loop leave in one write, whatever their number: that, and
the kept blocks of `adapters.http2_frames`, is why no library does this, which takes four times the
CPU. A request that comes to nothing does so in one of two ways, and the difference is
what may be done next: see `NotProcessed` and `NoAnswer`.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hpack import Decoder, HPACKError

from adapters import http2_frames as frames

KEPT = 64 * 1024
"""Bytes of an answer's body that are kept."""

_WINDOW = 1024 * 1024  # bytes of answers that may be under way on a connection
_BLOCK = 64 * 1024  # bytes of an answer's header fields
_LAST_STREAM = 2**31 - 1
_LARGEST_WINDOW = 2**31 - 1
_MOST_FRAMES = 10_000  # between the ends of two streams: more are a flood
_OF_A_STREAM = {frames.DATA, frames.HEADERS, frames.RST_STREAM, frames.CONTINUATION}
_OF_A_CONNECTION = {frames.SETTINGS, frames.PING, frames.GOAWAY}
_OURS = (
    (frames.HEADER_TABLE_SIZE, 0),
    (frames.ENABLE_PUSH, 0),
    (frames.MAX_HEADER_LIST_SIZE, _BLOCK),
)


class NotProcessed(Exception):
    """The provider has not processed the request: it is safe to send it again."""


class NoAnswer(Exception):
    """The request left and no answer came: the provider may have processed it."""


class NotSpoken(ConnectionError):
    """The provider speaks no HTTP/2 there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one connection; times in seconds. `streams` bounds what the provider allows.

    After `quiet` without a sign of the provider it is pinged, and has `patience` to answer. When a
    request is given up that has waited for `deaf` or longer without any sign, or behind more than
    the provider reads, or from `age` on, the connection takes no more requests; `parting` bounds
    TLS's farewell.
    """

    streams: int = 500
    connect: float = 15.0
    quiet: float = 30.0
    patience: float = 10.0
    deaf: float = 1.0
    age: float = 3600.0
    parting: float = 1.0


@dataclass(slots=True, eq=False)
class Request:
    """A block of header fields (`http2_frames.block`) and a body. `left` says that it is out of our
    hands whole: whoever sends it keeps that up to date."""

    block: bytes = field(repr=False)
    body: bytes = field(repr=False)
    left: bool = False


@dataclass(slots=True, eq=False)
class Answer:
    """`status` is 0 for an answer that has none; names of header fields are in lower case, and
    `body` is its beginning."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes = field(repr=False)


@dataclass(slots=True, eq=False)
class _Exchange:
    """A request and what has come of it. `room` is what the provider takes of its body as yet."""

    stream: int
    request: Request
    future: asyncio.Future[Answer]
    begun: float
    room: int
    unsent: bytes = field(repr=False)
    timer: asyncio.TimerHandle | None = None
    headers: Mapping[bytes, bytes] | None = field(default=None, repr=False)
    body: bytes = field(default=b"", repr=False)
    received: int = 0


class Connection(asyncio.Protocol):
    """`changed` is called when `free` may have grown and when `draining` has become true.

    `name` is the provider's, for the texts of errors; `farewell` reads a word out of a GOAWAY's
    debug data. A `cautious` connection has one stream until a request was answered 200.

    `ready` is done when the provider's settings have come, or the connection was lost before;
    `gone` when it is closed; `trouble` is why, if there was a reason.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        changed: Callable[[Connection], None],
        *,
        cautious: bool = False,
        farewell: Callable[[bytes], str | None] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.trouble: Exception | None = None
        self.draining = False
        self.transport: asyncio.Transport | None = None
        self._name = name
        self._limits = limits
        self._changed = changed
        self._farewell = farewell
        self._proven = not cautious
        self._open: dict[int, _Exchange] = {}
        self._blocked: dict[int, _Exchange] = {}
        self._next = 1
        self._written = 0  # the last stream of which something was handed to the transport
        self._out: list[bytes] = []
        self._flush_due = False
        self._full = False  # of what the provider has not read
        self._buffer = b""
        self._block: tuple[int, int, bytes] | None = None  # one that goes on in other frames
        self._decoder: Decoder | None = None
        self._allowed = limits.streams
        self._room = self._stream_room = frames.WINDOW
        self._longest = frames.FRAME
        self._received = 0
        self._frames = 0  # since a stream ended
        self._heard = self._loop.time()
        self._old_at = self._heard + limits.age
        self._pinged = -math.inf
        self._watching: asyncio.TimerHandle | None = None
        self._on: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.RST_STREAM: self._on_reset,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_credit,
            frames.CONTINUATION: self._on_continuation,
        }

    @property
    def free(self) -> int:
        """How many streams can be opened now."""
        if self.draining or self._full:
            return 0
        allowed = self._allowed if self._proven else min(self._allowed, 1)
        return max(0, allowed - len(self._open))

    async def request(self, request: Request, deadline: float) -> Answer:
        """The answer, whatever it says, until `deadline` in the loop's time: then TimeoutError.
        Else NotProcessed or NoAnswer. A request that is cancelled or late resets its stream and
        disturbs no other. Does not give way before the stream is open, so a stream that was free
        is still free."""
        request.left = False
        if deadline <= self._loop.time():
            raise TimeoutError
        exchange = self._begin(request)
        exchange.timer = self._loop.call_at(deadline, self._time_out, exchange)
        try:
            return await exchange.future
        except asyncio.CancelledError:
            self._give_up(exchange)
            raise

    def retire(self) -> None:
        """Take no more requests, and close when the last answer is in."""
        if not self.draining:
            self.draining = True
            self._freed()

    def close(self) -> None:
        """Close now. Requests in flight are lost: `NoAnswer`, or `NotProcessed`."""
        self._close(frames.NO_ERROR, "The connection was closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a stream it is a Transport
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            self.trouble = NotSpoken()
            self._leave()
            return
        self._out += [
            frames.PREFACE,
            frames.frame(frames.SETTINGS, 0, 0, frames.settings(_OURS)),
            _credit(0, _WINDOW - frames.WINDOW),
        ]
        self._flush()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        try:
            while end - at >= 9:
                length = frames.length(buffer, at)
                if end - at < 9 + length:
                    break
                stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & _LAST_STREAM
                start = at + 9
                at = start + length
                self._on_frame(buffer[start - 6], buffer[start - 5], stream, buffer[start:at])
        except (ValueError, HPACKError) as error:
            self.trouble = error
            self._close(frames.PROTOCOL_ERROR, f"{self._name} answered what is not HTTP/2")
            return
        self._buffer = buffer[at:]

    def pause_writing(self) -> None:
        """More is on its way than the transport wants to hold."""
        self._full = True

    def resume_writing(self) -> None:
        """What was on its way has left."""
        self._full = False
        self._changed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.trouble = self.trouble or exc
        self.draining = True
        self._lose_all(f"The connection to {self._name} was lost")
        if self._watching is not None:
            self._watching.cancel()
        for future in (self.ready, self.gone):
            if not future.done():
                future.set_result(None)
        self._changed(self)

    def _begin(self, request: Request) -> _Exchange:
        stream = self._next
        if self.draining or stream > _LAST_STREAM:
            self.retire()
            raise NotProcessed(f"The connection to {self._name} takes no more requests")
        self._next += 2
        future = self._loop.create_future()
        now = self._loop.time()
        exchange = _Exchange(stream, request, future, now, self._stream_room, request.body)
        self._open[stream] = exchange
        block = request.block if stream > 1 else frames.NO_TABLE + request.block
        if len(block) <= self._longest:
            self._out.append(frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block))
        else:
            self._out += _in_parts(stream, block, self._longest)
        self._send_body(exchange)
        self._flush_soon()
        return exchange

    def _send_body(self, exchange: _Exchange) -> None:
        while True:
            unsent = exchange.unsent
            size = min(len(unsent), self._room, exchange.room, self._longest)
            last = size == len(unsent)
            if size <= 0 and not last:
                self._blocked[exchange.stream] = exchange
                return
            chunk, exchange.unsent = (unsent, b"") if last else (unsent[:size], unsent[size:])
            self._room -= size
            exchange.room -= size
            flags = frames.END_STREAM if last else 0
            self._out.append(frames.frame(frames.DATA, flags, exchange.stream, chunk))
            if last:
                exchange.request.left = True
                return

    def _send_more(self) -> None:
        """What the provider's windows have room for, now that they may have grown."""
        blocked, self._blocked = self._blocked, {}
        for exchange in blocked.values():
            self._send_body(exchange)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """One write for all that is sent in this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        out, self._out = self._out, []
        if out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(out))
            self._written = self._next - 2

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._frames += 1
        if self._frames > _MOST_FRAMES:
            raise ValueError("frames without an end")
        if self._block is not None and kind != frames.CONTINUATION:
            raise ValueError("a block of header fields without its end")
        if kind in _OF_A_STREAM and not (stream & 1 and stream < self._next):
            raise ValueError("a frame of a stream that is none of ours")
        if kind in _OF_A_CONNECTION and stream:
            raise ValueError("a frame of the connection on a stream")
        if act := self._on.get(kind):  # RFC 9113, 4.1: what is not known is ignored
            act(flags, stream, payload)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._on_block(flags, stream, frames.unpadded(flags, payload))

    def _on_block(self, flags: int, stream: int, block: bytes) -> None:
        if not flags & frames.END_HEADERS:
            self._block = (flags, stream, block)
            return
        fields = frames.read_block(block) if self._decoder is None else None
        if fields is None:  # the provider has a table after all
            if self._decoder is None:
                self._decoder = Decoder(max_header_list_size=_BLOCK)
            decoded = self._decoder.decode(block, raw=True)
            fields = {bytes(each[0]): bytes(each[1]) for each in decoded}
        exchange = self._open.get(stream)
        if exchange is None:
            return
        informational = fields.get(b":status", b"").startswith(b"1")
        if exchange.headers is None and not informational:  # else what follows a body
            exchange.headers = fields
        if flags & frames.END_STREAM:
            self._on_end(exchange)

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[1] != stream:
            raise ValueError("header fields that continue nothing")
        begun, _, block = self._block
        if len(block) + len(payload) > _BLOCK:
            raise ValueError("header fields without an end")
        self._block = None
        self._on_block(begun | flags & frames.END_HEADERS, stream, block + payload)

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._received += size
        if self._received >= _WINDOW // 2:
            self._out.append(_credit(0, self._received))
            self._received = 0
            self._flush_soon()
        exchange = self._open.get(stream)
        if exchange is None:
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(flags & frames.PADDED, payload)
        exchange.body = (exchange.body + payload)[:KEPT] if exchange.body else payload
        if flags & frames.END_STREAM:
            self._on_end(exchange)
            return
        exchange.received += size
        if exchange.received >= frames.WINDOW // 2:
            self._out.append(_credit(stream, exchange.received))
            exchange.received = 0
            self._flush_soon()

    def _on_end(self, exchange: _Exchange) -> None:
        self._frames = 0
        self._drop(exchange)
        if exchange.unsent:
            self._reset(exchange.stream)  # the provider has read enough
        answer = _settle(exchange)
        self._proven = self._proven or answer.status == 200
        self._freed()

    def _on_reset(self, _flags: int, stream: int, payload: bytes) -> None:
        code = _number(payload)
        exchange = self._open.get(stream)
        if exchange is None:
            return
        self._frames = 0
        self._drop(exchange)
        if code == frames.REFUSED_STREAM:
            _refuse(exchange, f"{self._name} refused to open a stream")
        else:
            self._lose(exchange, f"{self._name} reset the stream")
        self._freed()

    def _on_credit(self, _flags: int, stream: int, payload: bytes) -> None:
        more = _number(payload) & _LARGEST_WINDOW
        if not more:
            raise ValueError("credit of nothing")
        if not stream:
            self._room = _grown(self._room, more)
        elif exchange := self._open.get(stream):
            exchange.room = _grown(exchange.room, more)
        if self._blocked:
            self._send_more()

    def _on_settings(self, flags: int, _stream: int, payload: bytes) -> None:
        if flags & frames.ACK:
            if payload:
                raise ValueError("an acknowledgement with settings")
            return
        said = frames.read_settings(payload)
        streams = said.get(frames.MAX_CONCURRENT_STREAMS, self._allowed)
        self._allowed = min(streams, self._limits.streams)
        self._longest = said.get(frames.MAX_FRAME_SIZE, self._longest)
        window = said.get(frames.INITIAL_WINDOW_SIZE, self._stream_room)
        if more := window - self._stream_room:
            self._stream_room = window
            for exchange in self._open.values():
                exchange.room = _grown(exchange.room, more)
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_more()
        self._freed()

    def _on_ping(self, flags: int, _stream: int, payload: bytes) -> None:
        if len(payload) != frames.PING_SIZE:
            raise ValueError("a PING of a wrong length")
        if not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
            self._flush_soon()

    def _on_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise ValueError("a promise, though none is wanted")

    def _on_goaway(self, _flags: int, _stream: int, payload: bytes) -> None:
        """Streams after the last one that the provider names are not processed, those before go
        on (RFC 9113, 6.8)."""
        if len(payload) < 8:
            raise ValueError("a farewell that is too short")
        last = _number(payload[:4]) & _LAST_STREAM
        said = self._farewell(payload[8:])
        text = f"{self._name} closed the connection" + (f": {said}" if said else "")
        for exchange in [each for each in self._open.values() if each.stream > last]:
            self._drop(exchange)
            _refuse(exchange, text)
        self.retire()
        self._freed()

    def _time_out(self, exchange: _Exchange) -> None:
        self._give_up(exchange)
        if not exchange.future.done():
            exchange.future.set_exception(TimeoutError())

    def _give_up(self, exchange: _Exchange) -> None:
        """Nobody waits for the answer any more."""
        if exchange.stream not in self._open:
            return
        self._drop(exchange)
        self._reset(exchange.stream)
        deaf = self._full or self._heard <= exchange.begun
        if deaf and self._loop.time() - exchange.begun >= self._limits.deaf:
            self.draining = True  # it may be half open: the next try another
        self._freed()

    def _reset(self, stream: int) -> None:
        code = frames.CANCEL.to_bytes(4, "big")
        self._out.append(frames.frame(frames.RST_STREAM, 0, stream, code))
        self._flush_soon()

    def _drop(self, exchange: _Exchange) -> None:
        del self._open[exchange.stream]
        self._blocked.pop(exchange.stream, None)
        if exchange.timer is not None:
            exchange.timer.cancel()

    def _lose_all(self, text: str) -> None:
        for exchange in list(self._open.values()):
            self._drop(exchange)
            self._lose(exchange, text)

    def _lose(self, exchange: _Exchange, text: str) -> None:
        """An answer without its end is an answer; a request without its end is none."""
        if exchange.headers is not None:
            _settle(exchange)
        elif exchange.unsent or exchange.stream > self._written:
            _fail(exchange, NotProcessed(text))
        else:
            _fail(exchange, NoAnswer(text))

    def _close(self, code: int, text: str) -> None:
        self.draining = True
        self._lose_all(text)
        if self.transport is not None and not self.transport.is_closing():
            said = (0).to_bytes(4, "big") + code.to_bytes(4, "big")
            # What has not left by now is lost, and must not leave after all.
            self._out = [frames.frame(frames.GOAWAY, 0, 0, said)]
            self._flush()
            self.transport.close()
        self._changed(self)

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _freed(self) -> None:
        if self.draining and not self._open:
            self.close()
        else:
            self._changed(self)

    def _watch(self) -> None:
        """Ping a silent provider, leave one that does not answer, retire what is old."""
        now = self._loop.time()
        if now >= self._old_at:
            self.retire()
        if self.transport is None or self.transport.is_closing():
            return
        due = self._heard + self._limits.quiet
        if self._pinged > self._heard:
            due = self._pinged + self._limits.patience
            if now >= due:
                self._leave()
                return
        elif now >= due:
            self._out.append(frames.frame(frames.PING, 0, 0, b"anyone??"))
            self._flush()
            self._pinged = now
            due = now + self._limits.patience
        due = due if self.draining else min(due, self._old_at)
        self._watching = self._loop.call_at(due, self._watch)


def _settle(exchange: _Exchange) -> Answer:
    headers = exchange.headers or {}
    status = headers.get(b":status", b"")
    good = len(status) == 3 and status.isdigit()
    answer = Answer(int(status) if good else 0, headers, exchange.body)
    if not exchange.future.done():
        exchange.future.set_result(answer)
    return answer


def _refuse(exchange: _Exchange, text: str) -> None:
    """What the provider says it has not processed, unless it has begun to answer it."""
    if exchange.headers is not None:
        _settle(exchange)
    else:
        _fail(exchange, NotProcessed(text))


def _fail(exchange: _Exchange, error: NotProcessed | NoAnswer) -> None:
    exchange.request.left = isinstance(error, NoAnswer)
    if not exchange.future.done():
        exchange.future.set_exception(error)


def _in_parts(stream: int, block: bytes, longest: int) -> list[bytes]:
    parts = [block[at : at + longest] for at in range(0, len(block), longest)]
    kinds = [frames.HEADERS, *[frames.CONTINUATION] * (len(parts) - 1)]
    flags = [0] * (len(parts) - 1) + [frames.END_HEADERS]
    return [
        frames.frame(kind, flag, stream, part)
        for kind, flag, part in zip(kinds, flags, parts, strict=True)
    ]


def _credit(stream: int, more: int) -> bytes:
    return frames.frame(frames.WINDOW_UPDATE, 0, stream, more.to_bytes(4, "big"))


def _grown(window: int, more: int) -> int:
    if window + more > _LARGEST_WINDOW:
        raise ValueError("a window that is too large")
    return window + more


def _number(payload: bytes) -> int:
    if len(payload) != 4:
        raise ValueError("a frame of a wrong length")
    return int.from_bytes(payload, "big")
