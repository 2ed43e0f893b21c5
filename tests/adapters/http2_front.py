"""A server that speaks HTTP/2 over TLS and asks a double behind it, as a provider's front does."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import aiohttp
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes


class Front:
    """`streams` is how many at a time are let open. `connections` are those that came, `requests`
    the header fields of those that were read."""

    def __init__(self, authority, upstream, *, streams=100, name="127.0.0.1"):
        self.context = authority.server_context(ask_for_certificate=False)
        self.upstream = upstream
        self.streams = streams
        self.name = name
        self.connections = []
        self.requests = []
        self.url = ""

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.session = aiohttp.ClientSession()
        self.server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self.context
        )
        self.url = f"https://{self.name}:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for connection in self.connections:
            connection.transport.abort()
            for task in connection.tasks:
                task.cancel()
        await self.session.close()
        await asyncio.sleep(0)


@dataclass
class _Request:
    headers: dict[str, str]
    body: bytes = b""


class _Connection(asyncio.Protocol):
    def __init__(self, front):
        self.front = front
        self.tasks = set()
        self.open = {}
        self.conn = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport):
        self.transport = transport
        self.front.connections.append(self)
        self.conn.initiate_connection()
        self.conn.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self.front.streams})
        self.flush()

    def data_received(self, data):
        for event in self.conn.receive_data(data):
            match event:
                case events.RequestReceived():
                    self.open[event.stream_id] = _Request(dict(event.headers))
                case events.DataReceived():
                    self.open[event.stream_id].body += event.data
                    self.conn.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                case events.StreamEnded():
                    task = asyncio.ensure_future(self.answer(event.stream_id))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
        self.flush()

    def flush(self):
        if data := self.conn.data_to_send():
            self.transport.write(data)

    async def answer(self, stream):
        asked = self.open.pop(stream)
        self.front.requests.append(asked.headers)
        headers = {name: value for name, value in asked.headers.items() if name[0] != ":"}
        url = self.front.upstream + asked.headers[":path"]
        with contextlib.suppress(Exception):
            try:
                async with self.front.session.post(url, data=asked.body, headers=headers) as reply:
                    body = await reply.read()
            except aiohttp.ClientError:
                self.conn.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            else:
                said = [(name.lower(), value) for name, value in reply.headers.items()]
                said = [one for one in said if one[0] not in {"connection", "transfer-encoding"}]
                self.conn.send_headers(stream, [(":status", str(reply.status)), *said])
                self.conn.send_data(stream, body, end_stream=True)
            self.flush()
