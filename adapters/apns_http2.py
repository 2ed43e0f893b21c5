"""One HTTP/2 connection to APNs: aioapns' protocol with what it leaves undone.

aioapns 4.0 as it comes never acknowledges what it receives, ignores resets and the last stream of
a GOAWAY, opens streams before it knows how many it may, stops half-way where a window is full, and
closes connections that wait for an answer. `tests/adapters/test_apns_http2.py` shows each of these
on the original and not on this one.

An answer belongs to a stream and is complete when the stream ends. A stream that comes to nothing
does so in one of two ways, and the difference is what may be done next: see `NotProcessed` and
`NoAnswer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aioapns.connection import APNsTLSClientProtocol
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from adapters import apns_frames
from adapters.apns_credentials import ProviderToken
from adapters.apns_frames import Limits, NoAnswer, NotProcessed

_BODY = 8192  # bytes of an answer that are kept


@dataclass(slots=True, eq=False)
class _Exchange:
    push: apns_frames.Push
    unsent: bytes
    future: asyncio.Future[apns_frames.Answer]
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class Connection(APNsTLSClientProtocol):
    """`changed` is called when `free` may have grown and when `draining` has become true.

    `ready` is done when the provider's settings have come, or the connection was lost before;
    `gone` when it is closed; `trouble` is why, if there was a reason.
    """

    def __init__(
        self,
        authority: str,
        token: ProviderToken | None,
        limits: Limits,
        changed: Callable[[Connection], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__("", loop, None, token)
        self.conn = apns_frames.H2()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.trouble: Exception | None = None
        self.draining = False
        self._authority = authority.encode()
        self._limits = limits
        self._changed = changed
        self._allowed = limits.streams
        self._proven = token is None
        self._exchanges: dict[int, _Exchange] = {}
        self._blocked: dict[int, _Exchange] = {}
        self._written = 0  # the last stream of which something was handed to the transport
        self._flush_due = False
        self._heard = loop.time()
        self._old_at = self._heard + limits.age
        self._pinged = -math.inf
        self._on: dict[type[events.Event], Callable[[Any], None]] = {
            events.RemoteSettingsChanged: self._on_settings,
            events.WindowUpdated: self._on_window,
            events.ResponseReceived: self._on_response,
            events.DataReceived: self._on_data,
            events.StreamEnded: self._on_end,
            events.StreamReset: self._on_reset,
            events.ConnectionTerminated: self._on_goaway,
        }

    @property
    def free(self) -> int:
        """How many streams can be opened now. Apple: with a token, one until it was accepted."""
        if self.draining:
            return 0
        allowed = self._allowed if self._proven else min(self._allowed, 1)
        return max(0, allowed - len(self._exchanges))

    @property
    def is_busy(self) -> bool:
        return not self.free

    async def send_notification(  # type: ignore[override]  # it is given nothing but a Push
        self, request: apns_frames.Push
    ) -> apns_frames.Answer:
        """The answer, whatever it says; else NotProcessed or NoAnswer. A cancelled send resets its
        stream and disturbs no other. Does not give way before the stream is open, so a stream that
        was free is still free."""
        stream_id, exchange = self._open(request)
        try:
            return await exchange.future
        except asyncio.CancelledError:
            if self._drop(stream_id):
                self._reset(stream_id)
                self._freed()
            raise

    def retire(self) -> None:
        """Take no more requests, and close when the last answer is in."""
        if not self.draining:
            self.draining = True
            self._freed()

    def close(self) -> None:
        """Close now. Requests in flight are lost: `NoAnswer`, or `NotProcessed`."""
        self.draining = True
        self._lose_all("The connection was closed")
        if self.transport is not None and not self.transport.is_closing():
            self.conn.close_connection()
            self.flush()
            self.transport.close()
        self._changed(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        try:
            received = self.conn.receive_data(data)
        except H2Error as error:
            self.trouble = error
            self._lose_all("APNs answered what is not HTTP/2")
            self.close()
            return
        for event in received:
            if act := self._on.get(type(event)):
                act(event)
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self.trouble = self.trouble or exc
        self.draining = True
        self._lose_all("The connection to APNs was lost")
        if self.inactivity_timer is not None:
            self.inactivity_timer.cancel()
        for future in (self.ready, self.gone):
            if not future.done():
                future.set_result(None)
        self._changed(self)

    def flush(self) -> None:
        self._flush_due = False
        if self.transport is None or self.transport.is_closing():
            return
        if data := self.conn.data_to_send():
            self.transport.write(data)
            self._written = self.conn.highest_outbound_stream_id

    def refresh_inactivity_timer(self) -> None:
        """The original's timer closes what is merely slow; `_watch` asks the provider instead."""

    def _flush_soon(self) -> None:
        """One write for all that is sent in this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self.flush)

    def _watch(self) -> None:
        """Ping a silent provider, leave one that does not answer, retire what is old."""
        now = self.loop.time()
        if now >= self._old_at:
            self.retire()
        if self.transport is None or self.transport.is_closing():
            return
        due = self._heard + self._limits.quiet
        if self._pinged > self._heard:
            due = self._pinged + self._limits.patience
            if now >= due:
                self.transport.abort()
                return
        elif now >= due:
            self.conn.ping(b"anyone??")
            self.flush()
            self._pinged = now
            due = now + self._limits.patience
        due = due if self.draining else min(due, self._old_at)
        self.inactivity_timer = self.loop.call_at(due, self._watch)

    def _open(self, push: apns_frames.Push) -> tuple[int, _Exchange]:
        push.left = False
        push.authorization = self.auth_provider.get_header() if self.auth_provider else None
        try:
            stream_id = self.conn.get_next_available_stream_id()
            self.conn.send_headers(stream_id, push.headers(self._authority))
        except H2Error as error:
            self.retire()
            raise NotProcessed("The connection to APNs takes no more requests") from error
        exchange = _Exchange(push, push.body, self.loop.create_future())
        self._exchanges[stream_id] = exchange
        self._send_body(stream_id, exchange)
        if exchange.unsent:
            self._blocked[stream_id] = exchange
        self._flush_soon()
        return stream_id, exchange

    def _send_body(self, stream_id: int, exchange: _Exchange) -> None:
        """As much as the provider's windows have room for; the rest goes when they open."""
        while exchange.unsent:
            room = self.conn.local_flow_control_window(stream_id)
            size = min(room, self.conn.max_outbound_frame_size)
            if size <= 0:
                return
            chunk, exchange.unsent = exchange.unsent[:size], exchange.unsent[size:]
            self.conn.send_data(stream_id, chunk, end_stream=not exchange.unsent)
        exchange.push.left = True

    def _on_window(self, _event: events.WindowUpdated | None) -> None:
        for stream_id in list(self._blocked):
            if self.conn.outbound_flow_control_window <= 0:
                return
            exchange = self._blocked[stream_id]
            with contextlib.suppress(H2Error):  # the next event may be that the stream is closed
                self._send_body(stream_id, exchange)
            if not exchange.unsent:
                del self._blocked[stream_id]

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        if allowed := event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS):
            self._allowed = min(allowed.new_value, self._limits.streams)
        if not self.ready.done():
            self.ready.set_result(None)
        self._on_window(None)
        self._freed()

    def _on_response(self, event: events.ResponseReceived) -> None:
        if exchange := self._exchanges.get(event.stream_id):
            exchange.headers = dict(event.headers)

    def _on_data(self, event: events.DataReceived) -> None:
        self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if exchange := self._exchanges.get(event.stream_id):
            exchange.body = (exchange.body + event.data)[:_BODY]

    def _on_end(self, event: events.StreamEnded) -> None:
        if exchange := self._drop(event.stream_id):
            if exchange.unsent:
                self._reset(event.stream_id)  # it has heard enough
            self._answer(exchange)
            self._freed()

    def _on_reset(self, event: events.StreamReset) -> None:
        if exchange := self._drop(event.stream_id):
            if event.error_code == ErrorCodes.REFUSED_STREAM:
                self._fail(exchange, NotProcessed("APNs refused to open a stream"))
            else:
                self._lose(event.stream_id, exchange, "APNs reset the stream")
            self._freed()

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        said = apns_frames.reason(event.additional_data)
        text = f"APNs closed the connection: {said}" if said else "APNs closed the connection"
        for stream_id in [each for each in self._exchanges if each > (event.last_stream_id or 0)]:
            if exchange := self._drop(stream_id):
                self._fail(exchange, NotProcessed(text))
        self.retire()

    def _drop(self, stream_id: int) -> _Exchange | None:
        self._blocked.pop(stream_id, None)
        return self._exchanges.pop(stream_id, None)

    def _reset(self, stream_id: int) -> None:
        with contextlib.suppress(H2Error):  # the stream may be closed, the connection too
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
            self._flush_soon()

    def _freed(self) -> None:
        if self.draining and not self._exchanges:
            self.close()
        else:
            self._changed(self)

    def _answer(self, exchange: _Exchange) -> None:
        answer = apns_frames.Answer(exchange.headers, exchange.body)
        self._proven = self._proven or answer.code == 200
        if not exchange.future.done():
            exchange.future.set_result(answer)

    def _fail(self, exchange: _Exchange, error: Exception) -> None:
        exchange.push.left = isinstance(error, NoAnswer)
        if not exchange.future.done():
            exchange.future.set_exception(error)

    def _lose(self, stream_id: int, exchange: _Exchange, text: str) -> None:
        """An answer without its end is an answer; a request without its end is none."""
        if exchange.headers:
            self._answer(exchange)
        elif exchange.unsent or stream_id > self._written:
            self._fail(exchange, NotProcessed(text))
        else:
            self._fail(exchange, NoAnswer(text))

    def _lose_all(self, text: str) -> None:
        exchanges, self._exchanges = self._exchanges, {}
        self._blocked.clear()
        for stream_id, exchange in exchanges.items():
            self._lose(stream_id, exchange, text)
