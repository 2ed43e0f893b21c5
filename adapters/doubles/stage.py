"""What the doubles over HTTP have in common: a server on loopback, and a script of what it does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a double does with a request that it has read whole.

    It waits for `after`, then answers `status`, `headers` and `body`, a text or what becomes JSON.
    Without a status it answers what the provider would. With `raw` it writes these bytes instead
    and closes the connection: none to hang up, any that are no HTTP for garbage. `told` is called
    with what is answered in the end, be it this or what the provider would.
    """

    status: int | None = None
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    after: asyncio.Event | None = None
    told: Callable[[Answer], None] | None = None


@dataclass(slots=True)
class Script:
    """Answers for the requests to come: those said for an address, in turn, then `standing`, which
    may depend on the address."""

    standing: Answer | Callable[[str], Answer] = field(default_factory=Answer)
    turns: dict[str, deque[Answer]] = field(default_factory=dict)

    def say(self, address: str, *answers: Answer) -> None:
        """Do these with the next requests for this address, one each."""
        self.turns.setdefault(address, deque()).extend(answers)

    def turn(self, address: str) -> Answer:
        turns = self.turns.get(address)
        if turns:
            return turns.popleft()
        return self.standing(address) if callable(self.standing) else self.standing


class Server:
    """An HTTP server on loopback. `url` is known once it has started."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._handle = handle
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        server = web.Server(self._handle, access_log=None)
        # Whoever waits for an answer when the server stops is not to have one; 0 would be for ever.
        self._runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Refuse connections from now on, and close those there are. Twice is fine."""
        if self._runner is not None:
            await self._runner.cleanup()


class Double:
    """A double of a provider over HTTP, on a free port of loopback from `start` to `stop`, or as
    long as it is entered.

    `script` says what it does instead of what the provider would. `reached` is set at each message
    that has been read.
    """

    def __init__(self) -> None:
        self.script = Script()
        self.reached = asyncio.Event()
        self._server = Server(self.serve)

    @property
    def url(self) -> str:
        return self._server.url

    async def start(self, port: int = 0) -> None:
        await self._server.start(port)

    async def stop(self) -> None:
        """Refuse connections from now on, and close those there are. Twice is fine."""
        await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        raise NotImplementedError


async def perform(
    request: web.BaseRequest, answer: Answer, usual: Callable[[], Answer]
) -> web.StreamResponse:
    """Do what the answer says; `usual` is what the provider would."""
    if answer.after is not None:
        await answer.after.wait()
    said = usual() if answer.status is None and answer.raw is None else answer
    if answer.told is not None:
        answer.told(said)
    if answer.raw is not None:
        if request.transport is not None:
            request.transport.write(answer.raw)
            request.transport.close()
        return web.Response()
    status = said.status or 200
    if isinstance(said.body, str):
        return web.Response(status=status, text=said.body, headers=said.headers)
    return web.json_response(said.body, status=status, headers=said.headers)


def bearer(request: web.BaseRequest) -> str:
    """The request's access token, or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""
