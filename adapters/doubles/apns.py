"""Apple Push Notification service: HTTP/2 over TLS on loopback."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec

from adapters.doubles import apns_connection, apns_rules, apns_tls
from adapters.doubles.apns_connection import Answer

__all__ = ["Answer", "ApnsDouble"]


class ApnsDouble:
    """Accepts what APNs accepts, refuses what it refuses.

    `script` says what else to do, by device token, and `standing` what to do with the rest, which
    may depend on it. `requests` are those that have been read whole, also the ones refused, and
    `reached` is set at each; `refused` counts streams that were not let open, `cancelled` those the
    client reset.

    `keys` are the public keys of provider tokens by key id, without which signatures are not
    checked; `topics` the apps, without which any will do. `strict_updates` refuses a second new
    token within 20 minutes of `clock`; `one_stream` refuses more than one stream until a token was
    accepted. `streams` and `window` are what SETTINGS say.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, ec.EllipticCurvePublicKey] | None = None,
        topics: frozenset[str] = frozenset(),
        strict_updates: bool = False,
        one_stream: bool = False,
        streams: int = 1000,
        window: int = 65_535,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests: list[apns_rules.Request] = []
        self.reached = asyncio.Event()
        self.refused = 0
        self.cancelled = 0
        self.pings = 0
        self.standing: Answer | Callable[[str], Answer] = Answer()
        self.topics = topics
        self.tokens = apns_rules.Tokens(clock=clock, keys=keys or {}, strict_updates=strict_updates)
        self.one_stream = one_stream
        self.streams = streams
        self.window = window
        self.host = "127.0.0.1"
        self.port = 0
        self.credit = True
        self.corked = False
        self.accepted = 0
        self.connections: list[apns_connection.Connection] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, deque[Answer]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="apns-double-")
        self.authority = apns_tls.Authority(Path(self._folder.name))
        self._server: asyncio.Server | None = None

    @property
    def ca_file(self) -> str:
        """The file of the authority that signed the double's certificate."""
        return str(self.authority.ca_file)

    def script(self, token: str, *answers: Answer) -> None:
        """Do these with the next requests for this device token, one each."""
        self._turns.setdefault(token, deque()).extend(answers)

    def turn(self, token: str) -> Answer:
        turns = self._turns.get(token)
        if turns:
            return turns.popleft()
        return self.standing(token) if callable(self.standing) else self.standing

    async def received(self, number: int) -> None:
        """Wait until so many requests have been read whole."""
        while len(self.requests) < number:
            self.reached.clear()
            await self.reached.wait()

    def cork(self) -> None:
        """Write nothing from now on, not even the SETTINGS of a new connection."""
        self.corked = True

    def uncork(self) -> None:
        """Write what has gathered, at once."""
        self.corked = False
        for connection in self.connections:
            connection.flush()

    def withhold_credit(self) -> None:
        """Open no flow control window again until `give_credit`."""
        self.credit = False

    def give_credit(self) -> None:
        self.credit = True
        for connection in self.connections:
            connection.give_credit()

    def freeze(self) -> None:
        """Let every connection there is hang: it stays open and is not read any more."""
        for connection in self.connections:
            connection.freeze()

    def goaway(self, last_stream_id: int | None = None, *, reason: str = "Shutdown") -> None:
        """Announce the end of every connection, and go on answering the streams up to the last:
        None for those that were opened until now. TCP stays open."""
        for connection in self.connections:
            connection.goaway(last_stream_id, reason=reason)

    async def start(self, port: int = 0) -> None:
        context = self.authority.server_context(ask_for_certificate=True)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: apns_connection.Connection(self), self.host, port, ssl=context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, and close those there are. Twice is fine."""
        for task in self.tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        gone = [connection.gone for connection in self.connections]
        for connection in list(self.connections):
            connection.hang_up()
        if gone:
            await asyncio.wait(gone)
        self._folder.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
