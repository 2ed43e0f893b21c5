"""A TCP proxy that breaks connections on command."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable, Iterator

_RESET = struct.pack("ii", 1, 0)


class Mode(enum.StrEnum):
    """`REFUSE` resets what connects; `BLACKHOLE` keeps every connection open and forwards nothing,
    to either side, from then on: a connection that was half open once stays so; `DROP_UP` and
    `DROP_DOWN` do that to one direction."""

    OK = "ok"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    DROP_UP = "drop-up"
    DROP_DOWN = "drop-down"


Watch = Callable[[bool, bytes], None]


class Proxy:
    """Forwards a loopback port to another. `watch` hears of each chunk before it is forwarded,
    with whether it goes up, to the server. Belongs to the loop that starts it."""

    def __init__(self, upstream: int, *, watch: Watch | None = None) -> None:
        self.upstream = upstream
        self.port = 0
        self.mode = Mode.OK
        self.delay = 0.0
        self.cut_after: int | None = None
        self.watch = watch
        self.connections: set[_Down] = set()
        self.ends: set[_End] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Down(self), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in list(self.ends):
            end.reset()
        await asyncio.sleep(0.01)  # for the loop to close what was aborted

    def reset(self) -> None:
        """Reset every connection, as a machine that comes back from a power cut does."""
        for one in list(self.connections):
            one.reset()

    def opened(self, end: _End) -> None:
        """Hear of a client that has connected."""

    def hear(self, end: _End, data: bytes) -> bytes:
        """What goes on of a chunk that one end has received."""
        if self.watch is not None:
            self.watch(end.up, data)
        return data

    def swallows(self, up: bool) -> bool:
        return self.mode is Mode.BLACKHOLE or self.mode is (Mode.DROP_UP if up else Mode.DROP_DOWN)


class _End(asyncio.Protocol):
    """One end of a connection through the proxy."""

    def __init__(self, proxy: Proxy, *, up: bool) -> None:
        self.proxy = proxy
        self.up = up
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.swallowing = False
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.proxy.ends.add(self)

    def data_received(self, data: bytes) -> None:
        proxy = self.proxy
        data = proxy.hear(self, data)
        # Bytes that were swallowed leave a hole: nothing after them would make sense.
        self.swallowing = self.swallowing or proxy.swallows(self.up)
        if self.swallowing:
            return
        if not self.up and proxy.cut_after is not None:
            data, proxy.cut_after = data[: proxy.cut_after], None
            self.forward(data)
            asyncio.get_running_loop().call_soon(self.reset)
            return
        if proxy.delay:
            asyncio.get_running_loop().call_later(proxy.delay, self.forward, data)
        else:
            self.forward(data)

    def forward(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.waiting.append(data)
        else:
            self.other.transport.write(data)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.ends.discard(self)
        if not self.swallowing and self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def reset(self) -> None:
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                raw = end.transport.get_extra_info("socket")
                if raw is not None:
                    with contextlib.suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.transport.abort()


class _Down(_End):
    """The client's end, which opens the server's."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy, up=True)
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.proxy.connections.add(self)
        self.proxy.opened(self)
        if self.proxy.mode is Mode.REFUSE:
            self.reset()
        else:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.connections.discard(self)
        super().connection_lost(error)

    async def _open(self) -> None:
        try:
            _, other = await asyncio.get_running_loop().create_connection(
                lambda: _End(self.proxy, up=False), "127.0.0.1", self.proxy.upstream
            )
        except OSError:
            self.reset()
            return
        self.other, other.other = other, self
        if self.transport is None or self.transport.is_closing():
            other.transport.abort()  # type: ignore[union-attr]
            return
        for data in self.waiting:
            self.forward(data)
        self.waiting.clear()


@contextlib.contextmanager
def standing(upstream: int) -> Iterator[Proxy]:
    """A proxy on a loop of its own, for a test that has none. Its `mode` may be set from here."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    proxy = Proxy(upstream)
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
