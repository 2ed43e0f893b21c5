"""One HTTP request to a provider: whether it has left, and an answer that is read to a limit.

aiohttp's connector keeps the connections (names, TLS, limits) and its parser reads the answers. Its
session stays out: what it makes for each request takes as long as all the rest of a send.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError

from adapters.contract import Outcome, indeterminate, temporary

HEADERS = {"User-Agent": "Sendpoint", "Accept": "*/*", "Accept-Encoding": "identity"}
_BODY_LIMIT = 64 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # the deadline is the caller's
_TROUBLE = (aiohttp.ClientError, aiohttp.EofStream, HttpProcessingError, OSError, ValueError)


class NoAnswer(Exception):
    """There is no answer. `left` says whether the request had been written to its connection by
    then, so that the peer may act on it; `kind` what kind of trouble it was, without the words,
    which may hold the URL's secrets. The trouble itself is the cause."""

    def __init__(self, kind: str, *, left: bool) -> None:
        super().__init__(kind)
        self.kind, self.left = kind, left


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `body` is its beginning, at most 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """The JSON object that the body is, or an empty one if it is anything else."""
        try:
            document = msgspec.json.decode(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


class Connections:
    """Kept connections, at most so many, opened by the loop that first needs them.

    Redirects are not followed, cookies not kept, proxies of the environment not used, and nothing
    is tried again. `socket_factory` makes the socket to each address (aiohttp's `TCPConnector`).
    """

    def __init__(
        self,
        *,
        connections: int,
        socket_factory: Callable[[tuple[Any, ...]], socket.socket] | None = None,
    ) -> None:
        if connections < 1:
            raise ValueError("connections must be at least 1")
        self._limit = connections
        self._socket_factory = socket_factory
        self._connector: aiohttp.TCPConnector | None = None
        self._origins: dict[yarl.URL, aiohttp.ClientRequest] = {}
        self.closed = False

    async def request(
        self,
        method: str,
        url: str | yarl.URL,
        *,
        headers: Mapping[str, str],
        deadline: float,
        data: bytes = b"",
        limit: int = _BODY_LIMIT,
    ) -> Reply:
        """One request until `deadline`, in the loop's time, and the first `limit` bytes of the
        answer's body; what is wrong with a body does not undo the answer. Of the request's headers
        only Host and Content-Length are added. Raises `NoAnswer`."""
        if deadline <= asyncio.get_running_loop().time():
            raise NoAnswer(TimeoutError.__name__, left=False)
        left = False
        answer = None
        content = b""
        try:
            origin, host, path = _parsed(url)
            request = (
                f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{_lines(headers)}"
                f"Content-Length: {len(data)}\r\n\r\n"
            ).encode() + data
            async with asyncio.timeout_at(deadline):
                connection, protocol, transport = await self._connected(origin)
                try:
                    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
                    left = True
                    transport.write(request)
                    answer, body = await protocol.read()
                    while 100 <= answer.code < 200 and answer.code != 101:
                        answer, body = await protocol.read()
                    while len(content) < limit and not body.at_eof():
                        content += await body.read(limit - len(content))
                except BaseException:
                    connection.close()
                    raise
                connection.release()  # which closes it if there is more to come
        except _TROUBLE as trouble:
            if answer is None:
                raise NoAnswer(type(trouble).__name__, left=left) from trouble
        return Reply(status=answer.code, headers=answer.headers, body=content)

    async def aclose(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        self.closed = True
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    async def _connected(
        self, origin: yarl.URL
    ) -> tuple[Connection, ResponseHandler, asyncio.Transport]:
        if self.closed:
            raise aiohttp.ClientConnectionError
        if self._connector is None:
            self._connector = aiohttp.TCPConnector(
                limit=self._limit, socket_factory=self._socket_factory
            )
        whereto = self._origins.get(origin)
        if whereto is None:  # all that the connector reads of a request
            whereto = self._origins[origin] = aiohttp.ClientRequest("POST", origin)
        while True:
            try:
                connection = await self._connector.connect(whereto, [], _NO_TIMEOUT)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self.closed and task is not None and not task.cancelling():
                    raise aiohttp.ClientConnectionError from None  # it cancels those who wait
                raise
            protocol, transport = connection.protocol, connection.transport
            if protocol is not None and transport is not None and not protocol.should_close:
                return connection, protocol, transport
            connection.close()  # the peer wrote something that nobody had asked for


class Client:
    """A provider's answers over kept connections. `name` is what the provider is called in an
    outcome's text."""

    def __init__(self, name: str, *, connections: int) -> None:
        self._name = name
        self._connections = Connections(connections=connections)

    async def post(
        self, url: str | yarl.URL, *, data: bytes, headers: Mapping[str, str], deadline: float
    ) -> Reply | Outcome:
        """One POST until `deadline`, in the loop's time: the reply, or what its absence means."""
        if self._connections.closed:
            return temporary(503, "The adapter is closed")
        try:
            return await self._connections.request(
                "POST", url, data=data, headers={**HEADERS, **headers}, deadline=deadline
            )
        except NoAnswer as trouble:
            return unanswered(self._name, trouble)

    async def aclose(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        await self._connections.aclose()


def unanswered(name: str, trouble: NoAnswer) -> Outcome:
    """Indeterminate if the request had left, temporary if it had not. `name` is who did not."""
    if trouble.left:
        return indeterminate(f"{name} did not answer: {trouble.kind}")
    if trouble.kind == TimeoutError.__name__:
        return temporary(504, f"{name} was not reached in time")
    return temporary(503, f"{name} was not reached: {trouble.kind}")


def base_url(url: str, name: str = "base_url") -> str:
    """A provider's URL without a trailing slash; ValueError names the setting if it is none."""
    try:
        parsed = yarl.URL(url)
    except ValueError:
        raise ValueError(f"{name} is not a URL") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{name} must begin with https:// and name a host")
    if parsed.user is not None or parsed.query_string or parsed.fragment:
        raise ValueError(f"{name} must have no user, query or fragment")
    return url.rstrip("/")


@functools.lru_cache(maxsize=256)
def _parsed(url: str | yarl.URL) -> tuple[yarl.URL, str, str]:
    """Whereto to connect, and what goes into the request as host and path."""
    parsed = yarl.URL(url)
    return parsed.origin(), parsed.host_port_subcomponent or "", parsed.raw_path_qs


def _lines(headers: Mapping[str, str]) -> str:
    """ValueError if a header's value goes on in another line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers):
        raise ValueError("a header's value has more than a line")
    return lines
