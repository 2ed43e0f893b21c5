"""The requests in flight on one connection to APNs, each on a stream of its own.

An answer belongs to a stream and is complete when the stream ends. A request that comes to nothing
does so in one of two ways, and the difference is what may be done next: see `NotProcessed` and
`NoAnswer`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamReset
from h2.exceptions import H2Error

from adapters.apns_frames import H2, Answer, NoAnswer, NotProcessed, Push

_BODY = 8192  # bytes of an answer that are kept


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and what has come of it; `unsent` is what the windows had no room for."""

    stream_id: int
    push: Push
    unsent: bytes
    future: asyncio.Future[Answer]
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def answer(self) -> Answer:
        answer = Answer(self.headers, self.body)
        if not self.future.done():
            self.future.set_result(answer)
        return answer

    def fail(self, error: NotProcessed | NoAnswer) -> None:
        self.push.left = isinstance(error, NoAnswer)
        if not self.future.done():
            self.future.set_exception(error)


class Streams:
    """`written` is the last stream of which something was handed to the transport."""

    def __init__(self, conn: H2) -> None:
        self.written = 0
        self._conn = conn
        self._open: dict[int, Exchange] = {}
        self._blocked: dict[int, Exchange] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, push: Push, authority: bytes) -> Exchange:
        """Raises H2Error if the connection takes no more streams."""
        stream_id = self._conn.get_next_available_stream_id()
        self._conn.send_headers(stream_id, push.headers(authority))
        future = asyncio.get_running_loop().create_future()
        exchange = Exchange(stream_id, push, push.body, future)
        self._open[stream_id] = exchange
        self._send_body(exchange)
        if exchange.unsent:
            self._blocked[stream_id] = exchange
        return exchange

    def cancel(self, exchange: Exchange) -> bool:
        """Whether the request was in flight, and so its stream is reset now."""
        in_flight = self._drop(exchange.stream_id) is not None
        if in_flight:
            self._reset(exchange.stream_id)
        return in_flight

    def send_more(self) -> None:
        """What the provider's windows have room for, now that they may have grown."""
        for exchange in list(self._blocked.values()):
            if self._conn.outbound_flow_control_window <= 0:
                return
            with contextlib.suppress(H2Error):  # its stream may be closed: the next event says so
                self._send_body(exchange)
            if not exchange.unsent:
                del self._blocked[exchange.stream_id]

    def response(self, event: ResponseReceived) -> None:
        if exchange := self._open.get(event.stream_id):
            exchange.headers = dict(event.headers)

    def data(self, event: DataReceived) -> None:
        self._conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if exchange := self._open.get(event.stream_id):
            exchange.body = (exchange.body + event.data)[:_BODY]

    def end(self, stream_id: int) -> Answer | None:
        """The answer, unless nobody waits for it."""
        exchange = self._drop(stream_id)
        if exchange is None:
            return None
        if exchange.unsent:
            self._reset(stream_id)  # the provider has read enough
        return exchange.answer()

    def reset(self, event: StreamReset) -> None:
        exchange = self._drop(event.stream_id)
        if exchange is None:
            return
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            exchange.fail(NotProcessed("APNs refused to open a stream"))
        else:
            self._lose(exchange, "APNs reset the stream")

    def refuse_above(self, last_stream_id: int, text: str) -> None:
        """The provider has not processed, and will not process, the streams after this one."""
        for stream_id in [each for each in self._open if each > last_stream_id]:
            if exchange := self._drop(stream_id):
                exchange.fail(NotProcessed(text))

    def lose_all(self, text: str) -> None:
        exchanges, self._open = self._open, {}
        self._blocked.clear()
        for exchange in exchanges.values():
            self._lose(exchange, text)

    def _send_body(self, exchange: Exchange) -> None:
        while exchange.unsent:
            room = self._conn.local_flow_control_window(exchange.stream_id)
            size = min(room, self._conn.max_outbound_frame_size)
            if size <= 0:
                return
            chunk, exchange.unsent = exchange.unsent[:size], exchange.unsent[size:]
            self._conn.send_data(exchange.stream_id, chunk, end_stream=not exchange.unsent)
        exchange.push.left = True

    def _drop(self, stream_id: int) -> Exchange | None:
        self._blocked.pop(stream_id, None)
        return self._open.pop(stream_id, None)

    def _reset(self, stream_id: int) -> None:
        with contextlib.suppress(H2Error):  # the stream or the connection may be closed already
            self._conn.reset_stream(stream_id, ErrorCodes.CANCEL)

    def _lose(self, exchange: Exchange, text: str) -> None:
        """An answer without its end is an answer; a request without its end is none."""
        if exchange.headers:
            exchange.answer()
        elif exchange.unsent or exchange.stream_id > self.written:
            exchange.fail(NotProcessed(text))
        else:
            exchange.fail(NoAnswer(text))
