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

_BODY = 8192  # bytes of an answer that are kept


class NotProcessed(Exception):
    """The provider has not processed the request: it is safe to send it again."""


class NoAnswer(Exception):
    """The request left and no answer came: the provider may have processed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one connection; times in seconds. `streams` bounds what the provider allows.

    After `quiet` without a sign of the provider it is pinged, and has `patience` to answer. From
    `age` on the connection takes no more requests; `parting` bounds TLS's farewell.
    """

    streams: int = 500
    connect: float = 15.0
    quiet: float = 30.0
    patience: float = 10.0
    age: float = 3600.0
    parting: float = 1.0


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
        self._born = self._heard = loop.time()
        self._pinged: float | None = None
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
        return max(0, (self._allowed if self._proven else 1) - len(self._exchanges))

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
        now = self.loop.time()
        if now >= self._born + self._limits.age:
            self.retire()
        if self._pinged is not None and self._heard < self._pinged:
            self.trouble = TimeoutError("APNs does not answer a PING")
            if self.transport is not None:
                self.transport.abort()
            return
        self._pinged = None
        again = self._heard + self._limits.quiet
        if now >= again and not self.draining:
            self._pinged = now
            self.conn.ping(b"sendpnt?")
            self.flush()
            again = now + self._limits.patience
        self.inactivity_timer = self.loop.call_at(max(again, now + 0.01), self._watch)
