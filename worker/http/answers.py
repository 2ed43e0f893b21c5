"""What an operation answers with."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from worker import wire


def json(shape: msgspec.Struct, status: int = 200) -> Response:
    """The shape itself: Pinpoint's bodies are not wrapped, the SDKs do that."""
    return Response(wire.encode(shape), status_code=status, media_type="application/json")


def accepted(request: Request) -> Response:
    """202, as Pinpoint answers an update of endpoints."""
    body = wire.MessageBody(Message="Accepted", RequestID=request.state.request_id)
    return json(body, 202)
