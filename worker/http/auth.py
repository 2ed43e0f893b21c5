"""Who is calling: the access key that signed a request, or whose bearer token it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from worker import store, wire
from worker.http import body, signature
from worker.http.edge import Edge

FRESH = 2.0
"""How long, in seconds, a key is taken for what it was: one that is disabled works no longer."""

_UNKNOWN = "The security token included in the request is invalid."

T = TypeVar("T")


class Lately(Generic[T]):
    """Finds something in the database, and remembers it for `FRESH` seconds. What is not there is
    asked for each time, so what is remembered cannot outgrow what is stored."""

    def __init__(self, edge: Edge, find: Callable[[store.Database, str], T | None]) -> None:
        self._edge = edge
        self._find = find
        self._known: dict[str, tuple[float, T]] = {}

    async def find(self, name: str) -> T | None:
        """What has this name, as it was `FRESH` seconds ago or later."""
        now = self._edge.runtime.clock()
        since, known = self._known.get(name, (None, None))
        if since is not None and now - since < FRESH:
            return known
        found = await self._edge.run(self._find, self._edge.runtime.db, name)
        if found is None:
            self._known.pop(name, None)
        else:
            self._known[name] = (now, found)
        return found


class Callers:
    """Tells callers by their keys."""

    def __init__(self, edge: Edge) -> None:
        self._runtime = edge.runtime
        self._keys = Lately(edge, store.find_key)
        self._tokens = Lately(edge, store.find_token)

    async def caller(self, scope: Scope, receive: Receive) -> tuple[store.AccessKey, Receive]:
        """The caller's key, and where to read the request from now: checking a signature takes the
        whole body, which the routes get to read again.

        Raises one of `wire.Forbidden`'s kinds if there is no such key or the request is not its
        owner's, and what `body.read` raises. Of a caller without a key no body is read.
        """
        request = _signed(scope)
        token = _bearer(request)
        if token is not None:
            key = await self._tokens.find(token)
            if key is None:
                raise wire.UnknownToken(_UNKNOWN)
            return key, receive
        claim = signature.read(request)
        found = await self._keys.find(claim.key_id)
        if found is None:
            raise wire.UnknownToken(_UNKNOWN)
        key, secret = found
        content = await body.read(Request(scope, receive))
        request = dataclasses.replace(request, body=content)
        signature.verify(request, claim, secret, self._now())
        return key, _again(content, receive)

    def _now(self) -> datetime:
        """The time, unless a test moves the database's by hand."""
        now = self._runtime.db.now
        return datetime.now(UTC) if now is None else now()


def _signed(scope: Scope) -> signature.Signed:
    """The request's head as it was sent. The raw path is what matters: it is what was signed, and
    what the routes match."""
    return signature.Signed(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ],
    )


def _bearer(request: signature.Signed) -> str | None:
    """RFC 6750's token, if the request has one."""
    given = request.header("authorization")
    if len(given) != 1:
        return None
    scheme, _, token = given[0].strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _again(content: bytes, receive: Receive) -> Receive:
    """The body once more, then what comes after it: that the client has gone."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
