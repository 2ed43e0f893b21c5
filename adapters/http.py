"""One HTTP request to a provider: whether it has left, and an answer that is read to a limit."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import aiohttp.abc
import yarl

from adapters.contract import Outcome, indeterminate, temporary

_BODY_LIMIT = 64 * 1024


@dataclass(slots=True)
class Progress:
    """Whether the request has been written to its connection, so that the peer may act on it; told
    by the `Body` of the request."""

    left: bool = False


class Body(aiohttp.BytesPayload):
    """A request's body, which notes in `progress` that the request leaves. aiohttp writes the
    headers together with it. (Its tracing says it too, at a tenth of the cost of a request.)"""

    def __init__(self, content: bytes, progress: Progress) -> None:
        super().__init__(content)
        self._progress = progress

    async def write_with_length(
        self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None
    ) -> None:
        self._progress.left = True
        await super().write_with_length(writer, content_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `body` is its beginning, at most 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object that the body is, or an empty one if it is anything else."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


class Client:
    """Kept connections to one provider, opened by the loop that first needs them.

    `name` is what the provider is called in an outcome's text.
    """

    def __init__(self, name: str, *, connections: int) -> None:
        if connections < 1:
            raise ValueError("connections must be at least 1")
        self._name = name
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(
        self, url: str | yarl.URL, *, data: bytes, headers: Mapping[str, str], deadline: float
    ) -> Reply | Outcome:
        """One POST until `deadline`, in the loop's time: the reply, or what its absence means."""
        if self._closed:
            return temporary(503, "The adapter is closed")
        if self._session is None:
            self._session = session(connections=self._connections)
        progress = Progress()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session.post(
                    url,
                    data=Body(data, progress),
                    headers={**headers, "Accept-Encoding": "identity"},
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, ValueError) as trouble:
            return self._no_answer(trouble, left=progress.left)
        content = await body(response, deadline)
        return Reply(status=response.status, headers=response.headers, body=content)

    async def aclose(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        self._closed = True
        opened, self._session = self._session, None
        if opened is not None:
            await opened.close()

    def _no_answer(self, trouble: Exception, *, left: bool) -> Outcome:
        """The texts name the kind of trouble only: an exception's own may hold the URL."""
        if left:
            return indeterminate(f"{self._name} did not answer: {type(trouble).__name__}")
        if isinstance(trouble, TimeoutError):
            return temporary(504, f"{self._name} was not reached in time")
        return temporary(503, f"{self._name} was not reached: {type(trouble).__name__}")


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


def session(
    *,
    connections: int,
    socket_factory: Callable[[tuple[Any, ...]], socket.socket] | None = None,
) -> aiohttp.ClientSession:
    """A session that keeps no cookies and no time, and follows no proxies of the environment. It
    belongs to the running loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, socket_factory=socket_factory),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the deadline is the caller's
        auto_decompress=False,
    )


async def body(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    """The beginning of the answer's body; what is wrong with a body changes no verdict.

    A body that ends within the limit leaves the connection to the next request.
    """
    content = b""
    try:
        async with asyncio.timeout_at(deadline):
            while len(content) < _BODY_LIMIT and not response.content.at_eof():
                content += await response.content.read(_BODY_LIMIT - len(content))
    except (aiohttp.ClientError, OSError):
        pass
    response.release()  # which closes the connection if there is more to come
    return content
