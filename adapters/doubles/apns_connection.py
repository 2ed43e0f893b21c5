"""One client's HTTP/2 connection to the APNs double."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, SettingsFrame

from adapters.doubles import apns_rules

_UNBOUNDED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the double does with a request that it has read whole.

    It waits for `after`, then answers `status`, the JSON of `reason` and `timestamp`, or `body` as
    it is, with `headers` and, if `echo_id`, the request's `apns-id`.

    Instead it may be `silent`, `reset` the stream with this code, or write `raw` bytes and close
    the connection: none to hang up, any that are no HTTP/2 for garbage. Before the answer it may
    say GOAWAY: `graceful` names this stream as the last that is answered; `immediate` names the one
    before, so this one gets no answer. `told` is called with what is done in the end, be it this or
    a refusal.
    """

    status: int = 200
    reason: str = ""
    timestamp: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    echo_id: bool = True
    after: asyncio.Event | None = None
    silent: bool = False
    reset: ErrorCodes | None = None
    raw: bytes | None = None
    unfinished: bool = False
    early: bool = False
    goaway: Literal["", "graceful", "immediate"] = ""
    told: Callable[[Answer], None] | None = None


class Double(Protocol):
    """What a connection needs of the double it belongs to."""

    requests: list[apns_rules.Request]
    reached: asyncio.Event
    tokens: apns_rules.Tokens
    topics: frozenset[str]
    tasks: set[asyncio.Task[None]]
    connections: list[Connection]
    one_stream: bool
    corked: bool
    credit: bool
    streams: int
    window: int
    accepted: int
    refused: int
    cancelled: int
    pings: int

    def turn(self, token: str) -> Answer: ...


