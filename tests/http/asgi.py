"""The real application over a real database, asked thousands of times without a socket."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import anyio.from_thread
from botocore.parsers import create_parser

from worker import http as edge
from worker import runtime as runtime_
from worker import store


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def parsed(self, shape):
        """What botocore makes of it."""
        given = {"status_code": self.status, "headers": self.headers, "body": self.body}
        return create_parser("rest-json").parse(given, shape)


@dataclass
class App:
    runtime: runtime_.Runtime
    application: str
    portal: Any = field(repr=False)
    asgi: Any = field(repr=False)

    def request(self, method, path, body=b"", headers=None):
        """Ask. `path` is as it would be on the wire, with its query."""
        return self.portal.call(self._request, method, path, body, headers or {})

    async def _request(self, method, path, body, headers):
        raw, _, query = path.partition("?")
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent = []

        async def receive():
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw,
            "raw_path": raw.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in {"host": "sendpoint", **headers}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.asgi(scope, receive, send)
        start, *rest = sent
        told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], told, b"".join(one.get("body", b"") for one in rest))


@contextlib.contextmanager
def running(settings):
    """An `App` over a fresh database and no worker, so that nothing is delivered."""
    runtime = runtime_.open_runtime(settings)
    try:
        store.upgrade(runtime.db)
        with anyio.from_thread.start_blocking_portal() as portal:
            application = store.create_application(runtime.db, "shop")
            yield App(runtime, application.id, portal, edge.application(runtime))
    finally:
        runtime.close()
