"""Connections to one relay that are kept and used again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from adapters.smtp_options import Relay
from adapters.smtp_session import Session


@dataclass(slots=True, eq=False)
class Connection:
    """`session` is there once it is open. `used` counts the messages; `unfinished` says that the
    server still has an envelope that came to nothing."""

    client: aiosmtplib.SMTP
    session: Session | None = None
    used: int = 0
    unfinished: bool = False
    timer: asyncio.TimerHandle | None = None


class Pool:
    """At most `connections` at a time, for who holds `free`. Each is closed after `messages`, or
    after `idle_seconds` without one."""

    def __init__(
        self, relay: Relay, *, connections: int, messages: int, idle_seconds: float
    ) -> None:
        self.free = asyncio.Semaphore(connections)
        self.closed = False
        self._relay = relay
        self._messages = messages
        self._idle_seconds = idle_seconds
        self._idle: list[Connection] = []

    def take(self) -> Connection:
        """The connection used last: the others may then grow old and be closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.timer is not None:
                connection.timer.cancel()
            if connection.client.is_connected:
                return connection
        return self.new()

    def new(self) -> Connection:
        """A connection that is not open yet."""
        return Connection(client(self._relay))

    def settle(self, connection: Connection, *, keep: bool) -> None:
        """Give a connection back; without `keep` it is closed at once."""
        if not keep:
            abort(connection.client)
        elif self.closed or connection.used >= self._messages:
            self._hang_up(connection)
        else:
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(self._idle_seconds, self._hang_up, connection)
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle, and from now on what is given back."""
        self.closed = True
        while self._idle:
            self._hang_up(self._idle[-1])

    def _hang_up(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.timer is not None:
            connection.timer.cancel()
        hang_up(connection.client)


def client(relay: Relay) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        username=relay.username,
        password=relay.password,
        local_hostname=relay.local_hostname,
        use_tls=relay.security == "tls",
        start_tls={"starttls": True, "opportunistic": None}.get(relay.security, False),
        tls_context=relay.tls,
        timeout=None,  # who uses it keeps the time
    )


async def open_client(client: aiosmtplib.SMTP) -> None:
    """Connect, TLS, AUTH, and EHLO or HELO."""
    await client.connect()
    if client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()


def hang_up(client: aiosmtplib.SMTP) -> None:
    """Say QUIT, and do not wait for the answer."""
    if client.protocol is not None and client.is_connected:
        client.protocol.write(b"QUIT\r\n")
    abort(client)


def abort(client: aiosmtplib.SMTP) -> None:
    """Close without waiting for what is still unsent: the peer may never read it."""
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()
