"""The few HTTP/2 connections that an adapter keeps to one host of a provider."""

from __future__ import annotations

import asyncio
import collections
import functools
import socket
import ssl
from collections.abc import Callable

import aiohappyeyeballs

from adapters.http2 import Answer, Connection, Limits, NotProcessed, Request

_REST = 1.0  # seconds between attempts to open one more connection than there is
_NEXT_ADDRESS = 0.25  # seconds until a host's next address is tried beside the last (RFC 8305)


class NotReached(Exception):
    """There was no connection to send on. The cause is what connecting came to, if it was tried."""


class Pool:
    """At most `connections` at a time, opened when those there are have no free stream.

    A request that finds none waits in line. A connection that the provider or its age is ending
    leaves the pool at once and stays open until its last answer. `spent` tells the answers after
    which a connection is of no use any more; `name`, `cautious` and `farewell` are the
    connections'.
    """

    def __init__(  # noqa: PLR0913  # the keywords are what providers differ in
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        *,
        name: str,
        connections: int,
        limits: Limits,
        cautious: bool = False,
        farewell: Callable[[bytes], str | None] = lambda _: None,
        spent: Callable[[Answer], bool] = lambda _: False,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._most = connections
        self._limits = limits
        self._spent = spent
        self._make = functools.partial(
            Connection, name, limits, self._changed, cautious=cautious, farewell=farewell
        )
        self._loop = asyncio.get_running_loop()
        self._connections: list[Connection] = []
        self._leaving: set[Connection] = set()
        self._waiters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._called = 0  # waiters who have been told to go on and have not yet
        self._opening: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._closed = False

    async def request(self, request: Request, deadline: float) -> Answer:
        """The provider's answer until `deadline`, in the loop's time; else TimeoutError,
        NotReached, NotProcessed or NoAnswer. What was not processed is sent once more."""
        try:
            return await self._attempt(request, deadline)
        except NotProcessed:
            return await self._attempt(request, deadline)

    async def aclose(self) -> None:
        """Close every connection now, and wait until they are gone."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._fail_waiters(None)
        for connection in [*self._connections, *self._leaving]:
            connection.close()
        if self._leaving:  # `Limits.parting` bounds it
            await asyncio.wait([connection.gone for connection in self._leaving])

    async def _attempt(self, request: Request, deadline: float) -> Answer:
        connection = self._connections[0] if self._connections else None
        if connection is None or connection.free <= self._called:
            async with asyncio.timeout_at(deadline):
                connection = await self._connection()
        answer = await connection.request(request, deadline)
        if self._spent(answer):
            connection.retire()
        return answer

    async def _connection(self) -> Connection:
        while not self._closed:
            if self._free() > self._called:
                return next(each for each in self._connections if each.free)
            await self._turn()
        raise NotReached("The adapter is closed")

    async def _turn(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._grow()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._called -= 1  # it had its turn and can not take it
            self._call()
            raise
        self._called -= 1

    def _free(self) -> int:
        return sum(connection.free for connection in self._connections)

    def _call(self) -> None:
        """Tell as many as there are free streams to go on; open more for those who are left."""
        free = self._free()
        while self._waiters and (free > self._called or self._waiters[0].done()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._called += 1
        if self._waiters:
            self._grow()

    def _changed(self, connection: Connection) -> None:
        if connection.draining and connection in self._connections:
            self._connections.remove(connection)
            self._leaving.add(connection)
            connection.gone.add_done_callback(lambda _: self._leaving.discard(connection))
        if self._waiters:
            self._call()

    def _grow(self) -> None:
        if self._opening or self._closed or len(self._connections) >= self._most:
            return
        if self._connections and self._loop.time() < self._rest_until:
            return
        self._opening = self._loop.create_task(self._open())

    def _fail_waiters(self, cause: Exception | None) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                error = NotReached()
                error.__cause__ = cause
                waiter.set_exception(error)
        self._waiters.clear()

    async def _open(self) -> None:
        """One more connection. If it fails and there is no other, so do all who wait for it."""
        try:
            self._connections.append(await self._connect())
        # A name may be none that can be looked up; RuntimeError is uvloop's.
        except (OSError, ValueError, RuntimeError) as error:
            self._rest_until = self._loop.time() + _REST
            if not self._connections:
                self._fail_waiters(error)
        finally:
            self._opening = None
        if self._connections:
            self._call()

    async def _connect(self) -> Connection:
        """A connection on which the provider has said what it allows."""
        connection = self._make()
        try:
            async with asyncio.timeout(self._limits.connect):
                await self._loop.create_connection(
                    lambda: connection,
                    sock=await self._socket(),
                    ssl=self._tls,
                    server_hostname=self._host,
                    ssl_shutdown_timeout=self._limits.parting,
                )
                await connection.ready
        except BaseException:  # a wait that was cancelled too: nobody else would close it
            if connection.transport is not None:
                connection.transport.abort()
            raise
        if connection.draining:
            trouble = connection.trouble
            raise trouble if isinstance(trouble, OSError) else ConnectionResetError
        return connection

    async def _socket(self) -> socket.socket:
        """One that is connected, to whichever of the host's addresses answers first."""
        found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS)