class Connection(asyncio.Protocol):
    """One client's connection. h2's own limits are put aside: the double has stricter ones, and
    breaks rules that h2 would keep."""

    transport: asyncio.Transport

    def __init__(self, double: Double) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._double = double
        self._conn = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._conn.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: _UNBOUNDED}
        )
        self._number = double.accepted
        double.accepted += 1
        self._raw = bytearray()
        self._headers: dict[int, list[tuple[str, str]]] = {}
        self._bodies: dict[int, bytes] = {}
        self._answers: dict[int, Answer] = {}
        self._open: set[int] = set()
        self._unsent: deque[tuple[int, bytes]] = deque()
        self._highest = 0
        self._owed: dict[int, int] = {}
        self._proven = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a stream it is a Transport
        self._double.connections.append(self)
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        self._certificate = bool(tls.getpeercert())
        self._conn.initiate_connection()
        self._conn.clear_outbound_data_buffer()
        said = {
            SettingCodes.MAX_CONCURRENT_STREAMS: self._double.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: self._double.window,
        }
        self._raw += SettingsFrame(0, settings={int(key): said[key] for key in said}).serialize()
        self.flush()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._double.connections.remove(self)
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            received = self._conn.receive_data(data)
        except H2Error:
            self.flush()
            self.transport.close()
            return
        for event in received:
            self._on(event)
        self.flush()

    def flush(self) -> None:
        self._raw += self._conn.data_to_send()
        if self._raw and not self._double.corked and not self.transport.is_closing():
            self.transport.write(bytes(self._raw))
            self._raw.clear()

    def freeze(self) -> None:
        self.transport.pause_reading()

    def hang_up(self) -> None:
        self.transport.abort()

    def give_credit(self) -> None:
        owed, self._owed = self._owed, {}
        if owed:
            self._conn.increment_flow_control_window(sum(owed.values()))
        for stream_id in owed.keys() & self._bodies.keys():
            self._conn.increment_flow_control_window(owed[stream_id], stream_id)
        self.flush()

    def goaway(self, last_stream_id: int | None, *, reason: str) -> None:
        # Not h2's: that would end the streams which are to be answered.
        self._raw += self._conn.data_to_send()
        last = self._highest if last_stream_id is None else last_stream_id
        said = json.dumps({"reason": reason}).encode()
        self._raw += GoAwayFrame(0, last_stream_id=last, additional_data=said).serialize()
        self.flush()

    def _on(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._begin(event.stream_id, event.headers)
            case events.DataReceived():
                self._more(event)
            case events.StreamEnded() if event.stream_id in self._open:
                self._read(event.stream_id)
            case events.StreamReset():
                self._double.cancelled += 1
                self._open.discard(event.stream_id)
                self._bodies.pop(event.stream_id, None)
            case events.WindowUpdated():
                self._send_unsent()
            case events.PingReceived():
                self._double.pings += 1

    def _begin(self, stream_id: int, headers: Any) -> None:
        proven = self._proven or not self._double.one_stream or self._certificate
        if len(self._open) >= (self._double.streams if proven else 1):
            self._double.refused += 1
            self._conn.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._highest = stream_id
        self._open.add(stream_id)
        self._headers[stream_id] = list(headers)
        self._bodies[stream_id] = b""
        path = dict(headers).get(":path", "")
        self._answers[stream_id] = self._double.turn(path.removeprefix("/3/device/"))
        if self._answers[stream_id].early:
            self._read(stream_id)

    def _more(self, event: events.DataReceived) -> None:
        if event.stream_id in self._open:
            self._bodies[event.stream_id] += event.data
        size = event.flow_controlled_length
        self._owed[event.stream_id] = self._owed.get(event.stream_id, 0) + size
        if self._double.credit and event.stream_ended is None:
            self.give_credit()

    def _read(self, stream_id: int) -> None:
        double = self._double
        headers = self._headers.pop(stream_id)
        mapping = dict(headers)
        token = mapping.get(":path", "").removeprefix("/3/device/")
        request = apns_rules.Request(
            token=token,
            headers=mapping,
            body=self._bodies.pop(stream_id),
            connection=self._number,
            stream_id=stream_id,
        )
        double.requests.append(request)
        double.reached.set()
        if double.credit:
            self.give_credit()
        refusal = self._refusal(request, [name for name, _ in headers])
        answer = self._answers.pop(stream_id)
        if refusal is not None and not answer.early:
            answer = Answer(status=refusal[0], reason=refusal[1], told=answer.told)
        if answer.after is None:
            self._perform(request, answer)
            return
        task = asyncio.ensure_future(self._later(request, answer, answer.after))
        double.tasks.add(task)
        task.add_done_callback(double.tasks.discard)

    def _refusal(self, request: apns_rules.Request, names: list[str]) -> apns_rules.Refusal | None:
        if not self._certificate:
            refusal = self._double.tokens.refusal(request.headers.get("authorization"))
            if refusal is not None:
                return refusal
        return apns_rules.refusal(request, names, self._double.topics)

    async def _later(
        self, request: apns_rules.Request, answer: Answer, after: asyncio.Event
    ) -> None:
        await after.wait()
        if request.stream_id in self._open and not self.transport.is_closing():
            self._perform(request, answer)
            self.flush()

    def _perform(self, request: apns_rules.Request, answer: Answer) -> None:
        stream_id = request.stream_id
        if answer.told is not None:
            answer.told(answer)
        if answer.goaway:
            graceful = answer.goaway == "graceful"
            self.goaway(stream_id if graceful else max(0, stream_id - 2), reason="Shutdown")
        if answer.silent or answer.goaway == "immediate":
            return
        self._open.discard(stream_id)
        if answer.reset is not None:
            self._conn.reset_stream(stream_id, answer.reset)
        elif answer.raw is not None:
            self.transport.write(answer.raw)
            self.transport.close()
        else:
            self._answer(request, answer)

    def _answer(self, request: apns_rules.Request, answer: Answer) -> None:
        self._proven = self._proven or answer.status == 200
        headers = [(":status", str(answer.status)), *answer.headers.items()]
        if answer.echo_id:
            headers.append(("apns-id", request.headers.get("apns-id", "")))
        body = answer.body
        if body is None:
            said = {"reason": answer.reason, "timestamp": answer.timestamp}
            told = {name: value for name, value in said.items() if value}
            body = json.dumps(told).encode() if told else b""
        if answer.unfinished:
            self._conn.send_headers(request.stream_id, headers)
            self.flush()
            self.transport.close()
            return
        self._conn.send_headers(request.stream_id, headers, end_stream=not body)
        if body:
            self._unsent.append((request.stream_id, body))
            self._send_unsent()

    def _send_unsent(self) -> None:
        """Bodies in turn, each when the client has room for it."""
        while self._unsent:
            stream_id, body = self._unsent[0]
            if self._conn.local_flow_control_window(stream_id) < len(body):
                return
            self._unsent.popleft()
            self._conn.send_data(stream_id, body, end_stream=True)
