"""Reading a request's body, within Pinpoint's limit."""

from __future__ import annotations

import asyncio

import anyio.to_thread
from starlette.requests import Request

from worker import wire
from worker.wire import bounds

MAX_BODY = 7 * 1024 * 1024  # Pinpoint: 7 MB
PATIENCE = 120.0
"""How long, in seconds, a body may take to arrive. Ours: at 500 kbit/s it is the largest one."""


async def read(request: Request, *, most: int = MAX_BODY) -> bytes:
    """The whole body, of so many bytes at most.

    Raises `PayloadTooLarge` as soon as the body says or shows that it is, `BadRequest` for one
    that is compressed, has two lengths or too many values, or does not come, and Starlette's
    `ClientDisconnect` if the client leaves halfway.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise wire.BadRequest("Content-Encoding: a request body must not be encoded")
    if {"transfer-encoding", "content-length"} <= set(request.headers):
        # RFC 9112: the next server on the way may believe the other one.
        raise wire.BadRequest("Content-Length: must not be given with Transfer-Encoding")
    too_large = wire.PayloadTooLarge(f"The request body is larger than {most} bytes")
    if int(request.headers.get("content-length", "0")) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise wire.BadRequest(f"The request body did not arrive in {PATIENCE:g} seconds") from None
    content = bytes(body)
    if len(content) > bounds.MAX_TOKENS:  # else it cannot have as many
        await anyio.to_thread.run_sync(wire.check_tokens, content)
    return content
