"""One HTTP/2 connection to APNs: aioapns' protocol with what it leaves undone.

aioapns 4.0 as it comes never acknowledges what it receives, ignores resets and the last stream of
a GOAWAY, opens streams before it knows how many it may, stops half-way where a window is full, and
closes connections that wait for an answer. `tests/adapters/test_apns_http2.py` shows each of these
on the original and not on this one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from aioapns.connection import APNsTLSClientProtocol
from h2 import events
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from adapters import apns_frames
from adapters.apns_credentials import ProviderToken
from adapters.apns_frames import Answer, Limits, NotProcessed, Push
from adapters.apns_streams import Exchange, Streams


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
        self._streams = Streams(self.conn)
        self._authority = authority.encode()
        self._limits = limits
        self._changed = changed
        self._allowed = limits.streams
        self._proven = token is None
        self._flush_due = False
        self._heard = loop.time()
        self._old_at = self._heard + limits.age
        self._pinged = -math.inf
        self._on: dict[type[events.Event], Callable[[Any], None]] = {
            events.RemoteSettingsChanged: self._on_settings,
            events.WindowUpdated: lambda _: self._streams.send_more(),
            events.ResponseReceived: self._streams.response,
            events.DataReceived: self._streams.data,
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
        return max(0, allowed - len(self._streams))

    async def send_notification(  # type: ignore[override]  # it is given nothing but a Push
        self, request: Push
    ) -> Answer:
        """The answer, whatever it says; else NotProcessed or NoAnswer. A cancelled send resets its
        stream and disturbs no other. Does not give way before the stream is open, so a stream that
        was free is still free."""
        exchange, begun = self._open(request), self.loop.time()
        try:
            return await exchange.future
        except asyncio.CancelledError:
            if self._streams.cancel(exchange):
                self._flush_soon()
                silence = self.loop.time() - max(begun, self._heard)
                if self._heard < begun and silence >= self._limits.deaf:
                    self.draining = True  # it may be half open: the next try another
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
        self._streams.lose_all("The connection was closed")
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
            self._streams.lose_all("APNs answered what is not HTTP/2")
            self.close()
            return
        for event in received:
            if act := self._on.get(type(event)):
                act(event)
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self.trouble = self.trouble or exc
        self.draining = True
        self._streams.lose_all("The connection to APNs was lost")
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
            self._streams.written = self.conn.highest_outbound_stream_id

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

    def _open(self, push: Push) -> Exchange:
        push.left = False
        push.authorization = self.auth_provider.get_header() if self.auth_provider else None
        try:
            exchange = self._streams.open(push, self._authority)
        except H2Error as error:
            self.retire()
            raise NotProcessed("The connection to APNs takes no more requests") from error
        self._flush_soon()
        return exchange

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        if allowed := event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS):
            self._allowed = min(allowed.new_value, self._limits.streams)
        if not self.ready.done():
            self.ready.set_result(None)
        self._streams.send_more()  # the windows of all streams may have grown
        self._freed()

    def _on_end(self, event: events.StreamEnded) -> None:
        answer = self._streams.end(event.stream_id)
        if answer is not None:
            self._proven = self._proven or answer.code == 200
            self._freed()

    def _on_reset(self, event: events.StreamReset) -> None:
        self._streams.reset(event)
        self._freed()

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        said = apns_frames.reason(event.additional_data)
        text = f"APNs closed the connection: {said}" if said else "APNs closed the connection"
        self._streams.refuse_above(event.last_stream_id or 0, text)
        self.retire()
        self._freed()

    def _freed(self) -> None:
        if self.draining and not len(self._streams):
            self.close()
        else:
            self._changed(self)
