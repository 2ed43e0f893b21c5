"""A provider's answers over HTTP/2, or over HTTP/1.1 from a server that speaks nothing newer."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping

import multidict
import yarl

from adapters import http, http2, http2_pool
from adapters import http2_frames as frames
from adapters.contract import Outcome, indeterminate, temporary


class Client:
    """As `http.Client`. Servers are asked what they speak when they are first reached; one that
    speaks no HTTP/2, and every `http://`, is sent HTTP/1.1 from then on."""

    def __init__(self, name: str, *, connections: int) -> None:
        self._name = name
        self._connections = connections
        self._older = http.Client(name, connections=connections)
        self._pools: dict[yarl.URL, http2_pool.Pool | None] = {}
        self._closed = False

    async def post(
        self, url: str | yarl.URL, *, data: bytes, headers: Mapping[str, str], deadline: float
    ) -> http.Reply | Outcome:
        """One POST until `deadline`, in the loop's time: the reply, or what its absence means."""
        if self._closed:
            return temporary(503, "The adapter is closed")
        pool = self._pool(url)
        if pool is None:
            return await self._older.post(url, data=data, headers=headers, deadline=deadline)
        request = http2.Request(_block(url, (*http.HEADERS.items(), *headers.items())), data)
        try:
            answer = await pool.request(request, deadline)
        except http2_pool.NotReached as trouble:
            if isinstance(trouble.__cause__, http2.NotSpoken):
                self._pools[_origin(url)] = None
                await pool.aclose()
                return await self._older.post(url, data=data, headers=headers, deadline=deadline)
            return _unanswered(self._name, trouble.__cause__ or trouble, left=False)
        except (TimeoutError, http2.NotProcessed, http2.NoAnswer) as trouble:
            return _unanswered(self._name, trouble, left=request.left)
        return http.Reply(status=answer.status, headers=_said(answer.headers), body=answer.body)

    async def aclose(self) -> None:
        """Close the connections; a request in flight loses its answer."""
        self._closed = True
        await self._older.aclose()
        for pool in [each for each in self._pools.values() if each is not None]:
            await pool.aclose()

    def _pool(self, url: str | yarl.URL) -> http2_pool.Pool | None:
        origin = _origin(url)
        try:
            return self._pools[origin]
        except KeyError:
            pool = None
        if origin.scheme == "https" and origin.host and origin.port:
            pool = http2_pool.Pool(
                origin.host,
                origin.port,
                _tls(),
                name=self._name,
                connections=self._connections,
                limits=http2.Limits(),
            )
        self._pools[origin] = pool
        return pool


def _unanswered(name: str, trouble: BaseException, *, left: bool) -> Outcome:
    if isinstance(trouble, http2.NoAnswer):
        return indeterminate(str(trouble))
    if isinstance(trouble, http2.NotProcessed):
        return temporary(503, str(trouble))
    return http.unanswered(name, http.NoAnswer(type(trouble).__name__, left=left))


@functools.lru_cache(maxsize=256)
def _origin(url: str | yarl.URL) -> yarl.URL:
    return yarl.URL(url).origin()


@functools.lru_cache(maxsize=256)
def _block(url: str | yarl.URL, headers: tuple[tuple[str, str], ...]) -> bytes:
    """A request's header fields, which are the same for most of a provider's."""
    whereto = yarl.URL(url)
    fields = {
        ":method": "POST",
        ":scheme": whereto.scheme,
        ":authority": whereto.host_port_subcomponent or "",
        ":path": whereto.raw_path_qs,
        **{name.lower(): value for name, value in headers},
    }
    return frames.block((name.encode(), value.encode()) for name, value in fields.items())


def _said(headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
    decoded = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items()]
    return multidict.CIMultiDict(decoded)


@functools.cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, read once for the process."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
