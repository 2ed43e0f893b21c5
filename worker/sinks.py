"""Where events go: a Redis stream, a file of JSON lines, or somebody's HTTP server. Which one is in
the URL of the setting `events`."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import importlib.resources
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit
from uuid import NAMESPACE_OID, uuid5

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from adapters import http
from adapters.signed_post import SignedPost
from worker import event_records, sentinels, store

SECONDS = 10.0
"""How long a sink may take for what it is handed, or to say that it is there."""

_PREFIX = "sendpoint:events:"
_MOST = 1_000_000  # entries of a Redis stream, about
_SIGNING = "whsec_"
_STREAM = "{stream}"
# Who sets the URL is who runs this. Only over an open network it must not be plain HTTP.
_OURS = ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")


class NotTaken(Exception):
    """The sink did not take what it was handed, or is not there. The text names no secret."""


class Sink(Protocol):
    """Takes events of one stream, all or none of them as far as it can, in their order. What it
    does not take raises `NotTaken`, and is handed to it again; it may have taken it all the same.
    It keeps no time: who calls it does. It belongs to the loop that first uses it."""

    async def put(self, destination: str, events: Sequence[store.Untold]) -> None:
        """`destination` is the ARN that PutEventStream was given."""
        ...

    async def check(self) -> None:
        """`NotTaken` if it would take nothing."""
        ...

    async def aclose(self) -> None: ...


def build(url: str, secret: str) -> Sink | None:
    """The sink at `url`; None for none. `ValueError` for a URL or a secret that is none, which it
    does not show."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss", sentinels.SCHEME}:
        return RedisStreams(parts)
    if parts.scheme == "file":
        return JsonLines(parts)
    if parts.scheme in {"http", "https"}:
        return Posts(url, secret)
    raise ValueError("events must begin with redis://, rediss://, sentinel://, file: or https://")


class RedisStreams:
    """`redis://HOST:PORT/DB?prefix=…&maxlen=…`, or a URL of Sentinel with these two: each event is
    an entry of the Redis stream named by the prefix and the name of the event stream. Its fields:
    `data`, the record, and `id`, the same however often the event is told."""

    def __init__(self, url: SplitResult) -> None:
        query = dict(parse_qsl(url.query))
        self._prefix = query.pop("prefix", _PREFIX)
        most = query.pop("maxlen", str(_MOST))
        if not most.isdecimal() or int(most) < 1:
            raise ValueError("events: maxlen must be a number of entries")
        self._most = int(most)
        rest = url._replace(query=urlencode(query)).geturl()
        options: dict[str, Any] = {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 10,
            "retry": Retry(NoBackoff(), 0),  # who calls tries again
        }
        try:
            if url.scheme == sentinels.SCHEME:
                self._client = sentinels.parse(rest).async_client(**options)
            else:
                self._client = redis.asyncio.Redis.from_url(rest, **options)
        except (ValueError, TypeError):
            raise ValueError("events is not a URL of Redis") from None
        text = importlib.resources.files("worker").joinpath("sinks.lua").read_text("utf-8")
        self._script = self._client.register_script(text)

    async def put(self, destination: str, events: Sequence[store.Untold]) -> None:
        await self._append(
            event_records.stream_of(destination),
            [part for one in events for part in (one.id, one.record)],
        )

    async def check(self) -> None:
        """Nothing, at the end of a stream: it may answer and yet forbid scripts."""
        await self._append("", [])

    async def _append(self, stream: str, events: Sequence[int | str]) -> None:
        # A command for each event would cost this process more than all else that it does for one.
        try:
            await self._script(keys=[self._prefix + stream], args=[self._most, *events])
        except (RedisError, OSError) as trouble:
            raise NotTaken(f"Redis: {_words(trouble)}") from None

    async def aclose(self) -> None:
        await sentinels.aclose(self._client)


class JsonLines:
    """`file:///PATH`: each event is a line at the end of the file. With `{stream}` in the path each
    stream has a file of its own. The file is opened anew each time, so it may be moved away."""

    def __init__(self, url: SplitResult) -> None:
        if url.netloc or not url.path:
            raise ValueError(
                "events: a file is file:///PATH, or file:PATH from where it is started"
            )
        self._path = unquote(url.path)

    async def put(self, destination: str, events: Sequence[store.Untold]) -> None:
        path = self._path.replace(_STREAM, event_records.stream_of(destination))
        lines = "".join(f"{one.record}\n" for one in events)
        try:
            await asyncio.to_thread(_append, Path(path), lines.encode())
        except OSError as trouble:
            raise NotTaken(f"The file of events: {os.strerror(trouble.errno or 0)}") from None

    async def check(self) -> None:
        directory = Path(self._path).parent
        while not directory.exists():
            directory = directory.parent
        if not directory.is_dir() or not os.access(directory, os.W_OK):
            raise NotTaken(f"The file of events: {directory} cannot be written to")

    async def aclose(self) -> None:
        pass


class Posts:
    """`https://…`: a POST for each batch of a stream, as Firehose sends it to an HTTP endpoint
    (`X-Amz-Firehose-…`): JSON with the records as base64. Any 2xx takes it.

    A secret that begins with `whsec_` signs it too (Standard Webhooks); any other is the access key
    that Firehose's endpoints ask for. A batch that is sent again has the same `requestId`.
    """

    def __init__(self, url: str, secret: str) -> None:
        signed = secret.startswith(_SIGNING)
        try:
            self._posts = SignedPost(
                url=url,
                secret=secret if signed else None,
                headers={} if signed or not secret else {"X-Amz-Firehose-Access-Key": secret},
                connections=1,
                allow_private=_OURS,
            )
        except ValueError as wrong:
            text = str(wrong)
            raise ValueError(f"events{'_' if text.startswith('secret') else ': '}{text}") from None

    async def put(self, destination: str, events: Sequence[store.Untold]) -> None:
        ids = ",".join(str(one.id) for one in events)
        request_id = str(uuid5(NAMESPACE_OID, ids))
        body = {
            "requestId": request_id,
            "timestamp": time.time_ns() // 1_000_000,
            "records": [{"data": base64.b64encode(one.record.encode()).decode()} for one in events],
        }
        headers = {
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": request_id,
            "X-Amz-Firehose-Source-Arn": destination,
        }
        content = json.dumps(body, separators=(",", ":")).encode()
        deadline = asyncio.get_running_loop().time() + SECONDS
        try:
            reply = await self._posts.post(request_id, content, deadline=deadline, headers=headers)
        except http.NoAnswer as trouble:
            raise NotTaken(f"The server of events: {trouble.kind}") from None
        if reply.status // 100 != 2:
            raise NotTaken(f"The server of events answered {reply.status}")

    async def check(self) -> None:
        """A batch of nothing."""
        await self.put("", [])

    async def aclose(self) -> None:
        await self._posts.aclose()


def _append(path: Path, lines: bytes) -> None:
    """Add whole lines and wait for the disk; what cannot be written whole is taken back."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # a crash cut the last line short; it is told again
        try:
            while lines:
                lines = lines[os.write(descriptor, lines) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _words(trouble: Exception) -> str:
    """What Redis says of itself; what a connection says may quote the URL."""
    return str(trouble) if isinstance(trouble, redis.ResponseError) else type(trouble).__name__
