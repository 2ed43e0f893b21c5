"""Access tokens (RFC 6749): fetched once for all sends that need them, and ahead of their end."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from adapters import answers, http
from adapters.contract import Fault, Outcome, permanent, temporary

FETCH_SECONDS = 30.0
"""How long a token endpoint may take to answer. A send waits no longer than its own deadline."""

_HOLD_SECONDS = 1.0
_USUAL_LIFETIME = 3600
_LONGEST_LIFETIME = 86_400  # longer ones are looked after once a day all the same
_BEARER = re.compile(r"[!-~]+")
_ERROR = re.compile(r"[A-Za-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it is good for, in seconds."""

    value: str = field(repr=False)
    lifetime: float


class Tokens:
    """The access token of one account.

    `fetch` asks for a new one and returns it, or the outcome of a send that cannot have one; it
    never raises. It runs at most once at a time, in a task that outlives the sends which wait for
    it, and begins `ahead` seconds before the token's end, while sends still use that. A failed
    fetch is not tried again within a second. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Token | Outcome]],
        *,
        ahead: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._ahead = ahead
        self._clock = clock
        self._token: Token | None = None
        self._end = self._renewal = 0.0
        self._failure: Outcome | None = None
        self._held_until = 0.0
        self._fetching: asyncio.Task[Token | Outcome] | None = None

    async def get(self, *, deadline: float, refused: str | None = None) -> str | Outcome:
        """A token by `deadline`, in the loop's time; never the one that the provider refused."""
        if self._token is not None and self._token.value == refused:
            self._token = None
        now = self._clock()
        token = self._token if now < self._end else None
        held = self._failure is not None and now < self._held_until
        if (token is None or now >= self._renewal) and not held and self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
        if token is not None:
            return token.value
        if self._fetching is None:
            return self._failure or temporary(503, "No access token could be had")
        return await _result(self._fetching, deadline)

    async def _renew(self) -> Token | Outcome:
        asked = self._clock()
        try:
            fetched = await self._fetch()
        finally:
            self._fetching = None
        if isinstance(fetched, Outcome):
            self._failure, self._held_until = fetched, self._clock() + _HOLD_SECONDS
        else:
            self._token, self._failure = fetched, None
            self._end = asked + fetched.lifetime
            self._renewal = self._end - min(self._ahead, fetched.lifetime / 2)
        return fetched


async def with_token(
    tokens: Tokens,
    request: Callable[[str], Awaitable[http.Reply | Outcome]],
    *,
    stale: Callable[[http.Reply], bool],
    deadline: float,
) -> http.Reply | Outcome:
    """Make the request with a token, and once more with a new one if the reply says it is stale."""
    token = await tokens.get(deadline=deadline)
    if isinstance(token, Outcome):
        return token
    reply = await request(token)
    if isinstance(reply, Outcome) or not stale(reply):
        return reply
    token = await tokens.get(refused=token, deadline=deadline)
    return token if isinstance(token, Outcome) else await request(token)


class Client(Protocol):
    """What fetches a token: `http.Client` and its like."""

    async def post(
        self, url: str, *, data: bytes, headers: Mapping[str, str], deadline: float
    ) -> http.Reply | Outcome: ...


async def fetch(client: Client, url: str, form: Mapping[str, str]) -> Token | Outcome:
    """Ask a token endpoint. Nothing of a message has left, whatever comes of it."""
    reply = await client.post(
        url,
        data=urllib.parse.urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        deadline=asyncio.get_running_loop().time() + FETCH_SECONDS,
    )
    if isinstance(reply, Outcome):
        return temporary(reply.status_code, f"No access token: {reply.status_message}")
    said = reply.document()
    value, lifetime = said.get("access_token"), said.get("expires_in")
    if reply.status != 200:
        return _refusal(reply, said.get("error"))
    if not isinstance(value, str) or not _BEARER.fullmatch(value):
        return temporary(502, "No access token: the endpoint answered without one")
    if not isinstance(lifetime, int):
        lifetime = _USUAL_LIFETIME
    return Token(value, float(max(0, min(lifetime, _LONGEST_LIFETIME))))


def _refusal(reply: http.Reply, error: object) -> Outcome:
    """4xx is a verdict on the credentials (RFC 6749, section 5.2), but for the two that are not."""
    word = error if isinstance(error, str) and _ERROR.fullmatch(error) else f"HTTP {reply.status}"
    text = f"No access token: {word}"
    if reply.status in {408, 429} or reply.status >= 500:
        later = answers.retry_after(reply.headers.get("Retry-After"))
        return temporary(reply.status, text, retry_after=later)
    return permanent(reply.status, text, fault=Fault.CREDENTIALS)


async def _result(fetching: asyncio.Task[Token | Outcome], deadline: float) -> str | Outcome:
    """`asyncio.wait` leaves the task alone if this send is cancelled or out of time."""
    left = max(0.0, deadline - asyncio.get_running_loop().time())
    done, _ = await asyncio.wait({fetching}, timeout=left)
    if not done:
        return temporary(504, "No access token came in time")
    fetched = fetching.result()
    return fetched if isinstance(fetched, Outcome) else fetched.value
