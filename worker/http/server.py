"""Serving the application with uvicorn, for a process and for a block of code."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, cast
from uuid import uuid4

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker import wire
from worker.http import app, guard
from worker.runtime import Runtime
from worker.settings import Settings

_KEEP_ALIVE = 65  # seconds; load balancers let go of an idle connection after 60


def serve(
    runtime: Runtime, *, host: str, port: int, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are under way and return.

    Port 0 is a free port; `on_ready` is told the base URL once connections are taken.
    `ValueError` for settings that would accept unsigned requests from beyond this machine.
    """
    server = _server(runtime)
    listener = _listen(runtime.settings, host, port)
    if on_ready is not None:
        on_ready(_url(listener))
    with _returning_after_signals():
        server.run(sockets=[listener])


@contextlib.contextmanager
def serving(runtime: Runtime, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread for the length of a `with` block, which is given the base URL."""
    server = _server(runtime)
    listener = _listen(runtime.settings, host, port)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="sendpoint-http"
    )
    thread.start()
    try:
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join()


class _Gathering:
    """A transport that writes at once what it is given in one turn of the loop: uvicorn gives it
    an answer's head and body one after the other, and each write costs as much as reading both."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()


class _Protocol(H11Protocol):
    """uvicorn's, but an answer is one write, and what is not HTTP is refused in Pinpoint's shape
    too."""

    # uvicorn's own signature, which is narrower than asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _Gathering(transport)))

    def send_400_response(self, msg: str) -> None:
        request_id = str(uuid4())
        refused = guard.refusal(wire.BadRequest(msg), request_id)
        headers = [
            *refused.raw_headers,
            *guard.every_answers(request_id),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(refused.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()


def _server(runtime: Runtime) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app.application(runtime),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # it would log addresses
            proxy_headers=False,  # it would let a header say who the peer is
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(runtime.settings.wait) + 10,
        )
    )


def _listen(settings: Settings, host: str, port: int) -> socket.socket:
    """A listening socket. The host is resolved once, so what is checked is what is bound."""
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if not settings.auth and not ip_address(address[0]).is_loopback:
        raise ValueError(
            f"Listening on {host} needs SENDPOINT_AUTH=on: unsigned requests are accepted from "
            "this machine only"
        )
    return socket.create_server(address, family=family, backlog=2048)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _returning_after_signals() -> Iterator[None]:
    """Stopped by a signal, uvicorn raises it again at its end, which would end the process before
    the caller has closed what it holds. In here that second time does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda *_: None) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
