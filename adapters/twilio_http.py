"""HTTP for Twilio's library.

Its own asynchronous client keeps no time: it ignores its own timeout and the session's. It also
lets go of Retry-After and keeps the last answer in one place for all requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]  # it has no types
from twilio.http.response import Response  # type: ignore[import-untyped]

from adapters import answers, http

_SECONDS = 60.0  # for a request outside `deadline`

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar("deadline", default=None)


class Refused(Exception):
    """Twilio answered with an error: the HTTP `status`, Twilio's own `code` and `text` if the body
    has them, and the seconds it asks to wait. The text may hold numbers: show them masked."""

    def __init__(
        self, status: int, *, code: int | None, text: str, retry_after: float | None
    ) -> None:
        super().__init__(status, code)
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


class NoAnswer(Exception):
    """There is no answer that can be read. `left` says whether the request had gone out by then,
    `kind` what kind of trouble it was, without the words."""

    def __init__(self, kind: str, *, left: bool) -> None:
        super().__init__(kind)
        self.kind, self.left = kind, left


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """The time that each request of this task has from now on, together with its connection.

    Twilio's classes hand no timeout down to the HTTP client, so it travels in the task's context.
    """
    token = _deadline.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


class HttpClient(AsyncHttpClient):  # type: ignore[misc]  # of a library without types
    """Twilio's HTTP over one aiohttp session, opened on the loop of the first request.

    A 2xx with a JSON object is returned; everything else raises `Refused` or `NoAnswer`. Nothing is
    logged, tried again or kept.
    """

    def __init__(self, *, connections: int) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, str | int] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # Twilio's signature
        allow_redirects: bool = False,
    ) -> Response:
        progress = http.Progress()
        now = asyncio.get_running_loop().time()
        headers = {**(headers or {}), "Accept-Encoding": "identity"}
        if auth is not None:
            headers["Authorization"] = aiohttp.encode_basic_auth(*auth)
        try:
            body = urlencode(data, doseq=True).encode() if data else b""
            async with (
                asyncio.timeout_at(_deadline.get() or now + (timeout or _SECONDS)),
                self._opened().request(
                    method,
                    uri,
                    params=params,
                    data=http.Body(body, progress),
                    headers=headers,
                    allow_redirects=allow_redirects,
                ) as response,
            ):
                text = (await response.read()).decode()  # JSON is UTF-8, RFC 8259
        except (aiohttp.ClientError, OSError, ValueError) as trouble:
            raise NoAnswer(type(trouble).__name__, left=progress.left) from trouble
        document = _document(text)
        if response.status >= 300:
            raise _refused(response.status, document, response.headers)
        if document is None:
            raise NoAnswer("not a JSON object", left=True)
        return Response(response.status, text, response.headers)

    async def close(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise aiohttp.ClientConnectionError
        if self._session is None:
            self._session = http.session(connections=self._connections)
        return self._session


def _document(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refused(status: int, document: dict[str, Any] | None, headers: Mapping[str, str]) -> Refused:
    """Twilio's older errors have `message`, the newer ones (RFC 9457) `title` and `detail`."""
    said = document or {}
    code = said.get("code")
    text = said.get("message") or said.get("detail") or said.get("title") or f"HTTP {status}"
    return Refused(
        status,
        code=code if isinstance(code, int) else None,
        text=str(text),
        retry_after=answers.retry_after(headers.get("Retry-After")),
    )
