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
import yarl
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]  # it has no types
from twilio.http.response import Response  # type: ignore[import-untyped]

from adapters import answers, http

_SECONDS = 60.0  # for a request outside `deadline`
_LIMIT = 4 * 1024 * 1024  # bytes of an answer: a page of a list may be long

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar("deadline", default=None)


class Refused(Exception):
    """Twilio answered with an error: the HTTP `status`, Twilio's own `code` and `text` if the body
    has them, and the seconds it asks to wait. The text may hold numbers: show them masked."""

    def __init__(
        self, status: int, *, code: int | None, text: str, retry_after: float | None
    ) -> None:
        super().__init__(status, code)
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


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
    """Twilio's HTTP over our connections, signed in as `auth`, user and password.

    A 2xx with a JSON object is returned; everything else raises `Refused` or `http.NoAnswer`.
    Nothing is logged, tried again or kept.
    """

    def __init__(self, *, auth: tuple[str, str], connections: int) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._connections = http.Connections(connections=connections)
        self._headers = {
            **http.HEADERS,
            "Accept": "application/json",
            "Authorization": aiohttp.encode_basic_auth(*auth),
            "Content-Type": "application/x-www-form-urlencoded",
        }

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, str | int] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002  # ours say the same
        auth: tuple[str, str] | None = None,  # noqa: ARG002  # the account's own, as are ours
        timeout: float | None = None,  # noqa: ASYNC109  # Twilio's signature
        allow_redirects: bool = False,  # noqa: ARG002  # they never are
    ) -> Response:
        """What Twilio's own classes call."""
        reply, _ = await self.exchange(method, uri, params=params, data=data, seconds=timeout)
        return Response(reply.status, reply.body.decode(), reply.headers)

    async def exchange(
        self,
        method: str,
        uri: str,
        *,
        params: Mapping[str, str | int] | None = None,
        data: Mapping[str, object] | None = None,
        seconds: float | None = None,
    ) -> tuple[http.Reply, dict[str, Any]]:
        """The answer, and the JSON object that its body is."""
        now = asyncio.get_running_loop().time()
        reply = await self._connections.request(
            method,
            yarl.URL(uri).update_query(params) if params else uri,
            data=_form(data or {}),
            headers=self._headers,
            deadline=_deadline.get() or now + (seconds or _SECONDS),
            limit=_LIMIT,
        )
        document = _document(reply.body)
        if reply.status >= 300:
            raise _refused(reply.status, document, reply.headers)
        if document is None:
            raise http.NoAnswer("not a JSON object", left=True)
        return reply, document

    async def close(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        await self._connections.aclose()


def _form(fields: Mapping[str, object]) -> bytes:
    try:
        return urlencode(fields, doseq=True).encode()
    except UnicodeEncodeError as trouble:
        raise http.NoAnswer(type(trouble).__name__, left=False) from trouble


def _document(text: bytes) -> dict[str, Any] | None:
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
